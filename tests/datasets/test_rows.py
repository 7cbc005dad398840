from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.datasets.rows import read_rows, sample
from personalize_spark.errors import DataError, InvalidInputException
from personalize_spark.schemas import INTERACTIONS, ITEMS, USERS, Column, Schema

CLICKS = Schema(
    INTERACTIONS,
    (
        Column("USER_ID", "string"),
        Column("ITEM_ID", "string"),
        Column("TIMESTAMP", "long"),
        Column("EVENT_VALUE", "float", nullable=True),
    ),
)
THINGS = Schema(
    ITEMS,
    (
        Column("ITEM_ID", "string"),
        Column("GENRE", "string", nullable=True, categorical=True),
        Column("TEXT", "string", nullable=True, textual=True),
        Column("ADULT", "boolean", nullable=True),
    ),
)


def rows(text: str | bytes, schema: Schema) -> list[dict[str, Any]]:
    data = text.encode() if isinstance(text, str) else text
    return [row for batch in read_rows(io.BytesIO(data), "f.csv", schema) for row in batch.to_pylist()]


def good(text: str | bytes, schema: Schema) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in schema.names) for row in rows(text, schema) if row["_reason"] is None]


def bad(text: str | bytes, schema: Schema) -> list[tuple[int, str]]:
    return sorted((row["_line"], row["_reason"]) for row in rows(text, schema) if row["_reason"] is not None)


HEADER = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_VALUE\n"


def test_rows_are_typed() -> None:
    text = HEADER + "u,i,1700000000,1.5\nu,i,0,\n"
    assert good(text, CLICKS) == [("u", "i", 1_700_000_000, 1.5), ("u", "i", 0, None)]


def numbers(kind: str, *texts: str) -> list[Any]:
    """The value of each text in a column of that type, or the reason why it has none."""
    schema = Schema(USERS, (Column("USER_ID", "string"), Column("N", kind, nullable=True)))
    read = rows("USER_ID,N\n" + "".join(f"u,{text}\n" for text in texts), schema)
    return [row["_reason"] or row["N"] for row in read]


@pytest.mark.parametrize(("kind", "bits"), [("int", 32), ("long", 64)])
def test_an_integer_has_exactly_the_range_of_its_type(kind: str, bits: int) -> None:
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    assert numbers(kind, str(least), str(most), "-0", f"-000000000000000000000{most}", "007") == [
        least,
        most,
        0,
        -most,
        7,
    ]
    for text in (str(least - 1), str(most + 1), "9" * 5_000, f"-0{most + 2}", f"1{'0' * 30}"):
        assert numbers(kind, "1", text, "") == [1, f"N is outside the range of type {kind}", None]
    assert numbers(kind, "+5", "1e3", "1.0", "٣", "--1", "-") == [f"N is not of type {kind}"] * 6


@pytest.mark.parametrize(("kind", "too_large"), [("float", "1.8e308"), ("double", "1.8e308")])
def test_a_decimal_is_a_value_or_beyond_its_type(kind: str, too_large: str) -> None:
    assert numbers(kind, "+5", "-.5", "5.", "1E+2", "1e-400", "0e99999") == [5, -0.5, 5, 100, 0, 0]
    for text in (too_large, f"-{too_large}", "1e400", "1e99999999999999999999", "9" * 5_000):
        assert numbers(kind, "1", text, "") == [1, f"N is outside the range of type {kind}", None]
    assert numbers(kind, "nan", "inf", "0x1", "1e", "1_0") == [f"N is not of type {kind}"] * 5


def test_a_float_is_the_number_that_is_written() -> None:
    texts = [f"{cents // 100}.{cents % 100:02d}" for cents in range(0, 4_000, 7)]
    assert numbers("float", *texts) == [float(text) for text in texts]


@given(
    st.sampled_from(["int", "long", "float", "double"]),
    st.from_regex(r"[+-]?[0-9]*\.?[0-9]*([eE][+-]?[0-9]*)?", fullmatch=True),
)
def test_no_number_stops_an_import(kind: str, text: str) -> None:
    [found] = numbers(kind, text)
    assert found is None or isinstance(found, int | float) or found.startswith("N is ")


def test_times_are_epoch_seconds() -> None:
    text = HEADER + "u,i,32503680000,\nu,i,32503680001,\nu,i,1700000000000,\nu,i,-1,\n"
    assert good(text, CLICKS) == [("u", "i", 32_503_680_000, None)]
    late = "TIMESTAMP is beyond the year 3000: use epoch seconds, not milliseconds"
    assert bad(text, CLICKS) == [(3, late), (4, late), (5, "TIMESTAMP is negative: use epoch seconds")]
    items = Schema(ITEMS, (Column("ITEM_ID", "string"), Column("CREATION_TIMESTAMP", "long", nullable=True)))
    assert bad("ITEM_ID,CREATION_TIMESTAMP\na,\nb,1700000000000\n", items) == [(3, f"CREATION_{late}")]


