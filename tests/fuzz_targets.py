"""Readers under coverage-guided fuzzing, by atheris: only their own errors may come out.

    python -m tests.fuzz_targets TARGET [CORPUS] [-max_total_time=60]      # libFuzzer's options; wants atheris

`make fuzz` installs atheris and gives each target ten minutes, CI 20,000 runs; the suite fuzzes the same readers by hypothesis (`tests/test_fuzz.py`).
"""

from __future__ import annotations

import atexit
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

FOLDER = Path(mkdtemp())
atexit.register(rmtree, FOLDER)


def line(data: bytes) -> None:
    """A block of lines: one answer for each line that is not blank, as a byte order mark alone is."""
    records = import_module("personalize_spark.records")
    found = records.parse(data.split(b"\n"), ["userId"], ["itemId"])
    assert len(found.inputs) == sum(1 for each in data.split(b"\n") if each.removeprefix(records.BOM).strip(b" \t\r"))


def expression(data: bytes) -> None:
    """A filter's expression."""
    with suppress(_error("InvalidInputException")):
        import_module("personalize_spark.filters.parser").parse(data.decode(errors="surrogateescape"))


def request(data: bytes) -> None:
    """A request of CreateBatchInferenceJob."""
    params = _json(data)
    with suppress(_error("ServiceError")):
        import_module("personalize_spark.request").validate("CreateBatchInferenceJob", params)


def schema(data: bytes) -> None:
    """A schema of items."""
    with suppress(_error("InvalidInputException")):
        import_module("personalize_spark.schemas").Schema.parse("Items", _json(data))


def record(data: bytes) -> None:
    """A record of a catalog."""
    catalog = import_module("personalize_spark.catalog.catalog").Catalog(FOLDER)
    catalog.store.write("records/solution/home.json", data)
    with suppress(_error("ArtifactError")):
        list(catalog.everything())


def array(data: bytes) -> None:
    """An array of numpy."""
    (FOLDER / "a.npy").write_bytes(data)
    with suppress(_error("DataError")):
        found = import_module("personalize_spark.external.arrays").open_npy(f"file://{FOLDER}/a.npy")
        found.of("fiu", (1, 2)).rows(0, found.shape[0])


def csv(data: bytes) -> None:
    """A CSV file, up to its header."""
    (FOLDER / "a.csv").write_bytes(data)
    files = import_module("personalize_spark.datasets.csv_files")
    with suppress(_error("DataError"), _error("InvalidInputException")), (FOLDER / "a.csv").open("rb") as file:
        files.open_csv(file, "a.csv")


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (line, expression, request, schema, record, array, csv)
}


def main() -> None:
    """Fuzz the target that is named first."""
    atheris: Any = import_module("atheris")
    target = TARGETS[sys.argv.pop(1)]
    with atheris.instrument_imports(include=["personalize_spark"]):
        target(b"{}")
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


def _error(name: str) -> Any:
    return getattr(import_module("personalize_spark.errors"), name)


def _json(data: bytes) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    main()
