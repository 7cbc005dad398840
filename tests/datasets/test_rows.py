from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.datasets.rows import Reading, Sample, read_rows, sample
from personalize_spark.datasets.times import TimeForm
from personalize_spark.errors import DataError, InvalidInputException, quoted
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
    return read(text, Reading(schema))


def read(text: str | bytes, reading: Reading) -> list[dict[str, Any]]:
    data = text.encode() if isinstance(text, str) else text
    return [row for batch in read_rows(io.BytesIO(data), "f.csv", reading) for row in batch.to_pylist()]


def good(text: str | bytes, schema: Schema) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in schema.names) for row in rows(text, schema) if row["_reason"] is None]


def bad(text: str | bytes, schema: Schema) -> list[tuple[int, str]]:
    return sorted((row["_line"], row["_reason"]) for row in rows(text, schema) if row["_reason"] is not None)


NO_FLOAT = (
    "which is not of type float: write a number such as 1.5, leave it empty, or make the column a string in the schema"
)
NO_BOOLEAN = (
    "which is not of type boolean: write true or false, leave it empty, or make the column a string in the schema"
)
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
        assert numbers(kind, "1", text, "") == [1, f"N is outside the range of type {kind}: {quoted(text)}", None]
    for text in ("+5", "1e3", "1.5", "٣", "--1"):
        cure = "write a whole number, leave it empty, or make the column a string in the schema"
        assert numbers(kind, text) == [f"N is '{text}', which is not of type {kind}: {cure}"]
    assert numbers(kind, "-", "-1.00") == [
        f"N is '-', which is not of type {kind}: leave it empty if it is missing",
        f"N is '-1.00', which is not of type {kind}: write -1",
    ]


@pytest.mark.parametrize(("kind", "too_large"), [("float", "1.8e308"), ("double", "1.8e308")])
def test_a_decimal_is_a_value_or_beyond_its_type(kind: str, too_large: str) -> None:
    assert numbers(kind, "+5", "-.5", "5.", "1E+2", "1e-400", "0e99999") == [5, -0.5, 5, 100, 0, 0]
    for text in (too_large, f"-{too_large}", "1e400", "1e99999999999999999999", "9" * 5_000):
        assert numbers(kind, "1", text, "") == [1, f"N is outside the range of type {kind}: {quoted(text)}", None]
    for text in ("inf", "0x1", "1e", "1_0"):
        cure = "write a number such as 1.5, leave it empty, or make the column a string in the schema"
        assert numbers(kind, text) == [f"N is '{text}', which is not of type {kind}: {cure}"]
    assert numbers(kind, "nan", '"1,5"') == [
        f"N is 'nan', which is not of type {kind}: leave it empty if it is missing",
        f"N is '1,5', which is not of type {kind}: write 1.5",
    ]


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
    late = "TIMESTAMP is {}, beyond the year 3000: use epoch seconds, not milliseconds"
    assert bad(text, CLICKS) == [
        (3, late.format(32_503_680_001)),
        (4, late.format(1_700_000_000_000)),
        (5, "TIMESTAMP is -1, before 1970: use epoch seconds"),
    ]
    items = Schema(ITEMS, (Column("ITEM_ID", "string"), Column("CREATION_TIMESTAMP", "long", nullable=True)))
    assert bad("ITEM_ID,CREATION_TIMESTAMP\na,\nb,1700000000000\n", items) == [
        (3, f"CREATION_{late.format(1_700_000_000_000)}")
    ]


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
        (3, "TIMESTAMP is 'later', which is not of type long: write epoch seconds, such as 1700000000"),
        (4, "2 fields where the header has 4"),
        (5, "USER_ID is missing"),
        (6, f"EVENT_VALUE is 'much', {NO_FLOAT}"),
        (9, "TIMESTAMP is '1.5', which is not of type long: write it without a decimal point, as epoch seconds"),
        (10, "USER_ID has more than 256 characters"),
    ]
    assert [row[:3] for row in good(text, CLICKS)] == [("u", "i", 1), ("u\nu", "i", 1), ("u", "i", 2)]