def test_quotes_escapes_and_newlines_are_the_services() -> None:
    text = 'ITEM_ID,GENRE,TEXT,ADULT\np9,a|b,"A \\"short\\" text, two\nlines \\\\",true\n'
    assert good(text, THINGS) == [("p9", "a|b", 'A "short" text, two\nlines \\', True)]


def test_crlf_blank_lines_and_a_byte_order_mark_are_accepted() -> None:
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + "u,i,1,\r\n\r\nu,j,2,\r\n"
    assert good(text, CLICKS) == [("u", "i", 1, None), ("u", "j", 2, None)]


def test_a_bad_row_is_named_by_its_line_and_the_rest_goes_in() -> None:
    text = (
        HEADER
        + "u,i,1,\n"
        + "u,i,later,\n"  # line 3
        + "u,i\n"
        + ",i,1,\n"
        + "u,i,1,much\n"
        + '"u\nu",i,1,\n'  # lines 7 and 8
        + "u,i,1.5,\n"  # line 9
        + "u" * 257
        + ",i,1,\n"
        + "u,i,2,\n"
    )
    assert bad(text, CLICKS) == [
        (3, "TIMESTAMP is not of type long"),
        (4, "2 fields where the header has 4"),
        (5, "USER_ID is missing"),
        (6, "EVENT_VALUE is not of type float"),
        (9, "TIMESTAMP is not of type long"),
        (10, "USER_ID has more than 256 characters"),
    ]
    assert [row[:3] for row in good(text, CLICKS)] == [("u", "i", 1), ("u\nu", "i", 1), ("u", "i", 2)]


def test_a_quote_that_is_never_closed_is_a_bad_row() -> None:
    text = HEADER + 'u,i,1,\nu,j,2,"unclosed\n'
    assert good(text, CLICKS) == [("u", "i", 1, None)]
    assert bad(text, CLICKS) == [(3, "not CSV: unexpected end of data")]
    assert bad(HEADER + "u,i,+5,\n", CLICKS) == [(2, "TIMESTAMP is not of type long")]


def test_a_row_that_is_not_utf8_is_bad() -> None:
    text = HEADER.encode() + b"u,\xff,1,\nu,i,1,\n"
    assert bad(text, CLICKS) == [(2, "ITEM_ID is not valid UTF-8")]
    assert good(text, CLICKS) == [("u", "i", 1, None)]


def test_texts_are_bounded_as_in_the_service() -> None:
    text = f"ITEM_ID,GENRE,TEXT,ADULT\na,{'g' * 1001},,\nb,,{'t' * 20001},\nc,,,maybe\n"
    assert bad(text, THINGS) == [(2, "GENRE has more than 1000 characters"), (4, "ADULT is not of type boolean")]
    assert good(text, THINGS) == [("b", None, "t" * 20000, None)]


def test_many_rows_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.datasets.rows._BATCH", 7)
    text = HEADER + "".join(f"u{n},i,{n},\n" if n % 5 else "bad\n" for n in range(100))
    assert [row[2] for row in good(text, CLICKS)] == [n for n in range(100) if n % 5]
    assert [line for line, _ in bad(text, CLICKS)] == [n + 2 for n in range(0, 100, 5)]


def test_other_columns_than_the_schemas_are_refused() -> None:
    with pytest.raises(
        InvalidInputException,
        match="f.csv has the columns ITEM_ID, USER_ID, TIMESTAMP; .* USER_ID, ITEM_ID, TIMESTAMP, EVENT_VALUE, in this order",
    ):
        rows("ITEM_ID,USER_ID,TIMESTAMP\n", CLICKS)


def test_one_field_is_not_fields() -> None:
    assert bad(HEADER + "u\n", CLICKS) == [(2, "1 field where the header has 4")]


def test_a_sample_is_the_header_and_columns() -> None:
    assert sample(io.BytesIO(b"A,B\n1,2\nragged\n3,4\n"), "f", 10) == (["A", "B"], [["1", "3"], ["2", "4"]])
    assert sample(io.BytesIO(b"A,B\n"), "f", 10) == (["A", "B"], [[], []])
    assert sample(io.BytesIO(b'A,B\n1,2\n3,"4" 5\n5,6\n'), "f", 10) == (["A", "B"], [["1", "5"], ["2", "6"]])
    assert sample(io.BytesIO(b"A,B\n1,2\n"), "f", 0) == (["A", "B"], [[], []])
    with pytest.raises(DataError, match="f is empty"):
        sample(io.BytesIO(b""), "f", 10)
    with pytest.raises(DataError, match="f has no header: its first line is not CSV"):
        sample(io.BytesIO(b'"A,B\n'), "f", 10)
