from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import (
    ArtifactError,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
    StorageError,
)

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


DAMAGED = {
    "broken": b"{broken",
    "empty": b"",
    "another kind": b"[1]",
    "no ARN": b"{}",
    "an odd status": b'{"arn":"%b","status":"LOST","creationDateTime":1}' % str(ARN).encode(),
    "no time": b'{"arn":"%b"}' % str(ARN).encode(),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_an_error_for_itself_alone(
    damage: bytes, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(ARN, version="other")
    catalog.create(ARN, {})
    catalog.create(other, {})
    catalog.store.write(f"records/{ARN.resource}.json", damage)
    with pytest.raises(ArtifactError, match=rf"The record .*records/{ARN.resource}\.json is damaged .*: restore it"):
        catalog.read(ARN)
    assert [each.arn for each in catalog.list("solution", "home")] == [other]
    assert f"{ARN.resource}.json is damaged" in caplog.text


def test_a_pipe_in_place_of_a_record_is_not_waited_for(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.create(ARN, {})
    path = tmp_path / f"records/{ARN.resource}.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StorageError, match="is no regular file"):
        catalog.read(ARN)
    assert list(catalog.list("solution", "home")) == []


def test_a_link_in_place_of_a_record_is_an_error_for_itself_alone(tmp_path: Path) -> None:
    catalog, other = Catalog(tmp_path / "catalog"), replace(ARN, version="other")
    for each in (ARN, other):
        catalog.create(each, {})
    path = tmp_path / f"catalog/records/{ARN.resource}.json"
    (tmp_path / "secret.json").write_text("a secret")
    for target, said in (
        (path, "does not exist"),
        (tmp_path / "gone", "does not exist"),
        (tmp_path / "secret.json", "is damaged"),
    ):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises((ArtifactError, ResourceNotFoundException), match=said) as error:
            catalog.read(ARN)
        assert "a secret" not in str(error.value)
        assert [each.arn for each in catalog.list("solution", "home")] == [other]


def test_places_in_the_catalog_are_stored_relative_to_it(catalog: Catalog) -> None:
    root = catalog.store.root
    fields = {
        "path": f"{root}datasets/shop/items",
        "job": {"model": {"uri": f"{root}models/home/1/"}},
        "view": {"uri": "s3://elsewhere/view/"},
        "jobOutput": {"s3DataDestination": {"path": f"{root}out/"}},  # what the user said stays what it is
    }
    catalog.create(ARN, fields)
    stored = json.loads(catalog.store.read(f"records/{ARN.resource}.json"))
    assert stored["path"] == "datasets/shop/items"
    assert stored["job"]["model"]["uri"] == "models/home/1/"
    assert {name: stored[name] for name in ("view", "jobOutput")} == {
        name: fields[name] for name in ("view", "jobOutput")
    }
    assert {name: catalog.read(ARN).fields[name] for name in fields} == fields
