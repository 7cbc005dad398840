"""README's commands and programs, and those of the quick start, run as they stand, one after another in one folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ON_S3 = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8").partition("\n## On S3")[2]
INSTALLING = ("python3 -m venv", "pip install")
SERVING = "moto_server -p 5000"


def lines(language: str, text: str = README) -> list[str]:
    """What stands between fences of this language."""
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)).splitlines()


@dataclass(frozen=True)
class Shell:
    """A folder with README's environment, and what its commands said there."""

    folder: Path
    environment: Mapping[str, str]
    first: Sequence[str] = ()

    def ran(self, *program: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """What a program said that has succeeded."""
        environment = {**self.environment, **variables}
        done = subprocess.run(program, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """README's first job has run there."""
    folder = tmp_path_factory.mktemp("readme")
    programs = {"personalize-spark": "-m personalize_spark", "python": ""}
    (folder / "programs").mkdir()
    for name, what in programs.items():
        (folder / "programs" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {what} "$@"\n')
        (folder / "programs" / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}/programs:{os.environ['PATH']}"}
    environment.pop("PERSONALIZE_SPARK_CATALOG", None)
    commands = [line for line in lines("bash") if not line.startswith(INSTALLING)]
    assert len(lines("bash")) - len(commands) == len(INSTALLING)
    done = Shell(folder, environment).ran("bash", "-euc", "\n".join(commands))
    return Shell(folder, environment, (done.stdout, done.stderr))


@pytest.mark.slow
@pytest.mark.spark
def test_the_first_job_runs_as_it_stands(shell: Shell) -> None:
    out = (shell.folder / "try" / "output" / "users.json.out").read_text()
    stdout, stderr = shell.first
    assert stdout.endswith(out)
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["error"] is None for answer in answers] == [True, True, True, False, False]
    assert [len(answer["output"]["recommendedItems"]) for answer in answers] == [5, 5, 5, 0, 0]
    assert "Items: 800 rows imported" in stderr
    version = json.loads((shell.folder / "request.json").read_text())["solutionVersionArn"]
    assert version.startswith(
        "arn:aws:personalize:us-east-1:000000000000:solution/home/"
    )  # all that `train` prints on stdout
    listing = ("personalize-spark", "list-batch-inference-jobs", "--solution-version-arn", version)
    catalog = str(shell.folder / "try" / "catalog")
    listed = json.loads(shell.ran(*listing, PERSONALIZE_SPARK_CATALOG=catalog).stdout)["batchInferenceJobs"]
    assert [(job["jobName"], job["status"]) for job in listed] == [("filtered", "ACTIVE"), ("first", "ACTIVE")]


@pytest.mark.spark
def test_the_programs_run_as_they_stand(shell: Shell) -> None:
    said = shell.ran("python", "-c", "\n".join(lines("python"))).stdout
    assert "5 lines of 1 file answered" in said
    assert re.search(r"^0 +user-7 .*\n1 +user-42 ", said, re.MULTILINE)


@pytest.mark.spark
@pytest.mark.usefixtures("s3")
def test_the_job_on_s3_runs_as_it_stands(shell: Shell) -> None:
    """On the server of the tests, which is the same as moto's own."""
    server = os.environ["AWS_ENDPOINT_URL"]
    commands = [line for line in lines("bash", ON_S3) if not line.startswith(INSTALLING) and line != SERVING]
    assert len(lines("bash", ON_S3)) - len(commands) == len((SERVING, "pip install"))
    there = [line.replace("http://127.0.0.1:5000", server) for line in commands]
    assert there != commands
    done = shell.ran("bash", "-euc", "\n".join(there))
    answers = [json.loads(line) for line in done.stdout.splitlines()[-5:]]
    assert [len(answer["output"]["recommendedItems"]) for answer in answers] == [5, 5, 5, 0, 0]
    assert "output: s3://acme-recs/out/" in done.stderr
