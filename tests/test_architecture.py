"""The law of the house, enforced: who may import whom, how large things may grow, what is never done."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "personalize_spark"
MODULES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [
    *MODULES,
    *(path for folder in ("benchmarks", "jobs", "tests") for path in sorted((ROOT / folder).rglob("*.py"))),
]

LEVELS = {
    "errors": 0,
    "arns": 1,
    "request": 1,
    "scores": 1,
    "filters": 2,
    "scoring": 1,
    "themes": 1,
    "records": 2,
    "recipes": 3,
    "answer": 4,
    "compare": 4,
    "evaluate": 4,
    "storage": 5,
    "jars": 5,
    "datasets": 6,
    "training": 6,
    "importing": 7,
    "job": 6,
    "service": 8,
    "progress": 8,
    "demo": 9,
    "commands": 10,
    "client": 10,
    "endpoint": 10,
    "cli": 11,
    "__main__": 12,
}
# What a place may import besides the standard library; a place without a line may import nothing else.
LIBRARIES = {
    "request": {"botocore"},
    "scores": {"numpy", "pyarrow"},
    "filters": {"lark", "numpy", "orjson"},
    "scoring": {"numpy"},
    "themes": {"boto3", "numpy"},
    "records": {"numpy", "orjson", "pyarrow"},
    "recipes": {"numpy"},
    "answer": {"numpy"},
    "evaluate": {"numpy"},
    "storage": {"boto3", "botocore", "mypy_boto3_s3", "mypy_boto3_sts", "numpy", "orjson", "pyarrow"},
    "datasets": {"delta", "numpy", "orjson", "pyarrow", "pyspark"},
    "training": {"numpy", "orjson", "pyarrow", "pyspark", "scipy"},
    "importing": {"numpy", "orjson", "pyarrow", "pyspark"},
    "compare": {"numpy", "orjson"},
    "job": {"orjson", "pyarrow", "pyspark"},
    "service": {"orjson", "pyspark"},
    "commands": {"botocore"},
    "client": {"botocore"},
    "endpoint": {"botocore"},
}
BANNED_NAMES = {"utils", "common", "core", "helpers", "manager"}
MAX_MODULE, MAX_FUNCTION = 400, 60


def place(path: Path) -> str:
    """The package or module at the top of which a file belongs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """All that a module imports, in full: `from a import b` counts as a.b, whatever b is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports without saying from where"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_down(path: Path) -> None:
    here = place(path)
    if here == "__init__":
        return
    for module in imports(path):
        top, _, rest = module.partition(".")
        there = rest.partition(".")[0]
        if top == "personalize_spark" and there in LEVELS and there != here:
            assert LEVELS[there] < LEVELS[here], f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_library_is_imported_where_it_belongs(path: Path) -> None:
    known = {*sys.stdlib_module_names, "personalize_spark", *LIBRARIES.get(place(path), ())}
    assert not {module.partition(".")[0] for module in imports(path)} - known


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_names_say_what_is_inside(path: Path) -> None:
    assert not {part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts} & BANNED_NAMES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_what_is_never_done(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(attr="_jvm" | "_jsc" | "rdd" | "toPandas"):
                pytest.fail(f"{name(path)}:{node.lineno} leaves the DataFrame API")
            case ast.Call(func=ast.Name(id="eval" | "exec")):
                pytest.fail(f"{name(path)}:{node.lineno} evaluates text")
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                pytest.fail(f"{name(path)}:{node.value.lineno} unpickles")
    assert not {"pickle", "cloudpickle", "dill", "joblib"} & {module.partition(".")[0] for module in imports(path)}


def test_every_top_level_module_has_a_level() -> None:
    assert {place(path) for path in MODULES} - {"__init__"} <= LEVELS.keys()


def test_a_package_only_names_what_it_offers() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
        assert all(isinstance(node, allowed) for node in ast.parse(path.read_text()).body), name(path)


def test_the_tests_mirror_the_package() -> None:
    untested = {"__init__", "__main__"}
    for path in MODULES:
        if path.stem not in untested and path.parent != PACKAGE:
            assert (ROOT / "tests" / path.parent.relative_to(PACKAGE)).is_dir(), name(path)
