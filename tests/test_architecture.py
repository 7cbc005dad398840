"""The law of the house, enforced: who may import whom, how large things may grow, what is never done."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "personalize_spark"
MODULES = sorted(PACKAGE.rglob("*.py"))

LEVELS = {
    "errors": 0,
    "arns": 1,
    "request": 1,
    "scores": 1,
    "filters": 1,
    "scoring": 1,
    "themes": 1,
    "records": 2,
    "recipes": 3,
    "answer": 4,
    "evaluate": 4,
    "storage": 5,
    "jars": 5,
    "datasets": 6,
    "training": 6,
    "job": 6,
    "service": 7,
    "progress": 8,
    "demo": 9,
    "cli": 10,
    "client": 10,
    "endpoint": 10,
    "__main__": 11,
}
ONLY_IN = {
    "pyspark": {"datasets", "training", "job"},
    "delta": {"datasets"},
    "boto3": {"storage", "themes"},
    "botocore": {"storage", "request", "cli", "client"},
    "lark": {"filters"},
}
BANNED_NAMES = {"utils", "common", "core", "helpers", "manager"}
MAX_MODULE, MAX_FUNCTION = 400, 60


def place(path: Path) -> str:
    """The package or module at the top of which a file belongs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_down(path: Path) -> None:
    here = place(path)
    if here == "__init__":
        return
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "personalize_spark" and len(parts) > 1 and parts[1] != here:
            assert LEVELS[parts[1]] < LEVELS[here], f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_library_is_imported_where_it_belongs(path: Path) -> None:
    for module in imports(path):
        top = module.split(".")[0]
        assert place(path) in ONLY_IN.get(top, {place(path)}), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
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
    assert not {"pickle", "cloudpickle"} & {module.split(".")[0] for module in imports(path)}


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
