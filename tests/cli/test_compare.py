from __future__ import annotations

import json
from pathlib import Path

import pytest

from personalize_spark.cli.main import main
from personalize_spark.quality.compare import compare

OLD = '{"input":{"userId":"u"},"output":{"recommendedItems":["a","b"]},"error":null}\n'
NEW = '{"input":{"userId":"u"},"output":{"recommendedItems":["b","a"]},"error":null}\n'


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "old.out", tmp_path / "new.out"]
    for path, text in zip(paths, (OLD, NEW), strict=True):
        path.write_text(text)
    return list(map(str, paths))


def test_the_command_prints_what_the_function_returns(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compare(*files, at=1)
    assert main(["compare", *files, "--at", "1"]) == 0
    assert capsys.readouterr() == (f"{comparison}\n", "")
    assert main(["compare", *files, "--at", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(comparison.to_dict()))


def test_the_command_plots(files: list[str], tmp_path: Path) -> None:
    assert main(["compare", *files, "--plot", str(tmp_path / "a.svg")]) == 0
    assert (tmp_path / "a.svg").read_text().startswith("<svg ")


def test_answers_to_other_lines_are_told(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(files[1]).write_text(NEW.replace('"u"', '"v"'))
    assert main(["compare", *files]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(" " * 22)  # the table is there all the same
    assert said.err.count("Are they answers to the same input?") == 1
