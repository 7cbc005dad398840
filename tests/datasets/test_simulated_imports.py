"""Several imports into one group, in simulated worlds: they die, sleep and meet failures at any call to the storage, by a seed.

The session is a stand-in with the effects of Delta: a table is a log of versions, of which a writer adds the next one to whatever is
the newest by then. A row is the number of the import that brought it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog import catalog as catalogs
from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import dataset_arn
from personalize_spark.datasets import imports
from personalize_spark.datasets.delta_tables import own_change
from personalize_spark.datasets.import_plan import ImportPlan
from personalize_spark.datasets.rows import Reading
from personalize_spark.errors import (
    JobFailed,
    ObjectExists,
    ResourceInUseException,
    ResourceNotFoundException,
    StorageError,
    TaskFailed,
)
from personalize_spark.schemas import Column, Schema
from personalize_spark.storage import location
from personalize_spark.storage.store import Store
from tests.simulation import ROOT, SEEDS, Actor, Killed, World

GROUP = Arn("aws", "us-east-1", "000000000000", "dataset-group", "shop")
TABLE = dataset_arn(GROUP, "Items")
LOG = "datasets/shop/items/_delta_log/"
SCHEMA = Schema("Items", (Column("ITEM_ID", "string"),))
READING = Reading(SCHEMA)
PLAN = ImportPlan(GROUP, [SimpleNamespace(reading=READING, schema=SCHEMA)], little=True)  # type: ignore[list-item]
EXPECTED = (JobFailed, ResourceInUseException, StorageError, TaskFailed, Killed)
"""What may end an import."""


@dataclass
class Session:
    """What an import has in place of Spark.

    Attributes:
        number: of the import.
        store: of the catalog.
        ending: the import has come to its last write, that which decides whether it counts.
    """

    number: int
    store: Store
    ending: bool = False
    conf: Any = field(init=False)

    def __post_init__(self) -> None:
        nothing, own = lambda *_: None, lambda *_: f"{self.number}"
        self.conf = SimpleNamespace(get=own, set=nothing, unset=nothing)

    def sql(self, statement: str) -> None:
        """The one statement that a session is given here."""
        restored = re.search(r"RESTORE TABLE .* TO VERSION AS OF (\d+)", statement)
        assert restored is not None
        self.add(lambda log: rows_of(log, int(restored[1])))

    def add(self, rows: Callable[[Sequence[dict[str, Any]]], list[int]]) -> None:
        """Add a version: of two writers one begins again."""
        while True:
            log = log_of(self.store)
            said = {"userMetadata": f"{self.number}", "operationMetrics": {}}
            commit = {"commitInfo": said, "rows": rows(log)}
            try:
                self.store.create(f"{LOG}{len(log):020d}.json", orjson.dumps(commit))
            except ObjectExists:
                continue
            return


def log_of(store: Store) -> list[dict[str, Any]]:
    """All versions of the table."""
    return [orjson.loads(store.read(each.name)) for each in store.list(LOG)]


def rows_of(log: Sequence[dict[str, Any]], version: int) -> list[int]:
    """What a version of the table has."""
    rows: list[int] = log[version]["rows"]
    return rows


def write_rows(catalog: Catalog, _: Arn, session: Session) -> SimpleNamespace:
    """Add the rows of an import to those that are there."""
    try:
        base = catalog.read(TABLE).fields.get("deltaVersion")
    except ResourceNotFoundException:
        base = None
    session.add(lambda log: [*(rows_of(log, -1) if base is not None else []), session.number])
    return SimpleNamespace(delta_version=own_change(session, session.store.at("datasets/shop/items").root, base)[0])  # type: ignore[arg-type]


def build_view(session: Session, catalog: Catalog, __: Arn, ticket: str) -> Pinned:
    """Make a view of the version that the record names."""
    version = catalog.read(TABLE).fields["deltaVersion"]
    store = catalog.store.at(f"views/shop/{ticket}")
    store.write("manifest.json", b"{}")
    session.ending = True
    return Pinned(store.root, f"{version}")


@pytest.fixture(autouse=True)
def _without_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: dict[str, Callable[..., Any]] = {"_import": write_rows, "build_view": build_view, "fold": lambda *_: None}
    steps |= {"_check": lambda session, *_: session, "_refuse_nothing": lambda *_: None}
    for name, step in steps.items():
        monkeypatch.setattr(imports, name, step)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3_600.0)  # no thread acts beside its import


@pytest.mark.slow
def test_an_import_counts_once_if_it_ended_well_and_not_at_all_if_it_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5 * SEEDS):
        try:
            tell(new_world(seed, monkeypatch))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("fence", range(1, 6))
def test_who_sleeps_behind_a_fence_undoes_nothing(fence: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import is stopped right behind a fence; another one takes over and ends; the first one wakes up."""
    world, fences = new_world(0, monkeypatch), 0
    catalog, update = Catalog(f"file://{ROOT}catalog"), lease.Lease.update
    run(catalog, 0)

    def sleepy(alone: lease.Lease, **changes: Any) -> None:
        nonlocal fences
        update(alone, **changes)
        fences += 1
        if fences == fence:
            world.sleep(10_000)
            run(catalog, 2)

    monkeypatch.setattr(lease.Lease, "update", sleepy)
    with pytest.raises(JobFailed, match="This driver no longer holds"):
        run(catalog, 1)
    assert fences > fence
    assert recorded(catalog) == [0, 2]


