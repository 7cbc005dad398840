"""How good the models are: each recipe beside implicit and popularity, on MovieLens, same splits, same rank, one run.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.quality

Of each user a fifth of the items is held out: the last ones (split by time, as in tests/training/test_movielens.py) or
random ones. All learn from the same past, events counted by user and item.

    NDCG@10, recall@25    of what the user has not met before, divided by what the best list would have; with the standard
                          error of the mean NDCG@10 over users
    coverage@25           the share of the items of the past that are in anybody's first 25
    log-loss              of the first held-out item of each user, if the past knows it: mean of -log(score), in nats
    hit rate@25           of each held-out item, among those like the item that the user met just before it; of all,
                          and of those where the past knows the item before

Our lists are those of `answer`, with what a user has met before filtered away, and of the default hyperparameters, which
were chosen on the split by time. The score is the softmax over all items, for popularity an item's share.

Implicit is tuned on the very split that it is measured on: what is shown is the best of its settings by NDCG@10. The 8 of ALS
are around the best of 20 that were tried on both splits. Its ALS has no probabilities: the log-loss is that of the same
softmax, at the temperature that is the best in hindsight.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from scipy.sparse import csr_matrix

from benchmarks.factors import FOLDER, RANK
from benchmarks.machine import machine
from personalize_spark.answer import LineFilter, answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.imports import CsvSource, import_files
from personalize_spark.filters.selector import Group
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.records import Object
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.topn import products_of
from personalize_spark.solutions.train import Hyperparameters, train
from personalize_spark.spark import open_session
from personalize_spark.training.temperature import fit_scale

RESULTS = Path(__file__).parent / "results" / "quality.json"
N = 25
FOR_USERS = ("aws-user-personalization", "aws-user-personalization-v2", "aws-hrnn", "aws-popularity-count")
RELATED = ("aws-sims", "aws-similar-items")
SEED, ITERATIONS, NEIGHBOURS = 42, 15, 400
ALS_GRID = [{"regularization": each, "alpha": alpha} for each, alpha in product((10.0, 30.0), (0.25, 1.0, 4.0, 10.0))]
COSINE_GRID = [{"K": each} for each in (20, 100, 400)]
BM25_GRID = [{"K": each, "K1": k1} for each, k1 in product((20, 100, 400), (1.2, 0.2))]

Row = dict[str, str]
Lists = list[list[str]]
Measures = dict[str, float | None]


def main() -> None:
    """Measure everything on both splits, print the tables and write the results."""
    with (FOLDER / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    spark = open_session("quality", data=True)
    result = {
        "machine": machine(),
        "work": {"data": "MovieLens", "interactions": len(rows), "rank": RANK, "seed": SEED},
        "by time": measure(spark, Split.of(rows, None)),
        "random": measure(spark, Split.of(rows, np.random.default_rng(SEED))),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for name in ("by time", "random"):
        print(f"\n{name}\n{table(result[name]['users'])}\n\n{table(result[name]['related items'])}")
    spark.stop()


@dataclass(frozen=True)
class Split:
    """What is learned from and what is held out.

    Attributes:
        rows: the interactions of the past, as in the file.
        past: by user, the items of the past. Nobody in MovieLens has fewer than 20 items.
        future: by user, in the same order, the held-out items as they were met.
        steps: each held-out item behind the one that its user met just before.
    """

    rows: list[Row]
    past: dict[str, set[str]]
    future: dict[str, list[str]]
    steps: list[tuple[str, str]]

    @classmethod
    def of(cls, rows: Sequence[Row], random: np.random.Generator | None) -> Split:
        """Hold out the last fifth of each user's items, or with `random` any fifth."""
        past, future, steps = {}, {}, []
        for user, items in _histories(rows).items():
            places = np.arange(len(items)) if random is None else random.permutation(len(items))
            held_out = places / (len(items) - 1) >= 0.8
            past[user] = {item for item, out in zip(items, held_out, strict=True) if not out}
            future[user] = [item for item, out in zip(items, held_out, strict=True) if out]
            steps += [pair for pair, out in zip(pairwise(items), held_out[1:], strict=True) if out]
        return cls([row for row in rows if row["ITEM_ID"] in past[row["USER_ID"]]], past, future, steps)

    @cached_property
    def items(self) -> list[str]:
        """What the past knows."""
        return sorted({row["ITEM_ID"] for row in self.rows})

    @cached_property
    def first(self) -> dict[str, str]:
        """By user, the first item that was held out; without those that the past does not know."""
        known = set(self.items)
        return {user: items[0] for user, items in self.future.items() if items[0] in known}

    @cached_property
    def counts(self) -> csr_matrix:
        """Events of the past, (users, items)."""
        users = np.searchsorted(list(self.past), [row["USER_ID"] for row in self.rows])
        items = np.searchsorted(self.items, [row["ITEM_ID"] for row in self.rows])
        return csr_matrix((np.ones(len(users), np.float32), (users, items)), (len(self.past), len(self.items)))


