from __future__ import annotations

from collections.abc import Sequence

import pytest

from personalize_spark.datasets.inference import MISSING_WORDS, Inferred
from personalize_spark.datasets.inference import infer as infer_at
from personalize_spark.errors import InvalidInputException
from personalize_spark.schemas import INTERACTIONS, ITEMS, Column


def infer(dataset: str, header: Sequence[str], columns: Sequence[Sequence[str]]) -> Inferred:
    return infer_at(dataset, header, columns, [f"line {row + 2}" for row in range(len(columns[0]))])


def column(*values: str) -> tuple[str, list[str]]:
    """The type of a column of these values, and the reasons for it."""
    found = infer(ITEMS, ["ITEM_ID", "N"], [[f"i{row}" for row in range(len(values))], values])
    return found.schema.columns[1].type, found.reasons


def test_what_is_not_given_is_inferred() -> None:
    header = ["ITEM_ID", "GENRES", "YEAR", "PRICE", "NOTHING", "CREATION_TIMESTAMP"]
    columns = [["1", "2"], ["a|b", ""], ["1995", "-3"], ["1.5", "3"], ["", ""], ["5", "6"]]
    found = infer(ITEMS, header, columns)
    assert found.schema.columns == (
        Column("ITEM_ID", "string"),
        Column("GENRES", "string", nullable=True, categorical=True),
        Column("YEAR", "long", nullable=True),
        Column("PRICE", "double", nullable=True),
        Column("NOTHING", "string", nullable=True, categorical=True),
        Column("CREATION_TIMESTAMP", "long", nullable=True),
    )
    assert not found.reasons


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-3", "0"], "long"),
        (["9223372036854775807", "-9223372036854775808"], "long"),
        (["1", "2.5", "-0.5"], "double"),
        (["9.90", "12.00", "0.05"], "double"),  # prices, printed with two decimals
        (["1e-05", "0.5"], "double"),  # as pandas prints it
        (["1", "NaN", "\\N", "-", "None", ""], "long"),
        (["True", "False"], "string"),  # a filter cannot have booleans
        (["NaN", ""], "string"),
    ],
)
def test_numbers_keep_their_texts(values: list[str], kind: str) -> None:
    assert column(*values) == (kind, [])


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ("02134", " (a leading zero)"),
        ("-0", " (a leading zero)"),
        ("+5", " (a sign in front)"),
        ("9223372036854775808", " (beyond 64 bits)"),
        ("9" * 50, " (beyond 64 bits)"),
        ("1e3", " (as a number it would be 1000.0)"),
        (".5", " (as a number it would be 0.5)"),
        ("No", ""),
        ("٣", ""),
    ],
)
def test_one_value_that_is_no_number_makes_a_text_and_is_told(odd: str, why: str) -> None:
    kind, [reason] = column("1", "2", odd)
    assert kind == "string"
    assert reason == f"N is a string because of 1 of 3 values, such as '{odd}' in line 4{why}; the others are integers."


def test_versions_are_no_numbers() -> None:
    kind, [reason] = column("1.9", "1.10", "1.2")
    assert kind == "string"
    assert "'1.10' in line 3 (as a number it would be 1.1); the others are numbers" in reason


def test_codes_are_texts_even_if_all_look_like_numbers() -> None:
    assert column("007", "008") == (
        "string",
        ["N is a string because of 2 of 2 values, such as '007' in line 2 (a leading zero)."],
    )


def test_texts_need_no_reason() -> None:
    assert column("red", "blue", "7") == ("string", [])


def test_a_header_that_cannot_be_the_datasets_is_refused() -> None:
    with pytest.raises(InvalidInputException, match="USER_ID is missing"):
        infer(INTERACTIONS, ["ITEM_ID"], [[]])


def test_the_words_for_missing_values_are_those_of_the_docs() -> None:
    assert {"NaN", "NULL", "NA", "N/A", "None", "\\N", "-"} <= MISSING_WORDS