def test_a_killed_import_that_runs_again_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed when its records name the new rows, and its view does not."""
    world = new_world(0, monkeypatch)
    catalog = Catalog(f"file://{ROOT}catalog")
    run(catalog, 0)

    def die(*_: object) -> None:
        dying.setattr(lease.Lease, "_write", die)  # the dead write no record
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(imports, "build_view", die)
        with pytest.raises(Killed):
            run(catalog, 1)
    assert rows_of(log_of(catalog.store), catalog.read(TABLE).fields["deltaVersion"]) == [0, 1]
    world.sleep(10_000)
    run(catalog, 1)
    assert recorded(catalog) == [0, 1]


@pytest.mark.parametrize("first", [False, True])
def test_an_import_whose_last_write_fails_leaves_rows_and_view_as_they_were(
    *, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_world(0, monkeypatch)
    catalog = Catalog(f"file://{ROOT}catalog")
    if not first:
        run(catalog, 0)

    def fail(_: lease.Lease) -> None:
        assert recorded(catalog)[-1] == 1
        raise StorageError("The storage does not answer.")

    with monkeypatch.context() as failing:
        failing.setattr(imports, "commit", fail)
        with pytest.raises(StorageError, match="does not answer"):
            run(catalog, 1)
    if first:
        assert "view" not in catalog.read(GROUP).fields
    else:
        view, version = catalog.read(GROUP).fields["view"]["sha256"], catalog.read(TABLE).fields["deltaVersion"]
        assert [rows_of(log_of(catalog.store), each) for each in (int(view), version)] == [[0], [0]]


@pytest.mark.parametrize("late", [False, True])
def test_what_a_sleeper_writes_beside_another_import_does_not_count(
    *, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sleeper is within the write of its rows: no fence of ours is between it and the table."""
    new_world(0, monkeypatch)
    catalog = Catalog(f"file://{ROOT}catalog")
    run(catalog, 0)
    sleeper, awake, add = Session(1, catalog.store), Session(2, catalog.store), Session.add

    def wake(self: Session, rows: Callable[[Sequence[dict[str, Any]]], list[int]]) -> None:
        monkeypatch.setattr(Session, "add", add)
        for session in (awake, sleeper) if late else (sleeper, awake):
            add(session, rows if session is self else lambda log: [*rows_of(log, -1), sleeper.number])

    monkeypatch.setattr(Session, "add", wake)
    if late:
        imports.run_import(awake, catalog, PLAN)  # type: ignore[arg-type]
        assert recorded(catalog) == [0, 2]
    else:
        with pytest.raises(TaskFailed, match="Another process wrote the table .* Import again"):
            imports.run_import(awake, catalog, PLAN)  # type: ignore[arg-type]
        assert rows_of(log_of(catalog.store), catalog.read(TABLE).fields["deltaVersion"]) == [0]
    run(catalog, 3)
    assert recorded(catalog) == ([0, 2, 3] if late else [0, 3])


def new_world(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of a seed, which the package takes for the real one."""
    world = World(seed, {})
    monkeypatch.setattr(location, "FileStore", world.store)
    for module in (lease, catalogs):
        monkeypatch.setattr(module, "time", world.clock)
    return world


def run(catalog: Catalog, number: int) -> Session:
    """Import."""
    session = Session(number, catalog.store)
    imports.run_import(session, catalog, PLAN)  # type: ignore[arg-type]
    return session


def recorded(catalog: Catalog) -> list[int]:
    """The rows that the record names; a view is of them."""
    version = catalog.read(TABLE).fields["deltaVersion"]
    assert catalog.read(GROUP).fields["view"]["sha256"] == f"{version}"
    return rows_of(log_of(catalog.store), version)


def tell(world: World) -> None:
    """Three times some imports at once, of which the last one is in peace."""
    catalog, dice = Catalog(f"file://{ROOT}catalog"), world.dice
    sessions: list[Session] = []
    done: list[int] = []

    def act() -> None:
        sessions.append(session := Session(len(sessions), catalog.store))
        imports.run_import(session, catalog, PLAN)  # type: ignore[arg-type]
        done.append(session.number)

    for peace in (False, False, True):
        actors = [Actor("in peace", act)] if peace else [_importer(dice, act) for _ in range(dice.randint(1, 3))]
        world.run(actors)
        for each in actors:
            assert each.raised is None or isinstance(each.raised, () if peace else EXPECTED), repr(each.raised)
        world.sleep(10_000)
    rows = recorded(catalog)
    assert len(rows) == len({*rows}), rows
    assert {*done} <= {*rows}, f"of {done} some are lost: {rows}"
    assert {*rows} <= {*done, *(each.number for each in sessions if each.ending)}, f"more than {done} count: {rows}"


def _importer(dice: Any, act: Callable[[], None]) -> Actor:
    dies, sleeps = dice.random() < 0.4, dice.random() < 0.4
    return Actor(
        "import",
        partial(act),
        dice.choice([0.0, 0.0, 0.03]),
        dice.randint(1, 40) if dies else None,
        awake=dice.randint(1, 40) if sleeps else None,
    )
