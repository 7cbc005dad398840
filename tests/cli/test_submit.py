"""A program that spark-submit begins ends its session, but for one that Ctrl-C has left in the middle of a word."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from personalize_spark.cli import submit
from personalize_spark.cli.main import DONE, FAILED, INTERRUPTED, REFUSED


@pytest.mark.parametrize(("code", "ended"), [(DONE, 1), (FAILED, 1), (REFUSED, 1), (INTERRUPTED, 0)])
def test_a_program_ends_its_session_and_tells_its_exit_code(
    code: int, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ends, told = list[Sequence[str]](), list[None](), list[object]()

    def main(argv: Sequence[str]) -> int:
        begun.append(argv)
        return code

    monkeypatch.setattr(submit, "main", main)
    monkeypatch.setattr(submit, "end_session", lambda: ends.append(None))
    monkeypatch.setattr(sys, "argv", ["jobs/train.py", "--group", "shop"])
    try:
        submit.submitted("train")
    except SystemExit as stop:
        told.append(stop.code)
    assert (begun, len(ends)) == ([["train", "--group", "shop"]], ended)
    assert told == [code] * (code != DONE)  # even `exit(0)` would be a failure to Databricks
