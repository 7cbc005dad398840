from __future__ import annotations

import pytest

from personalize_spark.datasets.times import TimeForm, form_of_column, note_of
from personalize_spark.errors import InvalidInputException


def form(*values: str) -> TimeForm:
    return form_of_column("TIMESTAMP", values, [f"line {row + 2}" for row in range(len(values))])


def test_a_column_has_one_form() -> None:
    assert form() is form("1700000000", "never") is TimeForm.SECONDS
    assert form("1700000000.0", "1700000000") is form("1.7E+09") is TimeForm.DECIMAL
    assert form("2023-11-14T22:13:20Z", "2023-11-14 22:13:20+01:00") is TimeForm.ISO


def test_two_forms_are_refused_with_values_lines_and_the_cure() -> None:
    with pytest.raises(InvalidInputException) as caught:
        form("1700000000", "2023-11-14T22:13:20Z")
    assert caught.value.message == (
        "TIMESTAMP mixes two forms: '1700000000' in line 2, '2023-11-14T22:13:20Z' in line 3. "
        "Write all of its times as epoch seconds, or all in ISO 8601 with a zone."
    )


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(
        InvalidInputException, match="line 2: it has no time zone; .* or 2023-11-14T22:13:20Z if it is UTC"
    ):
        form("2023-11-14 22:13:20")


def test_what_was_read_otherwise_than_written_is_said() -> None:
    assert note_of("TIMESTAMP", TimeForm.SECONDS, ["1"]) is None
    assert note_of("TIMESTAMP", TimeForm.ISO, ["2023-11-14T22:13:20Z"]) == (
        "TIMESTAMP is written as ISO 8601 with a zone, such as '2023-11-14T22:13:20Z', and read as epoch seconds."
    )
    rounded = note_of("TIMESTAMP", TimeForm.DECIMAL, ["1.7E+09"])
    assert rounded is not None
    assert "a spreadsheet has rounded the times" in rounded
    mixed = note_of("TIMESTAMP", TimeForm.DECIMAL, ["1700000000", "1700000001.0"])
    assert mixed is not None
    assert "such as '1700000001.0'" in mixed
