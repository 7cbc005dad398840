"""The public face: its names, its cost, and that each command is the function of its name."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import personalize_spark as ps
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.cli.main import main, parser
from personalize_spark.job.watch import watch_job
from personalize_spark.request import members
from personalize_spark.service.garbage import collect_garbage
from personalize_spark.service.validation import validate_batch_inference
from personalize_spark.service_model import service_model
from personalize_spark.testing.toy import golden_version, request

NAMES = {
    "Catalog",
    "JobFailed",
    "PersonalizeSparkError",
    "ServiceError",
    "__version__",
    "client",
    "compare",
    "evaluate",
    "explain_filter",
    "explain_theme",
    "import_datasets",
    "import_model",
    "read_output",
    "recommend",
    "report",
    "resume",
    "run_batch_inference",
    "train",
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compare old new": ps.compare,
    "evaluate --solution-version x": ps.evaluate,
    "explain-filter": ps.explain_filter,
    "explain-theme --item x": ps.explain_theme,
    "gc": collect_garbage,
    "import --group x": ps.import_datasets,
    "import-model --solution x --recipe x": ps.import_model,
    "report arn": ps.report,
    "resume arn": ps.resume,
    "run --request x": ps.run_batch_inference,
    "train --group x --recipe x --solution x": ps.train,
    "watch arn": watch_job,
    "validate --request x": validate_batch_inference,
}
OF_PYTHON = {"spark", "created", "progress"}
OF_COMMANDS = {"command", "json", "print_schema", "driver_memory", "conf", "verbose", "log_format", "log_level", "emf"}


def test_the_names() -> None:
    assert set(ps.__all__) == NAMES
    assert {*dir(ps)} >= NAMES
    for name in NAMES:
        assert getattr(ps, name).__doc__, name


@pytest.mark.parametrize("name", [each for each in sorted(NAMES) if each.islower() and each != "__version__"])
def test_a_function_says_what_it_returns_and_takes_a_catalog_by_its_place(name: str) -> None:
    function = getattr(ps, name)
    assert re.search(r"\nReturns:\n|\A[^.]* return ", inspect.getdoc(function) or "")
    of_catalog = inspect.signature(function).parameters.get("catalog")
    assert of_catalog is None or "Place" in of_catalog.annotation


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'recommend_all'"):
        ps.recommend_all  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "libraries"), [("personalize_spark", set()), ("personalize_spark.cli.main", {"msgspec", "orjson"})]
)
def test_an_import_is_cheap(module: str, libraries: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"boto3", "botocore", "lark", "msgspec", "numpy", "orjson", "pyarrow", "pyspark", "scipy"}
    assert loaded & heavy <= libraries


@pytest.mark.parametrize("command", FUNCTIONS)
def test_a_command_has_the_parameters_of_its_function(command: str) -> None:
    words = command.split()
    options = set(vars(parser(words).parse_args(words)))
    assert options - OF_COMMANDS == {*inspect.signature(FUNCTIONS[command]).parameters} - OF_PYTHON


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\nbroken\n')
    version = golden_version(Catalog(tmp_path / "catalog"))
    return request(version, f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/", numResults=3)


@pytest.mark.slow
def test_a_run_is_the_same_from_python_and_as_a_command(
    job: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog, out = ps.Catalog(tmp_path / "catalog"), tmp_path / "out" / "in.json.out"
    created: list[str] = []
    report = ps.run_batch_inference(str(tmp_path / "catalog"), job, engine="local", created=created.append)
    assert ps.report(tmp_path / "catalog", created[0]) == report
    answers = out.read_bytes()
    assert (report.lines, report.to_dict()["errors"]) == (2, report.errors)
    assert str(report).startswith("2 lines of 1 file answered in ")
    out.unlink()
    (tmp_path / "request.json").write_text(json.dumps({**job, "jobName": "other"}))
    asked = ["--request", str(tmp_path / "request.json"), "--catalog", str(tmp_path / "catalog")]
    assert main(["run", *asked, "--engine", "local"]) == 0
    assert out.read_bytes() == answers
    said = capsys.readouterr()
    assert "2 lines of 1 file answered" in said.err
    arns = [*created, json.loads(said.out)["batchInferenceJobArn"]]
    records = [catalog.read(Arn.parse(arn)) for arn in arns]
    assert [each.arn.name for each in records] == [job["jobName"], "other"]
    assert {each.fields["status"] for each in records} == {"ACTIVE"}
    assert records[0].fields.keys() == records[1].fields.keys()


def test_a_refusal_and_a_failure_are_errors_of_the_face(job: dict[str, Any], tmp_path: Path) -> None:
    catalog = ps.Catalog(tmp_path / "catalog")
    with pytest.raises(ps.ServiceError) as refused:
        ps.run_batch_inference(catalog, {**job, "numResults": 0}, engine="local")
    assert refused.value.code == "InvalidInputException"
    Path(tmp_path / "in.json").unlink()
    with pytest.raises(ps.JobFailed, match="Invalid S3 input path"):
        ps.run_batch_inference(catalog, job, engine="local")


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
}


def test_the_readme_calls_functions_as_they_are() -> None:
    blocks = "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    calls = [node for node in ast.walk(ast.parse(blocks)) if isinstance(node, ast.Call)]
    called = [node for node in calls if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "ps"]
    assert len(called) == 6
    for node in called:
        assert isinstance(node.func, ast.Attribute)
        assert node.func.attr in NAMES
        keywords = {str(each.arg): None for each in node.keywords}
        inspect.signature(getattr(ps, node.func.attr)).bind(*node.args, **keywords)


def test_a_stranger_reads_the_readme_to_its_end() -> None:
    assert README.count("\n") < 150


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_show_commands_as_they_are(name: str) -> None:
    text = DOCUMENTS[name].replace("\\\n", "")
    for line in re.findall(r"^\$ personalize-spark ([^#\n]*)|\$\(personalize-spark (.*)\)$", text, re.MULTILINE):
        words = shlex.split("".join(line))
        parser(words).parse_args(words)


def test_who_moves_finds_each_call_and_what_becomes_of_its_members() -> None:
    text, model = DOCUMENTS["moving.md"], service_model()
    created = re.findall(r"Create(\w+)", text)
    for operation in model.operations:
        rest = re.sub(r"\A[A-Z][a-z]+", "", operation)
        assert operation in text or any(rest.startswith(each) for each in created), operation
    told = {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", code)}
    refused = [
        name
        for path in (ROOT / "personalize_spark" / "service").glob("*.py")
        for name in re.findall(r'\brefuse\(\w+, "(\w+)"', path.read_text())
    ]
    assert len(refused) > 10
    config = model.shapes["SolutionConfig"].members
    assert told >= {*members("CreateBatchInferenceJob"), *refused, *config}


def test_the_commands_are_all_told() -> None:
    rows = re.findall(r"^\| (`[a-z].*? )?\| (`[a-z_]+`|) ?\| ", DOCUMENTS["commands.md"], re.MULTILINE)
    functions = {name for _, name in rows if name}
    assert functions == {f"`{name}`" for name in NAMES if name.islower() and not name.startswith("_")}
    all_commands = parser()
    for commands, _ in rows:
        for command in re.findall(r"`([a-z-]+)`", commands):
            with pytest.raises(SystemExit) as exited:
                all_commands.parse_args([command, "--help"])
            assert exited.value.code == 0, command
