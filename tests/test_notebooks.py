"""Every notebook runs from its first cell to its last, and was committed as it ran."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import personalize_spark

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
ONE_BY_ONE = """
import runpy, sys, time
for script in sys.argv[1:]:
    started = time.monotonic()
    runpy.run_path(script)
    print(f"{script} {time.monotonic() - started:.1f} s", file=sys.stderr)
"""


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.spark
def test_the_notebooks_run_to_their_ends(tmp_path: Path) -> None:
    """In one process: they share its Spark session."""
    shutil.copytree(NOTEBOOKS[0].parent / "data", tmp_path / "data")
    scripts = [f"{path.stem}.py" for path in NOTEBOOKS]
    for script, path in zip(scripts, NOTEBOOKS, strict=True):
        (tmp_path / script).write_text("\n\n".join(code_of(path)), encoding="utf-8")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path)}
    program = [sys.executable, "-W", "ignore:FigureCanvasAgg", "-c", ONE_BY_ONE, *scripts]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_only_the_public_face_and_asserts_nothing(path: Path) -> None:
    nodes = list(ast.walk(ast.parse("\n\n".join(code_of(path)))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name.startswith("personalize_spark")} == {"personalize_spark"}
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ps"
    }
    assert used <= set(personalize_spark.__all__)
    assert not any(isinstance(node, ast.Assert) for node in nodes)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_what_its_cells_gave(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not any(output["output_type"] == "error" for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_took_less_than_two_minutes(path: Path) -> None:
    """When it was committed: how long it takes where this runs depends on what else does."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    times = [cell["metadata"]["execution"] for cell in cells]
    began, ended = times[0]["iopub.execute_input"], times[-1]["shell.execute_reply"]
    assert datetime.fromisoformat(ended) - datetime.fromisoformat(began) < timedelta(minutes=2)


def test_the_notebooks_are_numbered() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(1, len(NOTEBOOKS) + 1)]
