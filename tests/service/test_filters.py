from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from personalize_spark.artifacts.artifact import finish, write_table
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.schemas import ITEMS, Column, Schema
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import golden_group


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A dataset group whose items have the genres Comedy and War."""
    catalog = Catalog(tmp_path / "catalog")
    store = catalog.store.at("views/shop/2")
    texts = pa.RecordBatch.from_pydict({"text": pa.array([b"Comedy", b"War"], pa.binary())})
    columns = Column("ITEM_ID", "string"), Column("GENRE", "string")
    properties = {"schemas": {ITEMS: Schema(ITEMS, columns).avro()}, "eventTypes": []}
    view = finish(store, [write_table(store, "items/GENRE.texts", texts)], properties)
    catalog.update(golden_group(catalog), view=vars(view))
    return catalog


def test_a_filter_of_values_that_no_item_has_is_kept_and_warned_of(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    [group] = catalog.list("dataset-group")
    expression = 'INCLUDE ItemID WHERE Items.GENRE IN ("Comedy", "Wra")'
    create_filter(catalog, {"name": "f", "datasetGroupArn": str(group.arn), "filterExpression": expression})
    assert caplog.messages == ["No row has 'Wra' in Items.GENRE (did you mean 'War'?)."]
    assert [each.arn.name for each in catalog.list("filter")] == ["f"]
