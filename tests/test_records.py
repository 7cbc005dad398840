from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personalize_spark.recommendations import Recommendations, render
from personalize_spark.records import MAX_LINE, ids_of, lists_of, parse
from personalize_spark.scoring.item_index import JsonTexts

USER = ("userId",)
OF_PANDAS = (
    ": it is a whole number with a decimal point, as pandas writes ids beside missing values; write its digits alone"
)
LARGE = ": a number beyond 64 bits must stand in quotes"


def only(line: bytes, required: tuple[str, ...] = USER) -> tuple[str, str | None]:
    """The echo of a line, and its error."""
    records = parse([line], required)
    [echo] = records.inputs
    return echo.decode(), records.errors[0].message if records.errors else None


@pytest.mark.parametrize(
    ("line", "echo"),
    [
        (b'{"userId": "u1"}', '{"userId":"u1"}'),
        (b'\xef\xbb\xbf {"userId":"u1"}\r', '{"userId":"u1"}'),
        (b'{"z": [1, {"b": null}], "userId": "u", "a": 1.50}', '{"z":[1,{"b":null}],"userId":"u","a":1.50}'),
        (
            b'{"userId": "u", "n": [-123456789012345678901234567890, 1e2, {"x": 0.10}], "t": "1.50 e"}',
            '{"userId":"u","n":[-123456789012345678901234567890,1e2,{"x":0.10}],"t":"1.50 e"}',
        ),
        (b'{"userId": 12}', '{"userId":12}'),
        (b'{"userId": "u", "n": [-0, -0.0]}', '{"userId":"u","n":[-0,-0.0]}'),
        (b'{"userId": 18446744073709551615}', '{"userId":18446744073709551615}'),
        ('{"userId":"é\\u00e9"}'.encode(), '{"userId":"éé"}'),
        (b'{"userId":"' + b"x" * 256 + b'"}', '{"userId":"' + "x" * 256 + '"}'),
    ],
)
def test_a_good_line_is_echoed_compactly(line: bytes, echo: str) -> None:
    assert only(line) == (echo, None)


