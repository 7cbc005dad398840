"""Two batches of answers compared: against the definitions written out in plain Python."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize_spark.errors import DataError
from personalize_spark.quality.differences import OutputComparison, Tally
from personalize_spark.quality.lists import Lists, item_codes, read_lists

Line = dict[str, Any]

GOLDEN = Path(__file__).parents[1] / "golden"


def line(user: object, items: Sequence[object], scores: Sequence[float | None] | None = None) -> Line:
    output = {"recommendedItems": items} | ({} if scores is None else {"scores": scores})
    return {"input": {"userId": user}, "output": output, "error": None}


def error(user: object) -> Line:
    return {"input": {"userId": user}, "output": {"recommendedItems": []}, "error": "User error: no"}


def text(lines: Sequence[Line]) -> list[bytes]:
    return [json.dumps(each).encode() + b"\n" for each in lines]


def compared(old: Sequence[Line], new: Sequence[Line], at: int | None = None, parts: int = 3) -> OutputComparison:
    codes = item_codes()
    sides = [read_lists(text(lines), codes, "f", 1) for lines in (old, new)]
    packed = [{part: some.packed() for part, some in side.parts(parts)} for side in sides]
    tally = Tally(len(codes), max(int(side.items.lengths.max(initial=0)) for side in sides), at)
    for part in range(parts):
        tally.add(*(Lists.unpacked(side.get(part, b"")) for side in packed))
    return tally.comparison()


SCORED = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1) | st.none()), unique_by=lambda each: each[0])
LINE = st.builds(
    lambda user, scored, kind: (
        error(user)
        if kind == 0
        else line(user, [item for item, _ in scored], None if kind == 1 else [score for _, score in scored])
    ),
    st.integers(0, 6),
    SCORED,
    st.integers(0, 4),
)


def mean(values: Sequence[float]) -> Any:
    return None if not values else pytest.approx(sum(values) / len(values), abs=1e-12)


def pairs_of(old: Sequence[Line], new: Sequence[Line]) -> list[tuple[Line, Line]]:
    rest = list(new)
    pairs = []
    for one in old:
        other = next((each for each in rest if each["input"] == one["input"]), None)
        if other is not None:
            rest.remove(other)  # the first of those that are equal to it: they have the same input
            pairs.append((one, other))
    return pairs


def footrule(old: Sequence[str], new: Sequence[str]) -> float:
    ours, theirs = [item for item in old if item in new], [item for item in new if item in old]
    return 1 - sum(abs(ours.index(item) - theirs.index(item)) for item in ours) / (len(ours) ** 2 // 2)


@pytest.mark.slow
@given(old=st.lists(LINE, max_size=12), new=st.lists(LINE, max_size=12), at=st.none() | st.integers(1, 9))
def test_every_number_is_what_its_definition_says(old: list[Line], new: list[Line], at: int | None) -> None:
    report = compared(old, new, at)
    pairs = pairs_of(old, new)
    both = [(one, other) for one, other in pairs if one["error"] is None and other["error"] is None]
    lists = [(one["output"]["recommendedItems"], other["output"]["recommendedItems"]) for one, other in both]
    assert (report.old.lines, report.new.lines, report.both.lines) == (len(old), len(new), len(pairs))
    assert (report.old.only, report.new.only) == (len(old) - len(pairs), len(new) - len(pairs))
    assert report.old.errors == sum(each["error"] is not None for each in old)
    assert report.both.errors == sum(one["error"] is not None and other["error"] is not None for one, other in pairs)
    assert report.both.answered == len(both)
    overlaps = {depth: [overlap(*each, depth) for each in lists] for depth in report.overlap}
    assert report.overlap == {depth: mean(values) for depth, values in overlaps.items()}
    assert report.footrule == mean([footrule(*each) for each in lists if len(set(each[0]) & set(each[1])) > 1])
    assert report.identical == mean([one == other for one, other in lists])
    assert report.difference == mean([gap for each in both for gap in gaps(*each)])
    places = [round(share * report.at) for share in overlaps[report.at]]
    assert report.histogram == [places.count(place) for place in range(report.at + 1)]


@pytest.mark.slow
@given(old=st.lists(LINE, max_size=12), new=st.lists(LINE, max_size=12))
def test_coverage_and_popularity_are_what_their_definitions_say(old: list[Line], new: list[Line]) -> None:
    report = compared(old, new)
    both = [each for each in pairs_of(old, new) if each[0]["error"] is None and each[1]["error"] is None]
    sides = [[set(each[side]["output"]["recommendedItems"]) for each in both] for side in (0, 1)]
    items = [set().union(*side) for side in sides]
    assert report.both.items == len(items[0] & items[1])
    for side, lists, own in zip((report.old, report.new), sides, items, strict=True):
        shares = {item: sum(item in each for each in lists) / len(lists) for item in own}
        assert side.items == len(own)
        assert side.popularity == mean([shares[item] for each in lists for item in each])
        counts = [sum(item in each for each in lists) for item in items[0] | items[1]]
        # the other form of the Gini coefficient: half the mean difference of two items, over the mean
        gaps = [abs(one - other) for one in counts for other in counts]
        expected = sum(gaps) / (2 * len(counts) * sum(counts)) if sum(counts) else None
        assert side.gini == (None if expected is None else pytest.approx(expected, abs=1e-12))


def overlap(old: Sequence[str], new: Sequence[str], depth: int) -> float:
    longer = min(depth, max(len(old), len(new)))
    return len(set(old[:depth]) & set(new[:depth])) / longer if longer else 1.0


def gaps(old: Line, new: Line) -> list[float]:
    ours, theirs = (
        dict(zip(each["output"]["recommendedItems"], each["output"].get("scores", []), strict=False))
        for each in (old, new)
    )
    return [abs(ours[item] - theirs[item]) for item in ours if ours[item] is not None and theirs.get(item) is not None]


def test_a_worked_example() -> None:
    old = [line(1, ["a", "b", "c"], [0.5, 0.3, 0.2]), line(2, ["a", "b", "c"]), line(3, ["a", "b"]), error(4), error(5)]
    new = [
        error(5),
        line(4, ["a"]),
        line(9, ["z"]),
        line(2, ["c", "b", "a"]),
        line(1, ["a", "b", "d"], [0.4, 0.3, 0.1]),
    ]
    report = compared(old, new)
    assert (report.both.lines, report.old.only, report.new.only) == (4, 1, 1)
    assert (report.old.errors, report.new.errors, report.both.errors, report.both.answered) == (2, 1, 1, 2)
    assert report.overlap == {1: 0.5, 3: pytest.approx((2 / 3 + 1) / 2)}
    assert report.footrule == 0.5  # the same order of a and b, and the reverse of a, b and c
    assert report.identical == 0
    assert report.difference == pytest.approx(0.05)
    assert (report.old.items, report.new.items, report.both.items) == (3, 4, 3)
    assert report.old.popularity == 1
    assert report.new.popularity == pytest.approx((1 + 1 + 0.5 + 1 + 1 + 0.5) / 6)
    assert (report.at, report.histogram) == (3, [0, 0, 1, 1])


def test_depths_end_with_the_longest_list() -> None:
    lists = [line(1, [f"i{n}" for n in range(12)])]
    assert list(compared(lists, lists).overlap) == [1, 5, 10, 12]
    assert list(compared(lists, lists, at=3).overlap) == [1, 3, 5, 10, 12]
    assert compared(lists, lists, at=40).at == 12
    assert compared([line(1, [])], [line(1, [])]).overlap == {1: 1.0}


def test_an_input_that_is_there_twice_meets_its_counterparts_in_order() -> None:
    old, new = [line(1, ["a"]), line(1, ["b"]), line(1, ["c"])], [line(1, ["a"]), line(1, ["b"])]
    report = compared(old, new)
    assert (report.both.lines, report.old.only, report.identical) == (2, 1, 1.0)
    assert compared(old, new[::-1]).identical == 0.0


def test_inputs_meet_whatever_the_order_of_their_keys() -> None:
    old: Line = {"input": {"userId": "u", "context": {"A": "1", "B": "2"}}, "output": {"recommendedItems": ["a"]}}
    new: Line = {"output": {"recommendedItems": ["a"]}, "input": {"context": {"B": "2", "A": "1"}, "userId": "u"}}
    assert compared([old], [new]).both.lines == 1
    assert compared([line("7", ["a"])], [line(7, ["a"])]).both.lines == 0


def test_an_item_that_is_listed_twice_counts_where_it_is_first() -> None:
    report = compared([line(1, ["a", "b", "a"], [0.5, 0.3, 0.2])], [line(1, ["a", "b"], [0.5, 0.3])])
    assert (report.identical, report.difference) == (1, 0)


def test_an_item_may_be_a_number() -> None:
    assert compared([line(1, [7, "a"])], [line(1, ["7", "a"])]).identical == 1


def test_blank_lines_are_skipped_and_counted() -> None:
    with pytest.raises(DataError, match=r"^s3://b/x\.out, line 12 is not an output line: "):
        read_lists([b"\n", *text([line(1, ["a"])]), b" \r\n", b"{}\n"], item_codes(), "s3://b/x.out", 9)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b'{"userId":"u1"}', "it has no input, or neither output nor error"),
        (b'{"input":{"userId":"u1"},"output":', "unexpected end of data"),
        (b"[]", "it has no input"),
        (b'{"input":\xff,"output":{}}', "line 1 is not an output line"),
        (b'{"input":{},"output":{"usersList":["u1"]}}', "no recommendedItems"),
        (b'{"input":{},"output":[]}', "no recommendedItems"),
        (b'{"input":{},"output":null,"error":null}', "no recommendedItems"),
        (b'{"input":{},"output":{"recommendedItems":[["a"]]}}', "not a list of item ids"),
        (b'{"input":{},"output":{"recommendedItems":["a"],"scores":[]}}', "not one number for each"),
        (b'{"input":{},"output":{"recommendedItems":["a"],"scores":["1"]}}', "not one number for each"),
        (
            b'{"input":' + b"[" * 500 + b"]" * 500 + b',"output":{"recommendedItems":[]}}',
            "line 1 is not an output line",
        ),
    ],
)
def test_a_line_that_is_no_output_line_is_named(bad: bytes, said: str) -> None:
    with pytest.raises(DataError, match="line 1 is not an output line") as caught:
        read_lists([bad], item_codes(), "f", 1)
    assert said in caught.value.message


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-popularity-count"])
def test_what_a_job_writes_is_identical_to_itself(recipe: str) -> None:
    lines = [json.loads(each) for each in (GOLDEN / f"{recipe}.out").read_text().splitlines()]
    report = compared(lines, random.Random(1).sample(lines, len(lines)))
    assert report.old == report.new
    assert report.both.lines == len(lines)
    assert {*report.overlap.values(), report.footrule, report.identical} == {1.0}
    assert report.difference == (0 if recipe == "aws-user-personalization" else None)


def test_batches_without_lines_have_no_means() -> None:
    nothing = compared([], [])
    assert {*nothing.overlap.values(), nothing.footrule, nothing.identical, nothing.difference} == {None}
    assert nothing.notes
    assert not compared([line(1, ["a"])], [line(1, ["a"])]).notes


def test_a_comparison_prints_as_a_table_and_is_plain_values() -> None:
    lists = [line(1, ["a", "b"], [0.5, 0.25]), error(2)]
    comparison = compared(lists, lists)
    rows = dict(each.split(maxsplit=1) for each in str(comparison).partition("\n\n")[2].splitlines()[1:])
    assert rows["lines"].split() == ["2", "2", "2"]
    assert rows["overlap@2"] == "1.0000"
    assert rows["score"].split() == ["difference", "0.0000000"]
    plain = json.loads(json.dumps(comparison.to_dict()))
    assert plain["both"] == {"lines": 2, "errors": 1, "answered": 1, "items": 2}
    assert plain["overlap"] == {"1": 1.0, "2": 1.0}
