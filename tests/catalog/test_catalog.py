from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import ResourceAlreadyExistsException, ResourceInUseException, ResourceNotFoundException

ARN = Arn("aws", "eu-west-1", "111122223333", "solution", "home", "1a2b3c4d")


@pytest.fixture(params=["files", pytest.param("s3", marks=pytest.mark.s3)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    return Catalog(request.getfixturevalue("s3") if request.param == "s3" else f"file://{tmp_path}")


def test_a_record_is_created_read_and_changed(catalog: Catalog) -> None:
    created = catalog.create(ARN, {"status": "CREATE PENDING", "failureReason": "none yet"})
    record = catalog.read(ARN)
    assert record == created
    catalog.update(record, status="ACTIVE", failureReason=None)
    again = catalog.read(ARN).fields
    assert again["status"] == "ACTIVE"
    assert "failureReason" not in again
    assert again["lastUpdatedDateTime"] > again["creationDateTime"]
    catalog.update(record, status="CREATE FAILED")  # the same record, of the version it has now
    assert catalog.read(ARN) == record


def test_of_eight_writers_one_wins(catalog: Catalog) -> None:
    def create(number: int) -> int | None:
        try:
            catalog.create(ARN, {"number": number})
        except ResourceAlreadyExistsException:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(create, range(8)) if number is not None]
    assert won == [catalog.read(ARN).fields["number"]]


def test_who_changes_an_old_version_is_told(catalog: Catalog) -> None:
    stale = catalog.create(ARN, {})
    catalog.update(catalog.read(ARN), status="ACTIVE")
    with pytest.raises(ResourceInUseException, match="changed by another process"):
        catalog.update(stale, status="CREATE FAILED")
    assert catalog.read(ARN).fields["status"] == "ACTIVE"


def test_of_eight_changes_of_one_version_one_is_made(catalog: Catalog) -> None:
    catalog.create(ARN, {})
    records = [catalog.read(ARN) for _ in range(8)]

    def change(number: int) -> int | None:
        try:
            catalog.update(records[number], owner=number)
        except ResourceInUseException:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(change, range(8)) if number is not None]
    assert won == [catalog.read(ARN).fields["owner"]]


def test_a_record_is_not_found_under_an_arn_of_another_region(catalog: Catalog) -> None:
    catalog.create(ARN, {})
    with pytest.raises(ResourceNotFoundException, match=f"holds {ARN}"):
        catalog.read(replace(ARN, region="us-east-1"))


def test_lists_are_by_kind_and_below_a_resource(catalog: Catalog) -> None:
    for arn in (ARN, ARN.sibling("solution", "home"), ARN.sibling("solution", "away"), ARN.sibling("filter", "home")):
        catalog.create(arn, {})
    assert [record.arn.name for record in catalog.list("solution")] == ["away", "home"]
    assert [record.arn for record in catalog.list("solution", "home")] == [ARN]


def test_what_is_not_there_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(ResourceNotFoundException, match="solution/home/1a2b3c4d does not exist"):
        catalog.read(ARN)
