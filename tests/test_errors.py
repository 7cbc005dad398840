from __future__ import annotations

import inspect
import pickle
import sys
import time

import pytest

from personalize_spark import errors
from personalize_spark.errors import (
    PersonalizeSparkError,
    ServiceError,
    counted,
    did_you_mean,
    interrupts_told,
    reason_of,
)
from tests.service_model import MODEL

OPERATIONS = (
    "CreateBatchInferenceJob",
    "DescribeBatchInferenceJob",
    "ListBatchInferenceJobs",
    "CreateFilter",
    "DescribeFilter",
    "ListFilters",
    "DeleteFilter",
)
ERRORS = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, PersonalizeSparkError)]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_that_the_service_declares_has_a_class(operation: str) -> None:
    declared = MODEL.operation_model(operation).error_shapes
    assert declared
    for shape in declared:
        assert issubclass(getattr(errors, shape.name), ServiceError)
        assert getattr(errors, shape.name)("x").code == shape.name


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_comes_home_from_a_worker(error: type[PersonalizeSparkError]) -> None:
    back = pickle.loads(pickle.dumps(error("what, where, what to do")))  # noqa: S301  # our own
    assert type(back) is error
    assert back.message == str(back) == "what, where, what to do"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert all(error.__name__ in drawn for error in ERRORS)


def test_only_a_name_that_is_near_is_offered() -> None:
    assert did_you_mean("flims", ["films", "books"]) == " (did you mean 'films'?)"
    assert not did_you_mean("songs", ["films", "books"])
    assert not did_you_mean("songs", [])


def test_a_count_has_the_right_plural() -> None:
    assert [counted(number, "row") for number in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]


def interrupted() -> None:
    """As Ctrl-C is through py4j, whose connection is cut when pyspark says the next thing."""
    try:
        raise KeyboardInterrupt  # noqa: TRY301
    except KeyboardInterrupt:
        raise ConnectionError("Error while sending or receiving") from None


def test_an_interrupt_is_told_though_an_error_took_its_place() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_told():
        interrupted()
    with pytest.raises(ConnectionError) as lost:
        interrupted()
    assert reason_of(lost.value) == "The driver was stopped."
    with pytest.raises(ConnectionError) as plain, interrupts_told():
        raise ConnectionError("gone")
    assert reason_of(plain.value) == "ConnectionError: gone"


class Dropped:
    """Raises while it is finalized, which Python tells and drops."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def interrupted_in_a_finalizer() -> None:
    Dropped(KeyboardInterrupt)
    time.sleep(10)


def test_an_interrupt_that_python_drops_is_told_a_moment_later() -> None:
    before = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interrupts_told():
        interrupted_in_a_finalizer()
    assert sys.unraisablehook is before


def test_other_errors_that_python_drops_go_where_they_went(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))
    with interrupts_told():
        Dropped(ValueError)
    assert told == [ValueError]
