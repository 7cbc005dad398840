from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main
from personalize_spark.settings import SETTINGS
from personalize_spark.storage.location import write_to
from personalize_spark.testing.toy import golden_version, request

CATALOG = "PERSONALIZE_SPARK_CATALOG"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, and an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    for variable in ("PERSONALIZE_SPARK_CONFIG", *(setting.variable for setting in SETTINGS.values())):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def write(text: str, name: str = "personalize-spark.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, tuple[str | None, str]]:
    assert main([*options, "config", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    return {name: (each["value"], each["from"]) for name, each in said.items()}


def test_without_anything_all_is_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == {name: (setting.default, "default") for name, setting in SETTINGS.items()}


def test_the_environment_is_before_the_file_and_options_before_both(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write('catalog = "of-file"\nengine = "local"\nmax-inflation = 7\n')
    monkeypatch.setenv("PERSONALIZE_SPARK_MAX_INFLATION", "8")
    said = shown(capsys)
    assert said["catalog"] == ("of-file", "personalize-spark.toml")
    assert said["engine"] == ("local", "personalize-spark.toml")
    assert said["max-inflation"] == ("8", "PERSONALIZE_SPARK_MAX_INFLATION")
    assert shown(capsys, "--catalog", "of-option")["catalog"] == ("of-option", "--catalog")
    assert main(["config", "--log-level", "error", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["log-level"] == {"value": "error", "from": "--log-level"}
    assert CATALOG not in os.environ  # a command leaves nothing behind


def test_people_read_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    write('engine = "local"\n')
    assert main(["config", "--limits", "service", "--driver-memory", "4g"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:3] == [
        ["catalog", "-", "default"],
        ["engine", "local", "personalize-spark.toml"],
        ["limits", "service", "--limits"],
    ]
    assert ["driver-memory", "4g", "--driver-memory"] in rows


def test_another_file_is_named_by_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write('engine = "local"\n', "other.toml")
    monkeypatch.setenv("PERSONALIZE_SPARK_CONFIG", "other.toml")
    assert shown(capsys)["engine"] == ("local", "other.toml")
    monkeypatch.setenv("PERSONALIZE_SPARK_CONFIG", "none.toml")
    assert main(["config"]) == 2
    assert "PERSONALIZE_SPARK_CONFIG names none.toml, which is not there." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("engine = ", "personalize-spark.toml cannot be read as TOML: "),
        ('engin = "local"', "personalize-spark.toml, engin: there is no such setting (did you mean 'engine'?)."),
        ('xyzzy = "local"', "xyzzy: there is no such setting; there are catalog, engine, limits"),
        ('engine = "both"', "personalize-spark.toml, engine: 'both' is not spark or local."),
        ("engine = true", "engine: give a text or a whole number: spark or local."),
        ('cache-size = "much"', "cache-size: 'much' is not a size such as 20g."),
    ],
)
def test_what_is_no_setting_is_refused(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(text)
    assert main(["list-filters", "--catalog", "none"]) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_variable_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIZE_SPARK_ENGINE", "both")
    assert main(["config"]) == 2
    assert "PERSONALIZE_SPARK_ENGINE: 'both' is not spark or local." in capsys.readouterr().err


@pytest.mark.slow
def test_a_job_runs_as_the_file_says(folder: Path) -> None:
    write_to(f"{folder}/in/users.json", b'{"userId":"u1"}\n')
    write('catalog = "catalog"\nengine = "local"\n')
    job = request(golden_version(Catalog("catalog")), f"file://{folder}/in/", f"file://{folder}/out/", numResults=3)
    Path("request.json").write_text(json.dumps(job))
    assert main(["run", "--request", "request.json"]) == 0
    assert (folder / "out" / "users.json.out").read_bytes().startswith(b'{"input":{"userId":"u1"}')


@pytest.mark.slow
def test_a_limit_of_the_file_reaches_the_tasks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import gzip

    write_to(f"{folder}/in/users.json.gz", gzip.compress(b'{"userId":"u1"}\n' * 100))
    write('catalog = "catalog"\nengine = "local"\nmax-inflated = 1000\n')
    job = request(golden_version(Catalog("catalog")), f"file://{folder}/in/", f"file://{folder}/out/", numResults=3)
    Path("request.json").write_text(json.dumps(job))
    assert main(["run", "--request", "request.json"]) == 1
    assert "to more than 1,000 bytes" in capsys.readouterr().err