@pytest.mark.parametrize(
    ("line", "echo", "error"),
    [
        (b'{"itemId":"a"}', '{"itemId":"a"}', "Required fields for the provided recipe are userId"),
        (b'{"userId":null}', '{"userId":null}', "Required fields for the provided recipe are userId"),
        (b'{"userId":""}', '{"userId":""}', "userId must have 1 to 256 characters"),
        (b'{"userId":1.5}', '{"userId":1.5}', "userId must be a string"),
        (b'{"userId":7.0}', '{"userId":7.0}', f"userId must be a string{OF_PANDAS}"),
        (
            b'{"userId": 8120125224640029423.0}',
            '{"userId":8120125224640029423.0}',
            f"userId must be a string{OF_PANDAS}",
        ),
        (b'{"userId":-9223372036854775809}', '{"userId":-9223372036854775809}', f"userId must be a string{LARGE}"),
        (b'{"userId":1e999}', '"{\\"userId\\":1e999}"', "The line is not valid JSON at character 11"),
        (b'{"userId":"' + b"x" * 257 + b'"}', '{"userId":"' + "x" * 257 + '"}', "userId must have 1 to 256 characters"),
        (
            b'{"userId":"u"}{"userId":"v"}',
            '"{\\"userId\\":\\"u\\"}{\\"userId\\":\\"v\\"}"',
            "The line is not valid JSON at character 15",
        ),
        (b'{"userId":true}', '{"userId":true}', "userId must be a string"),
        (b'{"userId":18446744073709551616}', '{"userId":18446744073709551616}', f"userId must be a string{LARGE}"),
        (b'{"userId":["u"]}', '{"userId":["u"]}', "userId must be a string"),
        (b"[1]", '"[1]"', "The line is not a JSON object"),
        (b'"u1"', '"\\"u1\\""', "The line is not a JSON object"),
        (b'{"userId":', '"{\\"userId\\":"', "The line is not valid JSON at character 11"),
        (b'{"userId":NaN}', '"{\\"userId\\":NaN}"', "The line is not valid JSON at character 11"),
        (b'{"userId":"\xff"}', '"{\\"userId\\":\\"\ufffd\\"}"', "The line is not valid UTF-8 at byte 12"),
        (b'{"userId":"\\ud800"}', '"{\\"userId\\":\\"\\\\ud800\\"}"', "The line is not valid JSON at character 12"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line: bytes, echo: str, error: str) -> None:
    assert only(line) == (echo, error)


def test_a_line_that_is_too_long_shows_its_beginning() -> None:
    echo, error = only(b'{"userId":"' + b"x" * MAX_LINE + b'"}')
    assert len(json.loads(echo)) == 1_000
    assert error == f"The line has more than {MAX_LINE} bytes"


@pytest.mark.parametrize("space", [b" ", b"\xef\xbb\xbf ", b"\t"])
def test_a_line_that_is_too_long_is_so_whatever_stands_at_its_beginning(space: bytes) -> None:
    line = space * (MAX_LINE // len(space)) + b'{"userId":"u"}'
    assert only(line) == only(line[: MAX_LINE + 1])  # as a split may hand it on
    assert only(line)[1] == f"The line has more than {MAX_LINE} bytes"


def test_a_line_that_is_nested_too_deeply_is_no_crash() -> None:
    def error(depth: int) -> str | None:
        return only(b'{"userId":"u","x":' + b"[" * depth + b"]" * depth + b"}")[1]

    assert error(200) is None
    assert error(300) == error(1_000) == "The line is nested too deeply"
    assert error(2_000) == "The line is not valid JSON at character 1043"


def test_a_null_in_a_list_is_no_item() -> None:
    objects = parse([b'{"itemList":["a",null,7]}', b'{"itemList":[null]}'], ("itemList",)).objects
    lengths, ids = lists_of(objects, "itemList")
    assert (lengths.tolist(), ids) == ([2, 0], ["a", "7"])
    _, error = only(b'{"itemList":["a",7.0]}', ("itemList",))
    assert error == f"itemList must be an array of strings{OF_PANDAS}"
    assert only(b'{"itemList":["a",true]}', ("itemList",))[1] == "itemList must be an array of strings"


def test_two_required_fields_are_named_together() -> None:
    _, error = only(b'{"itemId":"a"}', ("userId", "itemId"))
    assert error == "Required fields for the provided recipe are userId, itemId"


def test_blank_lines_are_no_records() -> None:
    assert parse([b"", b" ", b"\r", b"\xef\xbb\xbf"], USER).inputs == []
    assert render(parse([b""], USER), Recommendations.of(np.zeros((0, 3), np.int32), None), JsonTexts.of([])) == b""


def test_ids_are_text_whatever_they_were() -> None:
    assert ids_of(parse([b'{"userId":"u"}', b'{"userId":7}', b'{"userId":"\xc3\xa9"}'], USER).objects, "userId") == [
        "u",
        "7",
        "é",
    ]


GOOD = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9), max_size=3
)
LINES = st.one_of(
    st.builds(lambda more, user: orjson.dumps({**more, "userId": user}), GOOD, st.text(min_size=1, max_size=9)),
    st.binary(max_size=30).filter(lambda line: b"\n" not in line),
    st.sampled_from(
        [b"", b"\r", b'{"userId":"u"}\r', b"\xef\xbb\xbf{}", b"null", b"{", b'{"userId":"u"}', b'{"userId":3}']
    ),
)


def answers(count: int) -> Recommendations:
    """Lists of different lengths."""
    items = np.tile(np.array([2, 0, 1], np.int32), (count, 1))
    items[::2, 2] = -1
    items[::3] = -1
    return Recommendations.of(items, np.where(items >= 0, 0.25, 0.0))


TEXTS = JsonTexts.of([b'"a"', b'"b\\"c"', '"é"'.encode()])
IDS = ["a", 'b"c', "é"]


@given(st.lists(LINES, max_size=30))
def test_every_line_is_answered_once_and_in_its_place(lines: list[bytes]) -> None:
    records = parse(lines, USER)
    expected = answers(len(records.objects))
    data = render(records, expected, TEXTS)
    out = [json.loads(line) for line in data.splitlines()]
    there = [line for line in lines if line.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r")]
    assert len(out) == len(there) == data.count(b"\n")
    lists = [expected.items.row(row) for row in range(len(expected.items))]
    good = iter(zip(lists, records.objects, strict=True))
    for line, answer in zip(there, out, strict=True):
        assert list(answer) == ["input", "output", "error"]
        if answer["error"] is None:
            items, record = next(good)
            assert answer["input"] == record == orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
            assert answer["output"]["recommendedItems"] == [IDS[item] for item in items.tolist()]
            assert answer["output"]["scores"] == [0.25] * len(answer["output"]["recommendedItems"])
        else:
            assert answer["output"] == {"recommendedItems": []}
            assert answer["error"].startswith("User error: ")
    assert len(records.errors) == sum(answer["error"] is not None for answer in out)


@given(st.lists(LINES, max_size=20), st.integers(0, 20))
def test_lines_do_not_know_their_neighbours(lines: list[bytes], cut: int) -> None:
    def out(part: list[bytes]) -> bytes:
        records = parse(part, USER)
        items = np.tile(np.array([1], np.int32), (len(records.objects), 1))
        return render(records, Recommendations.of(items, None), TEXTS)

    assert out(lines) == out(lines[:cut]) + out(lines[cut:])


NEARLY = st.sampled_from(
    [
        b'{"userId":"u"}',
        b'{"userId": "u"}',
        b'{"userId":  "u"}',
        b'{ "userId":"u"}',
        b'{"userId": "u", "n": 1.50}',
        b'{"userId":"u","n":[1,{"a":null}]}',
        b'{"userId": "a\\": b", "t": "x\\", y"}',
        b'{"userId":"u"},{"userId":"v"}',
        b'{"userId":"u"',
        b'"x":2}',
        b"]",
        b"[",
        b'{"userId":"u","userId":"v"}',
        b'{"userId":""}',
        b'{"userId":"' + b"x" * 257 + b'"}',
        b'["userId"]',
        b'{"userId":7}',
        b"",
    ]
)


@example([b'{"userId":"u"', b'"x":2}', b'{"userId":"u"},{"userId":"v"}'], USER)
@example([b'{"userId": "a\\": b"}', b'{"userId":"u", "userId":"v"}'], USER)
@given(st.lists(NEARLY, min_size=1, max_size=4), st.sampled_from([USER, ("userId", "itemList")]))
def test_lines_are_read_together_as_they_are_read_alone(lines: list[bytes], required: tuple[str, ...]) -> None:
    # a key that lines may have is looked for line by line
    together, alone = parse(lines, required), [parse([line], required, may_have=("allowList",)) for line in lines]
    assert together.inputs == [echo for each in alone for echo in each.inputs]
    assert together.objects == [record for each in alone for record in each.objects]
    assert list(together.errors.values()) == [error for each in alone for error in each.errors.values()]


def test_there_are_no_scores_where_a_recipe_has_none() -> None:
    line: dict[str, Any] = json.loads(
        render(parse([b'{"userId":"u"}'], USER), Recommendations.of(np.array([[0]], np.int32), None), TEXTS)
    )
    assert line["output"] == {"recommendedItems": ["a"]}