def _histories(rows: Iterable[Row]) -> dict[str, list[str]]:
    """By user the items in the order in which they were last met."""
    newest: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        of_user, item = newest[row["USER_ID"]], row["ITEM_ID"]
        of_user[item] = max(of_user.get(item, 0), int(row["TIMESTAMP"]))
    return {
        user: [item for _, item in sorted((time, item) for item, time in newest[user].items())]
        for user in sorted(newest)
    }


def measure(spark: SparkSession, split: Split) -> dict[str, Any]:
    """All contenders on a split."""
    with tempfile.TemporaryDirectory() as folder:
        models = learned(spark, split, Path(folder))
        users = {recipe: _ours(split, recipe, models[recipe]) for recipe in FOR_USERS}
        related = {recipe: _related(split, recipe, models[recipe]) for recipe in RELATED}
    grids = _implicit(split)
    return {
        "held out": {"users": len(split.future), "items": len(split.steps), "users of the log-loss": len(split.first)},
        "users": users | {name: max(tried, key=lambda each: each["NDCG@10"] or 0) for name, tried in grids.items()},
        "related items": related | _implicit_related(split),
        "all settings of implicit": grids,
    }


def learned(spark: SparkSession, split: Split, folder: Path) -> dict[str, Model]:
    """The past imported, and the model of each recipe trained from it and read back."""
    with (folder / "past.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(split.rows[0]))
        writer.writeheader()
        writer.writerows(split.rows)
    catalog = Catalog(f"file://{folder}/catalog")
    sources = {
        "Interactions": CsvSource(f"file://{folder}/past.csv"),
        "Items": CsvSource(f"file://{FOLDER.resolve()}/item-meta.csv"),
    }
    import_files(spark, catalog, "movielens", sources)
    models = {}
    for recipe in (*FOR_USERS, *RELATED):
        arn = train(spark, catalog, "movielens", recipe, recipe, Hyperparameters(rank=RANK))
        fields = catalog.read(arn).fields
        models[recipe] = read_model(Pinned(**fields["model"]).open())
    return models


class NotMet:
    """A filter that keeps what each user has not met in the past; the lines are those of all users."""

    required: Sequence[str] = ()
    varies = True

    def __init__(self, split: Split, model: Model) -> None:
        rows = [model.rows_of(sorted(items)) for items in split.past.values()]
        lines = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        self._selection = Selection(excluded=Ragged.of_pairs(lines, np.concatenate(rows), len(rows)))

    def select(self, lines: Sequence[Object]) -> tuple[list[Group], dict[int, str]]:
        """See `LineFilter`."""
        return [Group(np.arange(len(lines)), self._selection)], {}


def _ours(split: Split, recipe: str, model: Model) -> Measures:
    lists = _answers(recipe, model, [{"userId": user} for user in split.past], NotMet(split, model))
    return measures(split, lists, _log_loss(split, model))


def _related(split: Split, recipe: str, model: Model) -> Measures:
    queries = list(dict.fromkeys(query for query, _ in split.steps))
    lists = _answers(recipe, model, [{"itemId": query} for query in queries], None)
    return hit_rate(split, dict(zip(queries, lists, strict=True)))


def _answers(recipe: str, model: Model, lines: Sequence[Object], line_filter: LineFilter | None) -> Lists:
    answers = answer(RECIPES[recipe], model, Settings(N), [orjson.dumps(line) for line in lines], line_filter)
    return [orjson.loads(line)["output"]["recommendedItems"] for line in answers.data.splitlines()]


def _log_loss(split: Split, model: Model) -> float:
    targets = model.rows_of(list(split.first.values()))
    if model.item_side is None or model.users is None:
        return float(-np.log(model.popularity[targets]).mean())
    users, items = model.users.lookup(list(split.first)).vectors, model.item_side
    chosen = products_of(users, np.arange(len(targets)), items, targets)
    return float((log_normalisers(users, items, model.temperature) - model.temperature * chosen).mean())


def _implicit(split: Split) -> dict[str, list[Measures]]:
    """With all settings."""
    return {
        "implicit ALS": [{**_als(split, **setting), **setting} for setting in ALS_GRID],
        "implicit BM25": [{**_neighbours(split, BM25Recommender(**setting)), **setting} for setting in BM25_GRID],
        "implicit cosine": [{**_neighbours(split, CosineRecommender(**setting)), **setting} for setting in COSINE_GRID],
    }


def _als(split: Split, regularization: float, alpha: float) -> Measures:
    model = AlternatingLeastSquares(
        RANK, regularization=regularization, alpha=alpha, iterations=ITERATIONS, random_state=SEED
    )
    model.fit(split.counts, show_progress=False)
    vectors = model.user_factors[np.searchsorted(list(split.past), list(split.first))]
    targets = np.searchsorted(split.items, list(split.first.values()))
    loss = fit_scale(vectors, targets, model.item_factors).log_loss
    return measures(split, _recommended(split, model), loss)


def _neighbours(split: Split, recommender: Any) -> Measures:
    recommender.fit(split.counts, show_progress=False)
    return measures(split, _recommended(split, recommender), None)


def _recommended(split: Split, recommender: Any) -> Lists:
    found, _ = recommender.recommend(np.arange(len(split.past)), split.counts, N, filter_already_liked_items=True)
    return _names(split, found)


def _names(split: Split, found: NDArray[np.int32]) -> Lists:
    return [[split.items[item] for item in line if item >= 0] for line in found.tolist()]


def _implicit_related(split: Split) -> dict[str, Measures]:
    contenders = {
        "implicit cosine": CosineRecommender(NEIGHBOURS),
        "implicit BM25": BM25Recommender(NEIGHBOURS),
        "implicit BM25, K1=0.2": BM25Recommender(NEIGHBOURS, K1=0.2),
    }
    found = {}
    for name, recommender in contenders.items():
        recommender.fit(split.counts, show_progress=False)
        lists = _names(split, recommender.similar_items(np.arange(len(split.items)), N + 1)[0])
        others = ([each for each in like if each != item][:N] for item, like in zip(split.items, lists, strict=True))
        found[name] = hit_rate(split, dict(zip(split.items, others, strict=True)))
    return found


def measures(split: Split, lists: Lists, log_loss: float | None) -> Measures:
    """How good the users' first 25 are."""
    gains, recalls, discounts = [], [], 1 / np.log2(np.arange(2, 12))
    for items, wanted in zip(lists, split.future.values(), strict=True):
        hits = np.isin(items, wanted)
        gains.append(discounts[np.flatnonzero(hits[:10])].sum() / discounts[: len(wanted)].sum())
        recalls.append(hits.sum() / min(N, len(wanted)))
    return {
        "NDCG@10": round(float(np.mean(gains)), 4),
        "its error": round(float(np.std(gains) / np.sqrt(len(gains))), 4),
        "recall@25": round(float(np.mean(recalls)), 4),
        "coverage@25": round(len({item for items in lists for item in items}) / len(split.items), 4),
        "log-loss": None if log_loss is None else round(log_loss, 3),
    }


def hit_rate(split: Split, lists: Mapping[str, Sequence[str]]) -> Measures:
    """How often the item that came next is among the 25 like the one before; an item without a list has no hit."""
    hits = np.array([target in lists.get(query, ()) for query, target in split.steps])
    known = np.isin([query for query, _ in split.steps], split.items)
    return {"hit rate@25": round(float(hits.mean()), 4), "item known": round(float(hits[known].mean()), 4)}


def table(contenders: Mapping[str, Measures]) -> str:
    """A line for each contender."""
    columns = list(next(iter(contenders.values())))
    lines = [f"{'':28}" + "".join(f"{column:>14}" for column in columns)]
    for name, values in contenders.items():
        cells = "".join(f"{'-' if values[column] is None else values[column]:>14}" for column in columns)
        settings = ", ".join(f"{key}={value}" for key, value in values.items() if key not in columns)
        lines.append(f"{name:28}{cells}  {settings}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
