"""A theme explained: what could be said of the items like an item, what each phrase is worth, and why one was chosen.

The model is read in this process, without Spark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.artifacts.themes import ModelThemes
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.resources import find_active_version, versions_of
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceNotFoundException, did_you_mean
from personalize_spark.recipes import Settings, recipe_of
from personalize_spark.storage.location import Place
from personalize_spark.themes.choice import Candidate
from personalize_spark.themes.relevance import RELEVANT, ordered
from personalize_spark.themes.theme import TELLING

SHOWN = 10


@dataclass(frozen=True)
class ThemeExplanation:
    """A theme, and what it was chosen from.

    Attributes:
        item: the item that was asked about.
        solution_version: the ARN of the version that knows the items like it.
        known: whether the version knows the item; if not, the items are the popular ones.
        theme: the phrase; empty where nothing can be said.
        items: by descending relevance, each with it.
        candidates: the best phrases, best first.
        of_candidates: how many phrases there were.
    """

    item: str
    solution_version: str
    known: bool
    theme: str
    items: Sequence[tuple[str, float]]
    candidates: Sequence[Candidate]
    of_candidates: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            **asdict(self),
            "why": self.why(),
            "items": [{"item": item, "relevance": relevance} for item, relevance in self.items],
            "candidates": [{**asdict(each), "terms": len(each.terms)} for each in self.candidates],
        }

    def why(self) -> str:
        """The reason for the choice, in a sentence."""
        chosen = next((each for each in self.candidates if each.text == self.theme), None)
        if chosen is None:
            return "The Items dataset had no text or category that two of the items share, so there is no theme."
        highest = chosen.score >= max(each.score for each in self.candidates)
        telling = (
            "" if highest else f" of those that are {TELLING:g} times as frequent here as in the catalogue, or more"
        )
        return (
            f"Of {self.of_candidates} phrases it has the highest score{telling}: {chosen.coverage:.0%} of the items have it, "
            f"{chosen.lift:.1f} times as many as in the catalogue, and {chosen.neighbours:.0%} of the items just outside."
        )

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Theme     {self.theme or 'none'}"
        yield f"Why       {self.why()}"
        if not self.known:
            yield f"Item      The solution version does not know {self.item}: these are the popular items."
        yield "\nCandidates    score  coverage    lift  outside  readability"
        for each in self.candidates:
            numbers = f"{each.score:8.4f}  {each.coverage:8.0%}  {each.lift:6.1f}  {each.neighbours:7.0%}  {each.readability:11.2f}"
            yield f"{'->' if each.text == self.theme else '  '}        {numbers}  {each.text}"
        yield "\nItems     relevance"
        for item, relevance in self.items:
            yield f"          {relevance:9.4f}  {item}{'' if relevance >= RELEVANT else '  (below 0.1: drop it)'}"


def explain_theme(
    catalog: Catalog | Place,
    item: str,
    *,
    solution_version: str | None = None,
    item_name: str | None = None,
    num_results: int = 25,
) -> ThemeExplanation:
    """Explain the theme that a job would give the items like an item, if it asked for no other.

    Args:
        catalog: the catalog or its place: it holds the solution version.
        item: the id of the item.
        solution_version: the ARN of a version with themes; if left out, the newest one.
        item_name: the column of the names of items; if left out, the first one that may hold them.
        num_results: how many similar items, as of a request.

    Returns:
        The theme, the items with their relevance, and the best candidates with what decided between them.

    Raises:
        InvalidInputException: the version has no themes, or there is no such column.
        ResourceNotFoundException: there is no such version, or none with themes.
    """
    catalog = Catalog(catalog)
    version = find_active_version(catalog, solution_version) if solution_version else _newest(catalog)
    if "themes" not in version.fields:
        raise InvalidInputException(
            f"The solution version {version.arn} has no themes: they need the recipe aws-similar-items, and a training "
            "on an Items dataset with a textual field."
        )
    artifact = Pinned(**version.fields["themes"]).open()
    model = read_model(Pinned(**version.fields["model"]).open())
    namer = ModelThemes(artifact, _name_of(artifact, item_name), model)
    line, recipe = orjson.dumps({"itemId": item}), recipe_of(version.fields["recipeArn"])
    items = orjson.loads(answer(recipe, model, Settings(num_results), [line]).data)["output"]["recommendedItems"]
    [theme], [scores] = namer.explained([model.rows_of(items)], [item])
    places = ordered(scores, [each.encode() for each in items]).tolist()
    return ThemeExplanation(
        item=item,
        solution_version=str(version.arn),
        known=bool(model.rows_of([item])[0] >= 0),
        theme=theme.text,
        items=[(items[place], round(float(scores[place]), 7)) for place in places],
        candidates=theme.candidates[:SHOWN],
        of_candidates=len(theme.candidates),
    )


def _newest(catalog: Catalog) -> Record:
    versions = (version for solution in catalog.list("solution") for version in versions_of(catalog, solution.arn))
    themed = [each for each in versions if each.status is Status.ACTIVE and "themes" in each.fields]
    if not themed:
        raise ResourceNotFoundException(
            "No solution version of the catalog has themes: train aws-similar-items on an Items dataset with a textual field."
        )
    return max(themed, key=lambda each: (each.fields["creationDateTime"], str(each.arn)))


def _name_of(artifact: Artifact, item_name: str | None) -> str:
    columns = [each for each in artifact.properties["columns"] if each != "ITEM_ID"]
    if item_name is None:
        return columns[0] if columns else "ITEM_ID"
    if item_name not in columns:
        raise InvalidInputException(
            f"item_name is '{item_name}', which is no column of names{did_you_mean(item_name, columns)}; there are: {', '.join(columns)}."
        )
    return item_name