def test_a_quote_that_is_never_closed_is_a_bad_row() -> None:
    text = HEADER + 'u,i,1,\nu,j,2,"unclosed\n'
    assert good(text, CLICKS) == [("u", "i", 1, None)]
    assert bad(text, CLICKS) == [(3, "not CSV: unexpected end of data")]
    said = "not CSV: unexpected end of data; lines 3 to 5 are one row, as a quote is open at the end of line 3"
    assert bad(text + "u,j,3,\nu,k,4,\n", CLICKS) == [(5, said)]
    [(line, reason)] = bad(HEADER + "u,i,+5,\n", CLICKS)
    assert (line, reason[:46]) == (2, "TIMESTAMP is '+5', which is not of type long: ")


def test_a_row_that_is_not_utf8_is_bad() -> None:
    text = HEADER.encode() + b"u,\xff,1,\nu,i,1,\n"
    assert bad(text, CLICKS) == [(2, "ITEM_ID is not valid UTF-8")]
    assert good(text, CLICKS) == [("u", "i", 1, None)]


def test_texts_are_bounded_as_in_the_service() -> None:
    text = f"ITEM_ID,GENRE,TEXT,ADULT\na,{'g' * 1001},,\nb,,{'t' * 20001},\nc,,,maybe\n"
    assert bad(text, THINGS) == [(2, "GENRE has more than 1000 characters"), (4, f"ADULT is 'maybe', {NO_BOOLEAN}")]
    assert good(text, THINGS) == [("b", None, "t" * 20000, None)]


def test_many_rows_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalize_spark.datasets.rows._BATCH", 7)
    text = HEADER + "".join(f"u{n},i,{n},\n" if n % 5 else "bad\n" for n in range(100))
    assert [row[2] for row in good(text, CLICKS)] == [n for n in range(100) if n % 5]
    assert [line for line, _ in bad(text, CLICKS)] == [n + 2 for n in range(0, 100, 5)]


def test_columns_are_found_by_their_names() -> None:
    text = "EVENT_VALUE,NOTE,TIMESTAMP,ITEM_ID,USER_ID\n1.5,x,7,i,u\n"
    assert good(text, CLICKS) == [("u", "i", 7, 1.5)]
    assert bad(text + "1,2\n", CLICKS) == [(3, "2 fields where the header has 5")]
    with pytest.raises(InvalidInputException) as caught:
        rows("ITEM_ID,USER_ID,TIMESTAMP\n", CLICKS)
    assert caught.value.message == (
        "f.csv has the columns ITEM_ID, USER_ID, TIMESTAMP; it lacks EVENT_VALUE. "
        "The schema of Interactions needs USER_ID, ITEM_ID, TIMESTAMP, EVENT_VALUE, in any order, in every file."
    )
    with pytest.raises(InvalidInputException, match="f.csv has several columns TIMESTAMP"):
        rows("USER_ID,ITEM_ID,TIMESTAMP,TIMESTAMP,EVENT_VALUE\n", CLICKS)


def test_columns_have_the_names_that_the_file_has_for_them() -> None:
    text = "customer,sku,TIMESTAMP,EVENT_VALUE\nu,i,7,\n"
    [row] = read(text, Reading(CLICKS, names={"USER_ID": "customer", "ITEM_ID": "sku"}))
    assert (row["USER_ID"], row["ITEM_ID"], row["TIMESTAMP"]) == ("u", "i", 7)


@pytest.mark.parametrize(
    ("form", "text", "seconds"),
    [
        (TimeForm.DECIMAL, "1700000000.0", 1_700_000_000),
        (TimeForm.DECIMAL, "1.7E+09", 1_700_000_000),
        (TimeForm.DECIMAL, "1700000000", 1_700_000_000),
        (TimeForm.ISO, "2023-11-14T22:13:20Z", 1_700_000_000),
        (TimeForm.ISO, "2023-11-15 00:13:20.999+02:00", 1_700_000_000),
    ],
)
def test_times_are_read_in_the_form_of_their_column(form: TimeForm, text: str, seconds: int) -> None:
    [row] = read(HEADER + f"u,i,{text},\n", Reading(CLICKS, {"TIMESTAMP": form}))
    assert row["TIMESTAMP"] == seconds


