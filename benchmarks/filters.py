"""Filtered lines beside the same lines without a filter, and beside those who score everything and then drop: one core, rank 64.

    python -m benchmarks.filters [--quick]

200,000 items, lists of 25, the whole way from lines to lines over a model in memory, in the blocks that a job would cut. Every run has a new
filter, so that it pays for its masks; a ratio is the median over the rounds of case / its reference, which runs right before it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.factors import factor_sets, resample
from benchmarks.machine import machine
from benchmarks.topn import THREADS
from personalize_spark.answer import answer
from personalize_spark.filters.binding import bind
from personalize_spark.filters.expression import Literal
from personalize_spark.filters.mask import Categories, Columns, Numbers
from personalize_spark.filters.parser import parse
from personalize_spark.filters.selector import Group, Lines, LineUsers, Selector
from personalize_spark.recipes import RECIPES, Settings
from personalize_spark.records import Object, ids_of
from personalize_spark.schemas import schemas_of
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.products import products
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.selection import EVERYTHING
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.scoring.users import UserRows

RESULTS = Path(__file__).parent / "results"
RECIPE, N = RECIPES["aws-user-personalization"], 25
ITEMS, PEOPLE, SAMPLE = 200_000, 8192, 2048
SHARE = 20
"""Every 20th item stands for all of them in the normalisers, which only have to be of the right size here."""
WATCHED = 100
"""Events a user."""
CATEGORIES, PRICES = 2000, 1_000_000
BLOCK, BLOCK_OF_BINDINGS = 5_242, 105_000
"""Lines that a job answers at a time, without and with values that differ from line to line; see `job.task`."""
LINES = 20_000
BINDINGS = 1000
ROUNDS = 5
LINES_OF_BINDING = 64
"""Of the peers; what a block of ours comes to."""
CANDIDATES = 500
"""Rows a user that Spark SQL filters: a list of 25 whatever 100 of the items are gone."""
PEER_USERS = {"Spark SQL": 2048, "implicit": 256}
SCHEMA = schemas_of(
    [
        {"name": "Items", "fields": [{"name": "CATEGORY", "type": "string"}, {"name": "PRICE", "type": "long"}]},
        {"name": "Interactions", "fields": [{"name": "EVENT_TYPE", "type": "string"}]},
        {"name": "Users", "fields": [{"name": "PLAN", "type": "string"}]},
    ]
)

Values = Callable[[int], dict[str, str]]


@dataclass(frozen=True)
class Case:
    """A filter, what its time is divided by, and the most that the ratio may be.

    Attributes:
        expression: `None` for lines without a filter.
        against: the name of another case.
        bar: `None` where nothing is promised.
        values: the `filterValues` of a binding, by its number.
        bindings: how many there are.
    """

    expression: str | None
    against: str | None = None
    bar: float | None = None
    values: Values | None = None
    bindings: int = 1


def _below(price: int) -> Values:
    return lambda binding: {"P": str(price + binding)}


def _categories(binding: int) -> dict[str, str]:
    return {"C": ",".join(f'"c{(7 * binding + each) % CATEGORIES}"' for each in range(10))}


CHEAPER, IN = "INCLUDE ItemID WHERE Items.PRICE < $P", "INCLUDE ItemID WHERE Items.CATEGORY IN ($C)"
TWENTY = [f'Items.PRICE < {500_000 + i} AND Items.CATEGORY NOT IN ("c{i}")' for i in range(10)]
CASES: Mapping[str, Case] = {
    "no filter": Case(None),
    "keeps 90 %": Case("INCLUDE ItemID WHERE Items.PRICE < 900000", "no filter", 1.15),
    "keeps 50 %": Case("INCLUDE ItemID WHERE Items.PRICE < 500000", "no filter"),
    "keeps 10 %": Case("INCLUDE ItemID WHERE Items.PRICE < 100000", "no filter", 1 / 3),
    "keeps 1 %": Case("INCLUDE ItemID WHERE Items.PRICE < 10000", "no filter", 0.1),
    "drops what the user watched": Case('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")', "no filter", 1.2),
    "IF CurrentUser": Case('EXCLUDE ItemID WHERE Items.PRICE < 100000 IF CurrentUser.PLAN = "free"', "no filter"),
    "20 clauses": Case(f"INCLUDE ItemID WHERE {' AND '.join(TWENTY)}", "keeps 50 %", 1.1),
    "one binding, 10 %": Case(CHEAPER, "no filter", None, _below(100_000)),
    "1,000 bindings, 10 %": Case(CHEAPER, "one binding, 10 %", 1.5, _below(100_000), BINDINGS),
    "one binding, 50 %": Case(CHEAPER, "no filter", None, _below(500_000)),
    "1,000 bindings, 50 %": Case(CHEAPER, "one binding, 50 %", 1.5, _below(500_000), BINDINGS),
    "one binding, 0.5 %": Case(IN, "no filter", None, _categories),
    "1,000 bindings, 0.5 %": Case(IN, "one binding, 0.5 %", 1.5, _categories, BINDINGS),
}


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="20,000 lines instead of 100,000 for the bindings, and no results written"
    )
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in THREADS):
        environment = os.environ | dict.fromkeys(THREADS, "1")
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.filters", *sys.argv[1:]], environment)  # noqa: S606
    name, (users, items) = list(factor_sets().items())[-2]
    world = World(users, items)
    cases = measure(world, LINES if arguments.quick else 5 * LINES)
    peers = _peers(world)
    _print(cases, peers)
    if not arguments.quick:
        about = {"machine": machine(), "factors": name, "items": ITEMS, "rank": 64, "n": N, "rounds": ROUNDS}
        (RESULTS / "filters.json").write_text(json.dumps(about | {"cases": cases, "peers": peers}, indent=2) + "\n")


class World:
    """Items with fields, and users with a vector, a plan and a history; user j of the lines is person j modulo `PEOPLE`."""

    def __init__(self, users: NDArray[np.float64], items: NDArray[np.float64]) -> None:
        rng = np.random.default_rng(0)
        vectors = resample(users, PEOPLE + SAMPLE, rng)
        self.people, sample = vectors[SAMPLE:], vectors[:SAMPLE]
        self.matrix, _ = ItemMatrix.sort(resample(items, ITEMS, rng), rng.permutation(ITEMS).astype(np.int32), sample)
        texts = JsonTexts.of([b'"i%d"' % row for row in range(ITEMS)])
        popular = np.arange(ITEMS, dtype=np.int32)
        self.model = Model(texts, popular, np.full(ITEMS, 1 / ITEMS), self.matrix, self)
        codes = Ragged(np.append(np.arange(ITEMS + 1), ITEMS), rng.integers(0, CATEGORIES, ITEMS).astype(np.int32))
        self.prices = rng.integers(0, PRICES, ITEMS)
        self.columns: Columns = {
            "CATEGORY": Categories([f"c{code}" for code in range(CATEGORIES)], codes),
            "PRICE": Numbers(np.append(self.prices, 0), np.arange(ITEMS + 1) < ITEMS),
        }
        self.watched = self._histories(rng)
        some = self.matrix.factors[::SHARE]
        self.normalisers = log_normaliser(self.people, some, 1.0) + np.log(SHARE)

    def _histories(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """int64 (PEOPLE, WATCHED): what suits them best among a few items, since nobody watches at random."""
        shown = np.sort(rng.choice(ITEMS, 4000, replace=False))
        scores = self.people @ self.matrix.factors[shown].T
        return shown[np.argpartition(scores, -WATCHED, axis=1)[:, -WATCHED:]]

    def lookup(self, ids: Sequence[str]) -> UserRows:
        """The users of a model: all are known."""
        numbers = np.array([int(each) for each in ids]) % PEOPLE
        return UserRows(np.ones(len(ids), np.bool_), self.people[numbers], self.normalisers[numbers])


class WorldFilter:
    """What `storage.view.ViewFilter` is for a view."""

    def __init__(self, world: World, expression: str) -> None:
        self._bound, self._watched = bind(parse(expression), SCHEMA), world.watched
        self._selector = Selector(self._bound, world.columns, np.arange(ITEMS), ["watch"])
        self.required: Sequence[str] = ("userId",) if self._bound.needs_user else ()
        self.varies = bool(self._bound.parameters or self._bound.user_fields)

    def select(self, lines: Sequence[Object]) -> tuple[Iterable[Group], dict[int, str]]:
        """See `answer.LineFilter`."""
        items = np.empty((len(lines), 0), np.int64)
        attributes: list[Mapping[str, Literal | None]] = [{}] * len(lines)
        if self._bound.needs_user:
            people = np.array([int(each) for each in ids_of(lines, "userId")]) % PEOPLE
            items = self._watched[people]
            attributes = [{"PLAN": "free" if person % 2 else "gold"} for person in people.tolist()]
        history = Ragged.of_lengths(np.full(*items.shape), items.ravel())
        users = LineUsers(history, np.zeros(items.size, np.int16), attributes)
        values = [each.get("filterValues") for each in lines]
        return self._selector.select(Lines(values, users))


def measure(world: World, lines_of_bindings: int) -> list[dict[str, object]]:
    """The rows of the table."""
    for case in CASES.values():
        _check(world, case)
    lines = {name: _lines(case, lines_of_bindings) for name, case in CASES.items()}
    runs = [{name: _run(world, name, lines) for name in CASES} for _ in range(ROUNDS)]
    return [_row(world, name, lines[name], [each[name] for each in runs]) for name in CASES]


def _run(world: World, name: str, lines: Mapping[str, list[bytes]]) -> tuple[float, float]:
    """Seconds a line, and how many times as long as its reference."""
    against = CASES[name].against
    reference = against and _whole(world, CASES[against], lines[against])
    seconds = _whole(world, CASES[name], lines[name])
    return seconds, seconds / (reference or seconds)


def _row(world: World, name: str, lines: list[bytes], runs: list[tuple[float, float]]) -> dict[str, object]:
    case = CASES[name]
    select, scoring = _parts(world, case, lines)
    seconds, ratio = (statistics.median(column) for column in zip(*runs, strict=True))
    return {
        "case": name,
        "lines": len(lines),
        "microseconds a line": round(seconds * 1e6, 1),
        "of these select": round(select * 1e6, 1),
        "of these scoring": round(scoring * 1e6, 1),
        "against": case.against,
        "ratio": case.against and round(ratio, 3),
        "bar": case.bar and round(case.bar, 3),
    }


def _lines(case: Case, lines_of_bindings: int) -> list[bytes]:
    if case.values is None:
        return [orjson.dumps({"userId": str(line)}) for line in range(LINES)]
    values = [case.values(binding) for binding in range(case.bindings)]
    return [
        orjson.dumps({"userId": str(line), "filterValues": values[line % case.bindings]})
        for line in range(lines_of_bindings)
    ]


def _filter(world: World, case: Case) -> WorldFilter | None:
    return None if case.expression is None else WorldFilter(world, case.expression)


def _blocks(lines: list[bytes], line_filter: WorldFilter | None) -> list[list[bytes]]:
    size = BLOCK_OF_BINDINGS if line_filter is not None and line_filter.varies else BLOCK
    return [lines[start : start + size] for start in range(0, len(lines), size)]


def _whole(world: World, case: Case, lines: list[bytes]) -> float:
    """Seconds a line."""
    start = time.perf_counter()
    line_filter = _filter(world, case)
    for block in _blocks(lines, line_filter):
        answer(RECIPE, world.model, Settings(N), block, line_filter)
    return (time.perf_counter() - start) / len(lines)


def _parts(world: World, case: Case, lines: list[bytes]) -> tuple[float, float]:
    """Seconds a line of the filter alone and of the recipe alone."""
    line_filter, select, scoring = _filter(world, case), 0.0, 0.0
    for block in _blocks(lines, line_filter):
        objects = [orjson.loads(line) for line in block]
        start = time.perf_counter()
        everybody = [Group(np.arange(len(block)), EVERYTHING)]
        groups = everybody if line_filter is None else list(line_filter.select(objects)[0])
        middle = time.perf_counter()
        for group in groups:
            RECIPE.recommend(world.model, [objects[line] for line in group.lines], Settings(N), group.selection)
        select, scoring = select + middle - start, scoring + time.perf_counter() - middle
    return select / len(lines), scoring / len(lines)


def _check(world: World, case: Case) -> None:
    """The lists of a few lines are the exact ones."""
    lines, line_filter = _lines(case, 4)[:4], _filter(world, case)
    objects = [orjson.loads(line) for line in lines]
    groups = [Group(np.arange(4), EVERYTHING)] if line_filter is None else line_filter.select(objects)[0]
    found = answer(RECIPE, world.model, Settings(N), lines, line_filter).data.splitlines()
    for group in groups:
        for place, line in enumerate(group.lines.tolist()):
            allowed = group.selection.allows(np.full(ITEMS, place), np.arange(ITEMS))
            exact = np.where(allowed, products(world.people[line], world.matrix.factors), -np.inf)
            best = [f"i{item}" for item in np.lexsort((world.matrix.ranks, -exact))[:N]]
            assert orjson.loads(found[line])["output"]["recommendedItems"] == best, "not the exact top N"


def _peers(world: World) -> list[dict[str, object]]:
    """Those that are installed, by the case that they stand beside."""
    works = _spark(world) | _implicit(world)
    runs = [{name: run() for name, run in works.items()} for _ in range(ROUNDS)]
    return [
        {
            "peer": peer,
            "case": case,
            "lines": PEER_USERS[peer],
            "microseconds a line": round(statistics.median(run[peer, case] for run in runs) * 1e6, 1),
        }
        for peer, case in works
    ]


def _spark(world: World) -> dict[tuple[str, str], Callable[[], float]]:
    """Score everything, then an anti-join with what is excluded and a window; one core, and one run before the first that counts."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.sql.shuffle.partitions", 1)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    users = np.arange(PEER_USERS["Spark SQL"])
    watched = pa.table({"user": np.repeat(users, WATCHED), "item": world.watched[users].ravel()})
    session.createDataFrame(watched).createOrReplaceTempView("watched")

    def run() -> float:
        start = time.perf_counter()
        session.createDataFrame(_candidates(world, users)).createOrReplaceTempView("scored")
        session.sql(
            f"""SELECT user, item FROM (
                SELECT *, row_number() OVER (PARTITION BY user ORDER BY score DESC) AS place
                FROM scored ANTI JOIN watched USING (user, item)
            ) WHERE place <= {N}"""  # noqa: S608
        ).toArrow()
        return (time.perf_counter() - start) / len(users)

    run()
    return {("Spark SQL", "drops what the user watched"): run}


