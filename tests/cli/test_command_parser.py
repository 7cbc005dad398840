from __future__ import annotations

import argparse
import re
import shlex
import tempfile
from pathlib import Path

import pytest

from personalize_spark import local_session
from personalize_spark.cli.arguments import session_settings
from personalize_spark.cli.examples import examples_of, kebab
from personalize_spark.cli.main import main, parser
from personalize_spark.cli.operations import params_of
from personalize_spark.request import required, validate
from personalize_spark.service.operations import OPERATIONS


def test_each_command_has_two_examples_that_it_reads() -> None:
    reading = parser()
    commands = next(each for each in reading._actions if isinstance(each, argparse._SubParsersAction)).choices
    assert len(commands) > 50
    for help_ in (command.format_help().replace("\\\n", "") for command in commands.values()):
        lines = re.findall(r"^  personalize-spark (.*)$", help_, re.MULTILINE)
        assert len(lines) == 2
        for line in lines:
            assert reading.parse_args(shlex.split(line)).command


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        (["run", "--engine", "local"], set()),
        (["--catalog", "c", "list-solutions"], {"list-solutions"}),
        (["list-solution"], {kebab(operation) for operation in OPERATIONS}),
        ([], {kebab(operation) for operation in OPERATIONS}),
    ],
)
def test_of_operations_only_the_one_that_is_asked_for_is_read(asked: list[str], offered: set[str]) -> None:
    commands = next(each for each in parser(asked)._actions if isinstance(each, argparse._SubParsersAction)).choices
    assert {*commands} & {kebab(operation) for operation in OPERATIONS} == offered
    assert {"run", "train", "serve"} <= {*commands}


def test_the_examples_of_operations_are_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("schema.json").write_text("{}")
    commands = parser()
    for operation in OPERATIONS:
        command, needed = kebab(operation), required(operation)
        line = examples_of(command, needed).replace("\\\n", "").splitlines()[1].partition("personalize-spark ")[2]
        params = params_of(commands.parse_args(shlex.split(line)))
        assert params.keys() >= {*needed}
        validate(operation, params)


def test_the_help_marks_what_is_required() -> None:
    commands = next(each for each in parser()._actions if isinstance(each, argparse._SubParsersAction)).choices
    assert marked(commands["train"]) == ["--group", "--recipe", "--solution"]
    assert marked(commands["validate"]) == ["--request"]
    assert marked(commands["put-events"]) == ["--tracking-id", "--session-id", "--event-list"]
    for operation in OPERATIONS:
        needed = {f"--{kebab(name)}" for name in required(operation)}
        assert {*marked(commands[kebab(operation)])} == needed, operation


def marked(command: argparse.ArgumentParser) -> list[str]:
    """The options whose help ends with the mark; argparse breaks its lines."""
    options = re.split(r"^  (?=-)", command.format_help().partition("\n\nExamples:")[0], flags=re.MULTILINE)
    return [option.split()[0] for option in options if option.rstrip().endswith("(required)")]


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(line.split())
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "usage", "said"),
    [
        ("rnu", "usage: personalize-spark [-h]", "there is no command 'rnu' (did you mean 'run'?)"),
        (
            "run --requst r.json",
            "usage: personalize-spark run ",
            "there is no option --requst (did you mean '--request'?)\n",
        ),
        (
            "gc --dry-rum",
            "usage: personalize-spark gc ",
            "there is no option --dry-rum (did you mean '--dry-run'?)\n",
        ),
        ("gc --quite-other", "usage: personalize-spark gc ", "unrecognized arguments: --quite-other\n"),
        ("run --req r.json --engine sparkle", "usage: personalize-spark run ", "invalid choice: 'sparkle'"),
    ],
)
def test_a_slip_gets_the_usage_of_its_command_and_what_was_meant(
    line: str, usage: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(line, capsys)
    assert told.startswith(usage)
    assert said in told


def test_settings_of_a_local_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_session, "_ASKED", {})
    line = "train --group g --recipe r --solution s --driver-memory 3g --conf spark.ui.enabled=true --conf spark.x=a=b"
    arguments = parser().parse_args(line.split())
    local_session.set_local(session_settings(arguments))
    assert not hasattr(arguments, "driver_memory")
    settings = local_session.local_settings(data=False, short=False)
    assert (settings["spark.driver.memory"], settings["spark.ui.enabled"], settings["spark.x"]) == ("3g", "true", "a=b")
    assert settings["spark.log.level"] == "ERROR"
    assert Path(settings["spark.sql.warehouse.dir"]).parent == Path(tempfile.gettempdir())


@pytest.mark.parametrize("option", ["--driver-memory 3", "--driver-memory much", "--conf spark.x", "--conf ui=true"])
def test_a_setting_that_is_none_is_refused_before_a_jvm_starts(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *option.split()]) == 2
    assert f"{option} is no " in capsys.readouterr().err