@pytest.mark.parametrize(
    ("form", "text", "cure"),
    [
        (TimeForm.SECONDS, "2023-11-14T22:13:20Z", "write 1700000000, as the other rows have epoch seconds"),
        (TimeForm.DECIMAL, "2023-11-14", "it has no time zone; write epoch seconds, such as 1700000000, or 2023"),
        (TimeForm.ISO, "1700000000", "the other rows have ISO 8601 with a zone; write all rows in one form"),
        (TimeForm.ISO, "2023-99-99T00:00:00Z", "write epoch seconds, such as 1700000000"),
    ],
)
def test_a_time_of_another_form_is_shown_with_its_cure(form: TimeForm, text: str, cure: str) -> None:
    [row] = read(HEADER + f"u,i,{text},\n", Reading(CLICKS, {"TIMESTAMP": form}))
    assert (row["TIMESTAMP"], row["_line"]) == (None, 2)
    assert f"TIMESTAMP is '{text}', which is no" in row["_reason"]
    assert cure in row["_reason"]


def test_a_time_beyond_all_years_is_a_bad_row() -> None:
    for text in ("1e999", "1E+30"):
        [row] = read(HEADER + f"u,i,{text},\n", Reading(CLICKS, {"TIMESTAMP": TimeForm.DECIMAL}))
        assert row["_reason"].startswith("TIMESTAMP is beyond the year 3000")


def test_words_for_missing_values_are_counted_where_no_schema_is_given() -> None:
    text = "ITEM_ID,GENRE,TEXT,ADULT\nNA,NaN,\\N,True\nb,drama,-,FALSE\n"
    [one, two] = read(text, Reading(THINGS, missing_words=True))
    assert (one["ITEM_ID"], one["GENRE"], one["TEXT"], one["ADULT"]) == ("NA", None, None, True)
    assert one["_missing"] == ["GENRE 'NaN'", "TEXT '\\\\N'"]
    assert (two["GENRE"], two["TEXT"], two["ADULT"], two["_missing"]) == ("drama", None, False, ["TEXT '-'"])
    [one, two] = rows(text, THINGS)
    assert (one["GENRE"], one["TEXT"], two["TEXT"], one["_missing"]) == ("NaN", "\\N", "-", None)


def test_no_byte_of_a_value_reaches_a_terminal() -> None:
    [(_, reason)] = bad(HEADER + "u,i,\x1b[2J" + "x" * 500 + ",\n", CLICKS)
    assert reason.isprintable()
    assert len(reason) < 200


def test_one_field_is_not_fields() -> None:
    assert bad(HEADER + "u\n", CLICKS) == [(2, "1 field where the header has 4")]


def sampled(data: bytes, rows: int = 10) -> Sample:
    return sample(io.BytesIO(data), "f", rows, {})


def test_a_sample_is_the_header_and_columns() -> None:
    assert sampled(b"A,B\n1,2\nragged\n3,4\n") == Sample(["A", "B"], [["1", "3"], ["2", "4"]], [2, 4], [])
    assert sampled(b"A,B\n") == Sample(["A", "B"], [[], []], [], [])
    assert sampled(b'A,B\n1,2\n3,"4" 5\n5,6\n') == Sample(["A", "B"], [["1", "5"], ["2", "6"]], [2, 4], [])
    assert sampled(b"A,B\n1,2\n", 0) == Sample(["A", "B"], [[], []], [], [])
    with pytest.raises(DataError, match="f is empty"):
        sampled(b"")
    with pytest.raises(DataError, match="f has no header: its first line is not CSV"):
        sampled(b'"A,B\n')


@pytest.mark.parametrize(("header", "said"), [(b",A", "column 1 has no name"), (b"Unnamed: 0,A", "'Unnamed: 0'")])
def test_an_index_of_pandas_is_left_out_and_said(header: bytes, said: str) -> None:
    found = sampled(header + b"\n0,a\n1,b\n")
    assert (found.header, found.columns) == (["A"], [["a", "b"]])
    [note] = found.notes
    assert said in note


def test_latin1_is_named_once() -> None:
    with pytest.raises(DataError) as caught:
        sampled("A,B\n1,2\n3,São Paulo\n".encode("latin-1"))
    assert caught.value.message == (
        "f is not UTF-8 but Latin-1, or the like: line 3 has 'São Paulo'. Save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8)."
    )
    mixed = sampled("A,B\n1,São\n".encode() + b"3,\xff\n")  # a bad byte in a file that is UTF-8
    assert len(mixed.lines) == 2
