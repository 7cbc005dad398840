"""The log of a command, and of the processes that carry out its tasks: as text or as lines of JSON, each with the job that it is about.

Nothing is set up unless the settings `log-format` or `log-level` ask for it: warnings then go to stderr as Python writes them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

from personalize_spark.settings import LEVELS, value_of

_ROOT = "personalize_spark"
_TEXT = "%(asctime)s %(levelname)s %(name)s %(job)s %(message)s"
_job: ContextVar[str] = ContextVar("job", default="-")


@contextlib.contextmanager
def about(job: str) -> Iterator[None]:
    """What is logged in here is about this job; `job` is its ARN."""
    before = _job.set(job)
    try:
        yield
    finally:
        _job.reset(before)


def set_job(job: str) -> None:
    """What this thread logs from now on is about this job."""
    _job.set(job)


def as_json() -> bool:
    """Whether stderr is to hold lines of JSON only."""
    return value_of("log-format") == "json"


@contextlib.contextmanager
def logging_as_set() -> Iterator[None]:
    """In here what is logged goes to stderr as the settings say."""
    before = begin_logging()
    try:
        yield
    finally:
        for name, level in before.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            logger.handlers[:] = [each for each in logger.handlers if not isinstance(each, _Handler)]


def begin_logging() -> dict[str, int]:
    """Log to stderr as the settings say, from now on; does nothing where they say nothing, or it is done already.

    Returns:
        The levels that the loggers had before.
    """
    root, form, levels = logging.getLogger(_ROOT), value_of("log-format"), value_of("log-level")
    if not (form or levels) or any(isinstance(each, _Handler) for each in root.handlers):
        return {}
    before = {_ROOT: root.level}
    root.addHandler(_Handler(form))
    root.setLevel(logging.INFO)
    for name, level in re.findall(LEVELS, levels or ""):
        logger = logging.getLogger(name or _ROOT)
        before.setdefault(logger.name, logger.level)
        logger.setLevel(level.upper())
    return before


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to stderr, whatever that is at the time."""

    def __init__(self, form: str | None) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_Json() if form == "json" else logging.Formatter(_TEXT))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line that names the job."""
        record.job = _job.get()
        self.stream = sys.stderr
        super().emit(record)


class _Json(logging.Formatter):
    """One object a line: time, level, logger, job, message, and what the call adds as `extra={"fields": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "job": getattr(record, "job", "-"),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)
