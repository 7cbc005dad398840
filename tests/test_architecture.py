"""The law of the house, enforced: who may import whom, how large things may grow, what is never done."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "personalize_spark"
MODULES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [
    *MODULES,
    *(path for folder in ("benchmarks", "jobs", "tests") for path in sorted((ROOT / folder).rglob("*.py"))),
]

LEVELS = {
    "errors": 0,
    "service_model": 0,
    "settings": 1,
    "logs": 2,
    "extensions": 2,
    "request": 2,
    "schemas": 2,
    "scores": 2,
    "scoring": 2,
    "storage": 2,
    "jars": 2,
    "records": 2,
    "recommendations": 3,
    "filters": 3,
    "themes": 3,
    "catalog": 3,
    "recipes": 4,
    "outcomes": 4,
    "answer": 5,
    "local_session": 3,
    "spark": 5,
    "artifacts": 5,
    "quality": 6,
    "datasets": 6,
    "training": 7,
    "external": 8,
    "solutions": 9,
    "job": 9,
    "service": 10,
    "api": 11,
    "boto3_client": 11,
    "frames": 11,
    "server": 11,
    "testing": 11,
    "cli": 12,
    "__main__": 13,
}
LIBRARIES: dict[str, set[str]] = {
    "api": {"pyspark"},
    "answer": {"numpy"},
    "artifacts": {"numpy", "orjson", "pyarrow"},
    "boto3_client": {"boto3", "botocore", "pyspark"},
    "catalog": {"orjson"},
    "cli": {"argcomplete", "jmespath"},
    "datasets": {"numpy", "orjson", "pyarrow", "pyspark"},
    "external": {"numpy", "orjson", "pyarrow", "pyspark"},
    "filters": {"lark", "numpy"},
    "frames": {"orjson", "pyarrow", "pyspark"},
    "job": {"msgspec", "pyarrow", "pyspark"},
    "quality": {"numpy", "orjson"},
    "recipes": {"numpy"},
    "recommendations": {"numpy", "orjson", "pyarrow"},
    "records": {"numpy", "orjson"},
    "scores": {"numpy", "pyarrow"},
    "scoring": {"numpy", "orjson"},
    "server": {"botocore", "h11", "uvicorn"},
    "service_model": {"msgspec"},
    "service": {"orjson", "pyspark"},
    "solutions": {"numpy", "orjson", "pyarrow", "pyspark"},
    "spark": {"pyarrow", "pyspark"},
    "storage": {"boto3", "botocore", "msgspec", "mypy_boto3_s3", "urllib3"},
    "outcomes": {"numpy", "orjson"},
    "themes": {"boto3", "botocore", "numpy"},
    "testing": {"hypothesis", "numpy", "orjson", "pyarrow", "pytest"},
    "training": {"numpy", "pyarrow", "pyspark", "scipy", "threadpoolctl", "wordllama"},
}
# A file name stands in two packages only where the files are the two ends of one thing.
TWO_ENDS = {
    "compare": {"cli", "quality"},  # the command, and what it calls
    "evaluate": {"cli", "quality"},
    "run": {"cli", "job"},
    "explain_theme": {"cli", "service"},
    "report": {"cli", "job"},
    "operations": {"cli", "service"},
    "serve": {"cli", "server"},
    "themes": {"artifacts", "training"},  # read; written
    "explain": {"filters", "service"},  # of an expression; of a filter of the catalog
    "model": {"artifacts", "scoring"},  # on disk; in memory
}
BANNED_NAMES = {"utils", "common", "core", "helpers", "manager"}
MAX_MODULE, MAX_FUNCTION = 400, 60


def place(path: Path) -> str:
    """The package or module at the top of which a file belongs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


