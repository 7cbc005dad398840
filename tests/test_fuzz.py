"""Whatever arrives, a reader answers with its value or with an error of this package, and with nothing else."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import ArtifactError, DataError, InvalidInputException, ServiceError
from personalize_spark.external.arrays import open_npy, open_npz
from personalize_spark.filters.parser import parse
from personalize_spark.request import skeleton, validate
from personalize_spark.schemas import ITEMS, Schema
from tests.fuzz_targets import TARGETS

# lone surrogates too: a command line and a file's name may hold them
TEXTS = st.text(st.characters(codec=None), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value, with another one in some place of it."""
    if draw(st.booleans()) and isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: mutated(draw, value[key])}
    if draw(st.booleans()) and isinstance(value, list) and value:
        return [mutated(draw, value[0]), *value[1:]]
    return draw(VALUES)


@given(
    data=st.data(),
    operation=st.sampled_from(["CreateBatchInferenceJob", "CreateFilter", "CreateSolution", "TagResource"]),
)
def test_a_request_is_valid_or_refused(data: st.DataObject, operation: str) -> None:
    params = data.draw(st.composite(lambda draw: mutated(draw, skeleton(operation)))())
    try:
        validate(operation, params if isinstance(params, dict) else {})
    except ServiceError as error:
        error.message.encode()


WORDS = [
    "INCLUDE",
    "EXCLUDE",
    "ItemID",
    "WHERE",
    "Items",
    ".",
    "GENRES",
    "IN",
    "NOT",
    "(",
    ")",
    '"x"',
    "'",
    "$P",
    "AND",
    "OR",
]
EXPRESSIONS = st.lists(st.sampled_from([*WORDS, "IF", "CurrentUser", ">", "=", "1.5", "-", "|", ",", "*"]) | TEXTS).map(
    " ".join
)


@given(EXPRESSIONS)
@example("(" * 2_000)
@example("EXCLUDE ItemID WHERE Items.PRICE > \u0663")
@example('EXCLUDE ItemID WHERE Items.NAME IN ("\ud800")')
def test_an_expression_is_a_filter_or_refused(text: str) -> None:
    try:
        parse(text)
    except InvalidInputException as error:
        error.message.encode()


@pytest.mark.parametrize("number", ["\u0663", "\uff11", "1e5", "1_000", "0x1"])
def test_only_digits_make_a_number_in_an_expression(number: str) -> None:
    with pytest.raises(InvalidInputException, match="Invalid filter expression at character 3[67]"):
        parse(f"EXCLUDE ItemID WHERE Items.PRICE > {number}")


SCHEMA = {
    "type": "record",
    "name": ITEMS,
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "GENRES", "type": ["null", "string"], "categorical": True},
    ],
}


@given(data=st.data())
def test_a_schema_is_one_or_refused(data: st.DataObject) -> None:
    avro = data.draw(st.composite(lambda draw: mutated(draw, SCHEMA))())
    with suppress(InvalidInputException):
        Schema.parse(ITEMS, avro if isinstance(avro, dict) else {})


RECORD = {
    "arn": "arn:aws:personalize:us-east-1:000000000000:solution/home",
    "status": "ACTIVE",
    "creationDateTime": 1.0,
}


@in_one_folder
@given(data=st.data())
def test_a_record_is_read_or_damaged(data: st.DataObject, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    fields = data.draw(st.composite(lambda draw: mutated(draw, RECORD))())
    try:
        text = data.draw(st.binary(max_size=50) | st.just(orjson.dumps(fields)))
    except TypeError:  # no JSON can hold it
        text = b"\xff"
    catalog.store.write("records/solution/home.json", text)
    with suppress(ArtifactError):
        list(catalog.everything())


def saved(array: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


def zipped() -> bytes:
    data = io.BytesIO()
    np.savez(data, user_factors=np.zeros((3, 2), np.float32), item_factors=np.zeros((2, 2), np.float32))
    return data.getvalue()


ARRAYS = {"a.npy": saved(np.arange(12.0).reshape(4, 3)), "a.npz": zipped()}


@in_one_folder
@pytest.mark.parametrize("name", ARRAYS)
@given(data=st.data())
def test_an_array_is_read_or_refused(name: str, data: st.DataObject, tmp_path: Path) -> None:
    good = bytearray(ARRAYS[name])
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=4)):
        good[place] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(good[: data.draw(st.integers(0, len(good)) | st.just(len(good)))])
    uri = f"file://{tmp_path}/{name}"
    with suppress(DataError):
        arrays = [open_npy(uri)] if name == "a.npy" else list(open_npz(uri).values())
        for each in arrays:
            each.of("fiu", (1, 2)).rows(0, each.shape[0])


def test_a_truncated_array_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(ARRAYS["a.npy"][:-10])
    with pytest.raises(DataError, match=r"/a\.npy is truncated: it lacks the last 10 bytes; copy or save it again\."):
        open_npy(f"file://{tmp_path}/a.npy")


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.binary(max_size=200))
@example(b'{"userId":"u1"}\n\n{')
def test_what_is_fuzzed_at_night_holds_by_day(target: str, data: bytes) -> None:
    TARGETS[target](data)