def _candidates(world: World, users: NDArray[np.int64]) -> pa.Table:
    """The best rows of all scores."""
    best, scores = [], []
    for start in range(0, len(users), 64):
        block = world.people[users[start : start + 64]] @ world.matrix.factors.T
        best.append(np.argpartition(block, -CANDIDATES, axis=1)[:, -CANDIDATES:])
        scores.append(np.take_along_axis(block, best[-1], axis=1))
    flat = {"item": np.concatenate(best).ravel(), "score": np.concatenate(scores).ravel()}
    return pa.table({"user": np.repeat(users, CANDIDATES)} | flat)


def _implicit(world: World) -> dict[tuple[str, str], Callable[[], float]]:
    """`recommend` of a model of the same factors, in one thread; nothing of lines and texts."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
        from scipy.sparse import csr_matrix
    except ImportError:
        print("implicit is not installed: not measured")
        return {}
    peer = AlternatingLeastSquares(factors=64, num_threads=1)
    peer.user_factors, peer.item_factors = world.people, world.matrix.factors
    count = PEER_USERS["implicit"]
    ends = np.arange(count + 1) * WATCHED
    watched = csr_matrix((np.ones(ends[-1], np.float32), world.watched[:count].ravel(), ends), shape=(count, ITEMS))

    def run(below: int = 0, step: int = count, **options: Any) -> Callable[[], float]:
        def recommend() -> float:
            start = time.perf_counter()
            for low in range(0, count, step):
                items = {"items": np.flatnonzero(world.prices < below + low)} if below else {}
                given = {"filter_already_liked_items": False} | options | items
                peer.recommend(np.arange(low, low + step), watched[low : low + step], N, **given)
            return (time.perf_counter() - start) / count

        return recommend

    return {
        ("implicit", "no filter"): run(),
        ("implicit", "keeps 90 %"): run(filter_items=np.flatnonzero(world.prices >= 900_000)),
        ("implicit", "keeps 10 %"): run(100_000),
        ("implicit", "keeps 1 %"): run(10_000),
        ("implicit", "drops what the user watched"): run(filter_already_liked_items=True),
        ("implicit", "1,000 bindings, 10 %"): run(100_000, LINES_OF_BINDING),
    }


def _print(cases: list[dict[str, object]], peers: list[dict[str, object]]) -> None:
    print(f"{'case':28}{'us a line':>10}{'select':>8}{'scoring':>9}{'ratio':>8}{'bar':>7}  against")
    for row in cases:
        ratio, bar, against = (row[each] or "" for each in ("ratio", "bar", "against"))
        times = (row[each] for each in ("microseconds a line", "of these select", "of these scoring"))
        print("{:28}{:>10}{:>8}{:>9}{:>8}{:>7}  {}".format(row["case"], *times, ratio, bar, against))
    for row in peers:
        print(f"{row['case']:28}{row['microseconds a line']:>10}  {row['peer']}")


if __name__ == "__main__":
    main()