class Module:
    """What the tests ask of a module: it is parsed once, and its tree is not kept."""

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        self.lines = len(text.splitlines())
        self.imports: list[str] = []
        """In full: `from a import b` counts as a.b, whatever b is."""
        self.functions: list[tuple[str, int]] = []
        self.classes: list[str] = []
        self.never: list[str] = []
        tree = ast.parse(text)
        for node in ast.walk(tree) if path.is_relative_to(PACKAGE) else statements(tree):
            self._take(node, f"{path}:{getattr(node, 'lineno', 0)}")

    def _take(self, node: ast.AST, where: str) -> None:
        match node:
            case ast.Import():
                self.imports += [alias.name for alias in node.names]
            case ast.ImportFrom():
                assert not node.level, f"{where} imports without saying from where"
                self.imports += [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions.append((node.name, (node.end_lineno or 0) - node.lineno))
            case ast.ClassDef():
                self.classes.append(node.name)
            case ast.Attribute(attr="_jvm" | "_jsc" | "rdd" | "toPandas"):
                self.never.append(f"{where} leaves the DataFrame API")
            case ast.Call(func=ast.Name(id="eval" | "exec")):
                self.never.append(f"{where} evaluates text")
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                self.never.append(f"{where} unpickles")


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All of a tree but what stands in expressions, which is most of it."""
    for part in ("body", "handlers", "cases", "orelse", "finalbody"):
        for each in getattr(tree, part, ()):
            yield each
            yield from statements(each)


module_of = functools.cache(Module)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_imports_go_down() -> None:
    upwards = [
        f"{name(path)} imports {module}"
        for path in MODULES
        for module in module_of(path).imports
        if not _goes_down(place(path), module)
    ]
    assert upwards == []


def _goes_down(here: str, module: str) -> bool:
    top, _, rest = module.partition(".")
    there = rest.partition(".")[0]
    outside = top != "personalize_spark" or there not in LEVELS or here == "__init__"
    return outside or there == here or LEVELS[there] < LEVELS[here]


def test_every_place_imports_exactly_its_libraries() -> None:
    """Besides the standard library; a place without a line imports nothing else."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        libraries = {module.partition(".")[0] for module in module_of(path).imports}
        found.setdefault(place(path), set()).update(libraries - {*sys.stdlib_module_names, "personalize_spark"})
    assert {here: libraries for here, libraries in found.items() if libraries} == LIBRARIES


def test_modules_and_functions_stay_small() -> None:
    modules = {str(path.relative_to(ROOT)): module_of(path) for path in EVERYTHING}
    assert len(modules) > 400
    assert {path: module.lines for path, module in modules.items() if module.lines > MAX_MODULE} == {}
    functions = {(path, *function) for path, module in modules.items() for function in module.functions}
    assert {function for function in functions if function[-1] >= MAX_FUNCTION} == set()


def test_names_say_what_is_inside() -> None:
    parts = {path: {part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts} for path in MODULES}
    assert [name(path) for path, names in parts.items() if names & BANNED_NAMES] == []


def test_what_is_never_done() -> None:
    assert [never for path in MODULES for never in module_of(path).never] == []
    imported = [(name(path), each.partition(".")[0]) for path in MODULES for each in module_of(path).imports]
    assert [each for each in imported if each[1] in {"pickle", "cloudpickle", "dill", "joblib"}] == []


def test_every_top_level_module_has_a_level() -> None:
    assert {place(path) for path in MODULES} - {"__init__"} == LEVELS.keys()


def test_the_documents_have_these_levels() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE)
    assert {name: int(level) for level, names in rows for name in re.findall(r"`(\w+)`", names)} == LEVELS


def test_the_walks_of_the_documents_name_what_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walks = text.partition("## Four walks")[2].partition("\n## ")[0]
    names = set(re.findall(r"`((?:\w+\.)+\w+)`", walks)) - {"grammar.lark"}
    assert len(names) > 20
    assert [each for each in sorted(names) if not _is_there(each.split("."))] == []


def _is_there(parts: list[str]) -> bool:
    """Whether the parts lead through packages to a module, and from there to a class or a function."""
    module = next((n for n in range(1, len(parts) + 1) if PACKAGE.joinpath(*parts[:n]).with_suffix(".py").is_file()), 0)
    if not module:
        return PACKAGE.joinpath(*parts).is_dir()
    body: list[ast.stmt] = ast.parse(PACKAGE.joinpath(*parts[:module]).with_suffix(".py").read_text()).body
    for part in parts[module:]:
        defined = [each for each in body if isinstance(each, ast.ClassDef | ast.FunctionDef) and each.name == part]
        if not defined:
            return False
        body = defined[0].body
    return True


def test_a_file_name_stands_in_one_package() -> None:
    places: dict[str, set[str]] = {}
    for path in MODULES:
        if path.parent != PACKAGE and path.stem != "__init__":
            places.setdefault(path.stem, set()).add(place(path))
    assert {stem: found for stem, found in places.items() if len(found) > 1} == TWO_ENDS


def test_a_public_class_name_stands_once() -> None:
    found = [each for path in MODULES for each in module_of(path).classes if not each.startswith("_")]
    assert sorted(found) == sorted(set(found))


def test_a_package_only_names_what_it_offers() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        allowed: tuple[type[ast.stmt], ...] = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
        if path.parent == PACKAGE:
            allowed += (ast.If,)  # for type checkers all names are there, else they are loaded when they are used
        assert all(isinstance(node, allowed) for node in ast.parse(path.read_text()).body), name(path)


def test_the_tests_mirror_the_package() -> None:
    untested = {"__init__", "__main__"}
    for path in MODULES:
        if path.stem not in untested and path.parent != PACKAGE:
            assert (ROOT / "tests" / path.parent.relative_to(PACKAGE)).is_dir(), name(path)


def test_every_locked_version_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    wrong = [
        each for each in entries if not re.fullmatch(r"\S+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", each)
    ]
    assert wrong == [], "run bin/renew-lock"
