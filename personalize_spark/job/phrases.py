"""What a language model calls the sets of a job's lines, asked on the driver before the tasks begin.

The phrases are frozen in the staging folder, so tasks that are tried again, and drivers that resume the job, give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from personalize_spark.artifacts.themes import ModelThemes, set_key
from personalize_spark.errors import ObjectNotFound, PersonalizeSparkError, counted, quoted
from personalize_spark.job.plan import Plan
from personalize_spark.job.splits import Split
from personalize_spark.job.task import Worker
from personalize_spark.job.themed import PHRASES, Phrases, ThemedList
from personalize_spark.storage.documents import read_document, write_document
from personalize_spark.storage.store import Store
from personalize_spark.themes.language_model import (
    LIMITS,
    LanguageModel,
    Limits,
    NoAnswer,
    ask_all,
    language_model,
)
from personalize_spark.themes.prompt import SYSTEM, prompt_of, tidy

MAX_ASKED = 100
"""Sets of a job that a language model is asked about."""


def freeze_phrases(plan: Plan, staging: Store, splits: Sequence[Split], limits: Limits = LIMITS) -> Phrases:
    """Ask the job's language model, once for all drivers of a run.

    Args:
        plan: of the run; its job has a language model.
        staging: the run's staging folder.
        splits: all of the run.
        limits: how long and how often is asked.

    Raises:
        InvalidInputException: this machine cannot ask the model, for want of a region for example.
    """
    with suppress(ObjectNotFound):
        return read_document(staging, PHRASES, Phrases)
    model, worker = language_model(plan.job.theme_model or "", limits), Worker(staging)
    found = list(islice(_sets(worker, splits), MAX_ASKED + 1))
    phrases = Phrases()
    if worker.themes is not None and found:
        phrases = phrases_of(model, worker.themes, dict(found[:MAX_ASKED]), limits)
    if len(found) > MAX_ASKED:
        phrases.notes.append(
            f"The theme model was asked about the first {MAX_ASKED} sets; the others have the catalogue's own phrases."
        )
    write_document(staging, PHRASES, phrases)
    return phrases


def _sets(worker: Worker, splits: Sequence[Split]) -> Iterator[tuple[str, ThemedList]]:
    """The different sets of the lines, in their order; what cannot be read, its task will tell."""
    seen = set[str]()
    for split in splits:
        with suppress(PersonalizeSparkError):
            for each in worker.themed(split):
                key = set_key(item.encode() for item in each.relevance)
                if each.relevance and key not in seen:
                    seen.add(key)
                    yield key, each


def phrases_of(
    model: LanguageModel, themes: ModelThemes, asked: Mapping[str, ThemedList], limits: Limits = LIMITS
) -> Phrases:
    """What a model calls sets; of the others the notes say why they keep the catalogue's own phrase.

    Args:
        model: is asked about each.
        themes: knows the items.
        asked: by `set_key`, the sets with their own themes.
        limits: how long and how often is asked.
    """
    about = {key: themes.about([*each.relevance]) for key, each in asked.items()}
    prompts = [prompt_of(about[key], each.theme) for key, each in asked.items()]
    taken = Counter(each.theme.lower() for each in asked.values())
    phrases, reasons = Phrases(), Counter[str]()
    for key, answer in zip(asked, ask_all(model, SYSTEM, prompts, limits), strict=True):
        if isinstance(answer, NoAnswer):
            reasons[answer.reason] += 1
            continue
        text, own = tidy(answer), asked[key].theme.lower()
        if flaw := themes.flaw_of(text, about[key]):
            reasons[f"{flaw}, such as {quoted(text)}"] += 1
        elif taken[text.lower()] > (text.lower() == own):
            reasons["the theme of another set"] += 1
        else:
            taken[own] -= 1
            taken[text.lower()] += 1
            phrases.texts[key] = text
    if reasons:
        why = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common(5))
        kept = counted(reasons.total(), "set")
        phrases.notes.append(
            f"{kept} of {len(asked)} kept the catalogue's own phrase instead of the theme model's ({why})."
        )
    return phrases
