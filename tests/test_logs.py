from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from personalize_spark.logs import about, logging_as_set, set_job

Says = Callable[[str, str], None]
_log = logging.getLogger("personalize_spark.job.test")


@pytest.fixture
def as_set(monkeypatch: pytest.MonkeyPatch) -> Says:
    def put(form: str, levels: str) -> None:
        monkeypatch.setenv("PERSONALIZE_SPARK_LOG_FORMAT", form)
        monkeypatch.setenv("PERSONALIZE_SPARK_LOG_LEVEL", levels)
        set_job("-")  # a test of tasks may have carried one out in this process

    return put


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_of_json_names_the_job(as_set: Says, capsys: pytest.CaptureFixture[str]) -> None:
    as_set("json", "")
    with logging_as_set(), about("arn:of:a:job"):
        _log.info("%d lines\nread", 3, extra={"fields": {"lines": 3}})
        _log.debug("unseen")
    [said] = lines(capsys)
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "INFO",
        "logger": "personalize_spark.job.test",
        "job": "arn:of:a:job",
        "message": "3 lines\nread",
        "lines": 3,
    }


def test_an_exception_stays_in_its_line(as_set: Says, capsys: pytest.CaptureFixture[str]) -> None:
    as_set("json", "")
    with logging_as_set():
        try:
            int("x")
        except ValueError:
            _log.exception("It failed")
    [said] = lines(capsys)
    assert (said["job"], said["error"].splitlines()[-1]) == (
        "-",
        "ValueError: invalid literal for int() with base 10: 'x'",
    )


def test_text_names_the_job_too(as_set: Says, capsys: pytest.CaptureFixture[str]) -> None:
    as_set("text", "")
    with logging_as_set(), about("arn:of:a:job"):
        _log.warning("Read")
    assert capsys.readouterr().err.endswith(" WARNING personalize_spark.job.test arn:of:a:job Read\n")


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ("error", []),
        ("error,personalize_spark.job=debug", ["debug", "warning"]),
        ("debug,personalize_spark.job.test=warning", ["warning"]),
    ],
)
def test_loggers_have_levels(levels: str, said: list[str], as_set: Says, capsys: pytest.CaptureFixture[str]) -> None:
    as_set("json", levels)
    with logging_as_set():
        _log.debug("debug")
        _log.warning("warning")
    assert [each["message"] for each in lines(capsys)] == said


def test_afterwards_the_log_is_what_it_was(as_set: Says) -> None:
    root = logging.getLogger("personalize_spark")
    before = root.level, [*root.handlers], _log.level
    as_set("json", "debug,personalize_spark.job.test=error")
    with logging_as_set():
        assert (root.level, _log.level) == (logging.DEBUG, logging.ERROR)
    assert (root.level, root.handlers, _log.level) == before


def test_nothing_is_set_up_unasked(as_set: Says) -> None:
    as_set("", "")
    with logging_as_set():
        assert not logging.getLogger("personalize_spark").handlers
