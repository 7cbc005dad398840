"""Several imports into one group, in simulated worlds: they die and meet failures at any call to the storage, by a seed.

The steps that Spark does are stand-ins with the same effects: a table is a log of versions, of which a writer adds the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog import catalog as catalogs
from personalize_spark.catalog import lease
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import dataset_arn
from personalize_spark.catalog.status import Status
from personalize_spark.datasets import delta_tables, imports
from personalize_spark.datasets.import_plan import ImportPlan
from personalize_spark.datasets.imported import ImportReport
from personalize_spark.errors import JobFailed, ObjectExists, ResourceInUseException, StorageError, TaskFailed
from personalize_spark.storage import location
from tests.simulation import ROOT, SEEDS, Actor, Killed, World

GROUP = Arn("aws", "us-east-1", "000000000000", "dataset-group", "shop")
TABLE = dataset_arn(GROUP, "Items")
PLAN = ImportPlan(GROUP, [SimpleNamespace(reading=None, schema=SimpleNamespace(dataset="Items"))], little=True)  # type: ignore[list-item]
EXPECTED = (JobFailed, ResourceInUseException, StorageError, Killed)
"""What may end an import; that two of them write one table is none of it."""


def import_all(_: object, __: object, catalog: Catalog, ___: Arn, ____: Sequence[object]) -> Iterator[SimpleNamespace]:
    """Add a version to the table."""
    store = catalog.store.at("datasets/shop/items")
    newest = len(list(store.list()))
    try:
        store.create(f"{newest:05d}", b"rows")
    except ObjectExists as error:
        raise TaskFailed("another import writes this table") from error
    yield SimpleNamespace(delta_version=newest)


def record(alone: lease.Lease, catalog: Catalog, *_: object) -> None:
    """Keep the version of the table."""
    fields = {"status": Status.ACTIVE, "deltaVersion": _[-1]}
    imports._create_or_change(alone, catalog, TABLE, fields)


def build_view(_: object, catalog: Catalog, __: Arn, ticket: str) -> Pinned:
    """Make a view of the version that the record names."""
    version = catalog.read(TABLE).fields["deltaVersion"]
    store = catalog.store.at(f"views/shop/{ticket}")
    store.write("manifest.json", b"{}")
    return Pinned(store.root, f"{version}")


@pytest.fixture(autouse=True)
def _without_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: dict[str, Callable[..., Any]] = {"_import_all": import_all, "_record": record, "build_view": build_view}
    steps |= {"fold": lambda *_: None, "_check": lambda *_: None, "_refuse_nothing": lambda *_: None}
    for name, step in steps.items():
        monkeypatch.setattr(imports, name, step)
    for module in (imports, delta_tables):  # a version that no record names is none that these tables have
        monkeypatch.setattr(module, "restore", lambda *_: None)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3_600.0)  # no thread acts beside its import


def test_of_imports_at_once_none_is_lost_or_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5 * SEEDS):
        world = World(seed, {})
        monkeypatch.setattr(location, "FileStore", world.store)
        for module in (lease, catalogs):
            monkeypatch.setattr(module, "time", world.clock)
        try:
            tell(world)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("fence", range(1, 6))
def test_who_sleeps_behind_a_fence_undoes_nothing(fence: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import is stopped right behind a fence; another one takes over and ends; the first one wakes up."""
    world, fences = World(0, {}), 0
    monkeypatch.setattr(location, "FileStore", world.store)
    for module in (lease, catalogs):
        monkeypatch.setattr(module, "time", world.clock)
    catalog, update = Catalog(f"file://{ROOT}catalog"), lease.Lease.update
    imports.run_import(None, catalog, PLAN)  # type: ignore[arg-type]

    def sleepy(alone: lease.Lease, **changes: Any) -> None:
        nonlocal fences
        update(alone, **changes)
        fences += 1
        if fences == fence:
            world.sleep(10_000)
            imports.run_import(None, catalog, PLAN)  # type: ignore[arg-type]

    monkeypatch.setattr(lease.Lease, "update", sleepy)
    with pytest.raises(JobFailed, match="This driver no longer holds"):
        imports.run_import(None, catalog, PLAN)  # type: ignore[arg-type]
    assert fences > fence
    for place, read in (("dataset/shop/ITEMS", _version), ("dataset-group/shop", _view)):
        versions = list(map(read, world.histories[f"{ROOT}catalog/records/{place}.json"]))
        assert versions == sorted(versions), "an import undid another one"


def tell(world: World) -> None:
    """Three times some imports at once, of which the last one is in peace."""
    catalog, dice = Catalog(f"file://{ROOT}catalog"), world.dice
    done: list[ImportReport] = []

    def run() -> None:
        done.append(imports.run_import(None, catalog, PLAN))  # type: ignore[arg-type]

    for peace in (False, False, True):
        actors = [Actor("in peace", run)] if peace else [_importer(dice, run) for _ in range(dice.randint(1, 3))]
        world.run(actors)
        for each in actors:
            assert each.raised is None or isinstance(each.raised, () if peace else EXPECTED), repr(each.raised)
        view = int(catalog.read(GROUP).fields.get("view", {"sha256": "-1"})["sha256"]) if catalog.holds(GROUP) else -1
        assert all((each.delta_version or 0) <= view for report in done for each in report.datasets)
        world.sleep(10_000)
    assert view == len(list(catalog.store.list("datasets/shop/items/"))) - 1
    for place, read in (("dataset/shop/ITEMS", _version), ("dataset-group/shop", _view)):
        versions = list(map(read, world.histories[f"{ROOT}catalog/records/{place}.json"]))
        assert versions == sorted(versions), "an import undid another one"


def _importer(dice: Any, run: Callable[[], None]) -> Actor:
    dies = dice.random() < 0.4
    return Actor("import", partial(run), dice.choice([0.0, 0.0, 0.03]), dice.randint(1, 25) if dies else None)


def _version(fields: dict[str, Any]) -> int:
    return int(fields["deltaVersion"])


def _view(fields: dict[str, Any]) -> int:
    return int(fields["view"]["sha256"]) if "view" in fields else -1
