"""The public face: its names, its cost, and that each command is the function of its name."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
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
