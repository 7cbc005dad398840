from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from botocore.model import StructureShape

import personalize_spark
from personalize_spark.catalog.status import Status
from tests.service_model import MODEL

MODULES = sorted(Path(personalize_spark.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("status", Status)
def test_every_status_is_one_of_the_services_model(status: Status) -> None:
    model = MODEL
    told = ""
    for name in ("Solution", "SolutionVersion"):
        shape = model.shape_for(name)
        assert isinstance(shape, StructureShape)
        told += shape.members["status"].documentation
    assert re.search(f"(>|; ){status}( |<)", told)


@pytest.mark.slow
def test_only_the_enum_spells_a_status() -> None:
    spelt = [
        (path.name, node.value)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in set(Status)
    ]
    assert spelt == [("status.py", status) for status in Status]


def test_a_status_is_the_services_text() -> None:
    assert f"{Status.IN_PROGRESS}" == "CREATE IN_PROGRESS"
    assert [status for status in Status if status.unfinished] == ["CREATE PENDING", "CREATE IN_PROGRESS"]
