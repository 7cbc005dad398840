"""README's commands and programs, run as they stand, one after another in one folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
INSTALLING = ("python3 -m venv", "pip install")


def blocks(language: str) -> list[str]:
    """What stands between fences of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.spark
def test_the_first_job_runs_as_it_stands(tmp_path: Path) -> None:
    lines = "".join(blocks("bash")).splitlines()
    commands = [line for line in lines if not line.startswith(INSTALLING)]
    assert len(lines) - len(commands) == len(INSTALLING)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "personalize-spark").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m personalize_spark "$@"\n')
    (programs / "personalize-spark").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    environment.pop("PERSONALIZE_SPARK_CATALOG", None)

    done = ran(["bash", "-euc", "\n".join(commands)], tmp_path, environment)
    out = (tmp_path / "try" / "output" / "users.json.out").read_text()
    assert done.stdout.endswith(out)
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["error"] is None for answer in answers] == [True, True, True, False, False]
    assert [len(answer["output"]["recommendedItems"]) for answer in answers] == [5, 5, 5, 0, 0]
    assert "Items: 800 rows imported" in done.stderr
    version = json.loads((tmp_path / "request.json").read_text())["solutionVersionArn"]
    assert version.startswith(
        "arn:aws:personalize:us-east-1:000000000000:solution/home/"
    )  # all that `train` prints on stdout
    listing = [str(programs / "personalize-spark"), "list-batch-inference-jobs", "--solution-version-arn", version]
    catalog = {"PERSONALIZE_SPARK_CATALOG": str(tmp_path / "try" / "catalog")}
    listed = json.loads(ran(listing, tmp_path, environment | catalog).stdout)["batchInferenceJobs"]
    assert [(job["jobName"], job["status"]) for job in listed] == [("filtered", "ACTIVE"), ("first", "ACTIVE")]

    said = ran([sys.executable, "-c", "\n".join(blocks("python"))], tmp_path, environment).stdout
    assert "5 lines of 1 file answered" in said
    assert re.search(r"^0 +user-7 .*\n1 +user-42 ", said, re.MULTILINE)


def ran(program: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done
