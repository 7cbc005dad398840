from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Never

import pytest

from personalize_spark.__main__ import main


def interrupted() -> Never:
    raise KeyboardInterrupt


def test_ctrl_c_is_told_from_the_first_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "personalize_spark.cli.main", SimpleNamespace(main=interrupted))
    assert main() == 130
    assert capsys.readouterr().err == "Interrupted.\n"
