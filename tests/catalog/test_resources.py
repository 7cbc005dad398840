from __future__ import annotations

import time
from pathlib import Path

import pytest

from personalize_spark.catalog import resources
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException, ResourceInUseException, ResourceNotFoundException

GROUP = Arn("aws", "us-east-1", "000000000000", "dataset-group", "films")
SOLUTION = GROUP.sibling("solution", "top")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}")


def version(catalog: Catalog, name: str, status: Status, mode: str = "FULL", created: float = 0.0) -> str:
    arn = SOLUTION.sibling("solution", SOLUTION.name, name)
    record = catalog.create(arn, {"status": status, "trainingMode": mode})
    catalog.update(record, creationDateTime=created, heartbeat=time.time())
    return str(arn)


@pytest.mark.parametrize("wanted", ["filter", "dataset group", "solution version"])
def test_an_arn_of_another_kind_is_refused(catalog: Catalog, wanted: str) -> None:
    with pytest.raises(InvalidInputException, match=f"'{SOLUTION}' is not the ARN of a {wanted}"):
        resources.find(catalog, str(SOLUTION), wanted)


def test_a_wrong_name_is_told_the_nearest(catalog: Catalog) -> None:
    found = catalog.create(SOLUTION, {})
    assert resources.find(catalog, str(SOLUTION), "solution").fields == found.fields
    with pytest.raises(ResourceNotFoundException, match=r"solution/tops does not exist .*\(did you mean 'top'\?\)\.$"):
        resources.find(catalog, f"{SOLUTION}s", "solution")
    made = version(catalog, "1a2b3c4d", Status.ACTIVE)
    with pytest.raises(ResourceNotFoundException, match=r"\(did you mean '1a2b3c4d'\?\)"):
        resources.find(catalog, made.replace("1a2b", "1a2c"), "solution version")


def test_a_version_or_solution_of_another_name_is_told_what_is_there(catalog: Catalog) -> None:
    catalog.create(SOLUTION, {})
    version(catalog, "1a2b3c4d", Status.ACTIVE, created=1.0)
    newest = version(catalog, "5e6f7a8b", Status.ACTIVE, created=2.0)
    with pytest.raises(ResourceNotFoundException, match=f"; the newest version of top is {newest}\\.$"):
        resources.find(catalog, f"{SOLUTION}/99999999", "solution version")
    with pytest.raises(ResourceNotFoundException, match=r"\(did you mean 'top'\?\)\.$"):
        resources.find(catalog, f"{SOLUTION}s/5e6f7a8b", "solution version")


def test_an_arn_of_another_region_is_told_what_is_there(catalog: Catalog) -> None:
    catalog.create(SOLUTION, {})
    with pytest.raises(ResourceNotFoundException, match=f"holds {SOLUTION}\\.$"):
        resources.find(catalog, str(SOLUTION).replace("us-east-1", "eu-west-1"), "solution")


def test_a_group_is_found_by_its_name(catalog: Catalog) -> None:
    with pytest.raises(ResourceNotFoundException, match="no dataset group 'films' .*; there are: none"):
        resources.find_group(catalog, "films")
    catalog.create(GROUP, {})
    assert resources.find_group(catalog, "films").arn == GROUP
    with pytest.raises(ResourceNotFoundException, match=r"'flims' .*\(did you mean 'films'\?\)"):
        resources.find_group(catalog, "flims")
    with pytest.raises(ResourceNotFoundException, match="there are: films"):
        resources.find_group(catalog, "other")


def test_a_dataset_is_found_by_its_group(catalog: Catalog) -> None:
    with pytest.raises(ResourceNotFoundException, match="'films' has no Items dataset: import items first"):
        resources.find_dataset(catalog, GROUP, "Items")
    arn = resources.dataset_arn(GROUP, "Items")
    assert arn.resource == "dataset/films/ITEMS"
    catalog.create(arn, {"deltaVersion": 3})
    assert resources.find_dataset(catalog, GROUP, "Items").fields["deltaVersion"] == 3


def test_only_an_active_version_recommends(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.catalog.lease.BEAT_SECONDS", 0.02)
    active = version(catalog, "a", Status.ACTIVE)
    assert str(resources.find_active_version(catalog, active).arn) == active
    with pytest.raises(ResourceInUseException, match="is CREATE IN_PROGRESS; wait"):
        resources.find_active_version(catalog, version(catalog, "b", Status.IN_PROGRESS))
    silent = version(catalog, "silent", Status.IN_PROGRESS)
    catalog.update(catalog.read(Arn.parse(silent)), heartbeat=1.0)
    with pytest.raises(InvalidInputException, match="no longer sends a heartbeat"):
        resources.find_active_version(catalog, silent)
    failed = version(catalog, "c", Status.FAILED)
    catalog.update(catalog.read(Arn.parse(failed)), failureReason="disk full")
    with pytest.raises(InvalidInputException, match="is CREATE FAILED: disk full"):
        resources.find_active_version(catalog, failed)


def test_the_latest_version_is_the_newest_that_is_active(catalog: Catalog) -> None:
    assert resources.latest_active_version(catalog, SOLUTION) is None
    version(catalog, "d", Status.ACTIVE, created=1)
    full = version(catalog, "c", Status.ACTIVE, created=2)
    updated = version(catalog, "b", Status.ACTIVE, "UPDATE", created=3)
    version(catalog, "a", Status.FAILED, created=4)
    assert [str(each.arn)[-1] for each in resources.versions_of(catalog, SOLUTION)] == ["a", "b", "c", "d"]
    found = [resources.latest_active_version(catalog, SOLUTION, mode) for mode in (None, "FULL", "other")]
    assert [each and str(each.arn) for each in found] == [updated, full, None]
