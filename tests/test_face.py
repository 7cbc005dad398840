"""The public face: its names, its cost, and that each command is the function of its name."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import personalize_spark as ps
from personalize_spark.cli.main import parser

NAMES = {
    "Catalog",
    "JobFailed",
    "PersonalizeSparkError",
    "ServiceError",
    "__version__",
    "compare",
    "evaluate",
    "explain_filter",
    "import_datasets",
    "import_model",
    "run_batch_inference",
    "train",
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "import": ps.import_datasets,
    "train": ps.train,
    "import-model": ps.import_model,
}
NAMED = {"import": ["group"], "train": ["group", "recipe", "solution"], "import-model": ["solution", "recipe"]}


def test_the_names() -> None:
    assert set(ps.__all__) == NAMES
    assert {*dir(ps)} >= NAMES
    for name in NAMES:
        assert getattr(ps, name).__doc__, name


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'recommend_all'"):
        ps.recommend_all  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_is_cheap() -> None:
    program = "import sys, personalize_spark; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"pyspark", "numpy", "boto3", "botocore", "orjson", "pyarrow"}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_a_command_has_the_parameters_of_its_function(command: str) -> None:
    named = [part for name in NAMED[command] for part in (f"--{name}", "x")]
    options = set(vars(parser().parse_args([command, *named])))
    assert options - {"command"} == {*inspect.signature(FUNCTIONS[command]).parameters} - {"spark"}


README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_readme_calls_functions_as_they_are() -> None:
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    called = [node for node in calls if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "ps"]
    assert len(called) == 4
    for node in called:
        assert isinstance(node.func, ast.Attribute)
        assert node.func.attr in NAMES
        keywords = {str(each.arg): None for each in node.keywords}
        inspect.signature(getattr(ps, node.func.attr)).bind(*node.args, **keywords)


def test_the_readme_shows_commands_as_they_are() -> None:
    shown = re.findall(r"^\$ personalize-spark ([^#\n]*)", README, re.MULTILINE)
    assert len(shown) >= 5
    for line in shown:
        parser().parse_args(shlex.split(line))
    rows = re.findall(r"^\| (`[a-z].*?) \| (.*?) \| ", README, re.MULTILINE)
    functions = {name for _, name in rows if name}
    assert functions == {f"`{name}`" for name in NAMES if name.islower() and not name.startswith("_")}
    for commands, _ in rows:
        for command in re.findall(r"`([a-z-]+)`", commands):
            with pytest.raises(SystemExit) as exited:
                parser().parse_args([command, "--help"])
            assert exited.value.code == 0, command
