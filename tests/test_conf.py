"""What conf/ holds is what the services' own models take, and what our commands take; nothing of it was run on a platform."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session
import pyspark
import pytest
import yaml
from botocore.validate import ParamValidator

from personalize_spark import __version__
from personalize_spark.cli.main import main, parser

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
REQUESTS = {
    "emr-ec2.yaml": ("emr", "AddJobFlowSteps"),
    "emr-serverless.yaml": ("emr-serverless", "StartJobRun"),
    "emr-on-eks.yaml": ("emr-containers", "StartJobRun"),
    "glue.yaml": ("glue", "CreateJob"),
}
ARCHIVES = "personalize_spark-0.1.0-environment-x86_64.tar.gz#environment"


NOT_SPARKS = {
    "spark.emr-serverless.driverEnv.": "of EMR Serverless alone",
    "spark.executorEnv.": "any variable of the environment may follow",
    "spark.personalize.": "of this package",
    "spark.yarn.appMasterEnv.": "any variable of the environment may follow",
}
"""How settings begin that are not whole in Spark's own classes, with the reason."""


def read(name: str) -> Any:
    return yaml.safe_load((CONF / name).read_text())


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_of_the_service(name: str) -> None:
    service, operation = REQUESTS[name]
    assert problems(service, operation, read(name)) == ""


def problems(service: str, operation: str, request: Any) -> str:
    shape: Any = botocore.session.Session().get_service_model(service).operation_model(operation).input_shape
    return str(ParamValidator().validate(request, shape).generate_report())


def test_the_check_finds_a_slip() -> None:
    assert "Unknown parameter" in problems("glue", "CreateJob", read("glue.yaml") | {"Workers": 3})


@pytest.mark.slow
def test_the_bundles_job_is_one_of_databricks(clients: Path) -> None:
    """The classes that Databricks generates from its schema of bundles know every name, and which words may stand where."""
    program = """
import json, sys
from databricks.bundles.jobs import Job
for job in json.load(sys.stdin):
    try:
        Job.from_dict(job)
        print("fits")
    except ValueError as error:
        print(error)
"""
    [job] = read("databricks.yml")["resources"]["jobs"].values()
    slips = [json.loads(json.dumps(job)) for _ in range(2)]
    slips[0]["tasks"][0]["new_cluster"]["num_worker"] = 4
    slips[1]["tasks"][0]["new_cluster"]["data_security_mode"] = "SINGLE"
    done = subprocess.run(
        [clients / "bin" / "python", "-c", program],
        input=json.dumps([job, *slips]),
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "fits",
        "Unexpected field 'num_worker' for class ClusterSpec",
        "'SINGLE' is not a valid DataSecurityMode",
    ]


def of_job() -> Mapping[str, list[str]]:
    """What the script gets, on each platform."""
    step = read("emr-ec2.yaml")["Steps"][0]["HadoopJarStep"]["Args"]
    glue = read("glue.yaml")["DefaultArguments"]
    bundle = read("databricks.yml")["resources"]["jobs"]["weekly_homepage"]["tasks"][0]
    airflow = re.search(r"ARGUMENTS = (\[.*\])", (CONF / "airflow_dag.py").read_text())
    assert airflow is not None
    added = {"--JOB_NAME": "weekly-homepage", "--JOB_ID": "j_1", "--job-bookmark-option": "job-bookmark-disable"}
    return {
        "emr-ec2": step[step.index("s3://acme-recs/dist/batch_inference.py") + 1 :],
        "emr-serverless": read("emr-serverless.yaml")["jobDriver"]["sparkSubmit"]["entryPointArguments"],
        "emr-on-eks": read("emr-on-eks.yaml")["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"],
        "glue": [part for pair in (added | glue).items() for part in pair],
        "databricks": bundle["spark_python_task"]["parameters"],
        "kubernetes": read("kubernetes.yaml")["spec"]["arguments"],
        "airflow": json.loads(airflow[1].replace("'", '"')),
    }


@pytest.mark.parametrize("platform", of_job())
def test_the_arguments_are_those_of_the_command(platform: str) -> None:
    arguments, unknown = parser().parse_known_args(["run", *of_job()[platform]])
    assert arguments.request.endswith("/requests/weekly-homepage.json")
    assert arguments.catalog == "s3://acme-recs/catalog"
    assert bool(unknown) == (platform == "glue")


@pytest.mark.parametrize("added", [["--JOB_NAME", "j"], ["--JOB_NAME=j"], ["--JOB_RUN_ID=jr_1"]])
def test_what_glue_adds_is_passed_over_and_a_slip_elsewhere_is_not(
    added: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["list-recipes", "--catalog", str(tmp_path)]
    assert main([*command, *added, "--enable-metrics", "true", "--TempDir=s3://b/t"]) == 0
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--enable-metrics", "true"])
    assert "unrecognized arguments: --enable-metrics true" in capsys.readouterr().err


def test_spark_knows_every_setting() -> None:
    """A slip in a name would be passed over without a word."""
    known = sparks_settings()
    found = {
        (path.name, name)
        for path in CONF.iterdir()
        if path.is_file()
        for name in re.findall(r"(?<![\w.])spark\.[\w.-]+", path.read_text())
    }
    others = {each for each in found if each[1].startswith(tuple(NOT_SPARKS))}
    assert sorted(each for each in found - others if each[1] not in known) == []
    assert {name for name in NOT_SPARKS if any(each[1].startswith(name) for each in others)} == {*NOT_SPARKS}


def test_every_way_to_emr_serverless_has_the_same_settings() -> None:
    airflow = re.search(r"SETTINGS = \{(.*?)\n\}", (CONF / "airflow_dag.py").read_text(), re.DOTALL)
    assert airflow is not None
    state = read("step-functions.yaml")["States"]["BatchInference"]["Parameters"]["JobDriver"]["SparkSubmit"]
    submit = read("emr-serverless.yaml")["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"]
    expected = dict(re.findall(r"--conf (\S+?)=(\S+)", submit))
    assert len(expected) == 6
    assert dict(re.findall(r"--conf (\S+?)=(\S+)", state["SparkSubmitParameters"])) == expected
    assert dict(re.findall(r'"(.+?)": "(.+?)"', airflow[1])) == expected


def sparks_settings() -> set[str]:
    """The names of settings in the classes that define them."""
    names = set[str]()
    for part in ("core", "yarn", "kubernetes", "launcher", "sql"):
        [jar] = (Path(pyspark.__file__).parent / "jars").glob(f"spark-{part}_*.jar")
        with zipfile.ZipFile(jar) as classes:
            for each in classes.namelist():
                if each.endswith(".class") and re.search("[cC]onfig|SparkSubmit|Python", each):
                    names.update(name.decode() for name in re.findall(rb"spark\.[\w.-]+", classes.read(each)))
    return names


def test_the_files_of_the_release_are_named_as_make_dist_names_them() -> None:
    for path in (each for each in CONF.iterdir() if each.is_file()):
        for version in re.findall(r"personalize_spark-([\d.]+\d)-", path.read_text()):
            assert version == __version__, path


def test_the_environment_is_unpacked_where_python_is_looked_for() -> None:
    """The name behind # is a folder beside the working directory of driver and executors."""
    for name in ("emr-ec2.yaml", "emr-serverless.yaml", "emr-on-eks.yaml", "step-functions.yaml", "airflow_dag.py"):
        text = (CONF / name).read_text()
        assert ARCHIVES in text
        assert set(re.findall(r"\./\S+?/bin/\w+", text)) == {"./environment/bin/python"}, name


def test_the_image_for_kubernetes_is_what_the_application_asks_for() -> None:
    image, spec = (CONF / "kubernetes.Dockerfile").read_text(), read("kubernetes.yaml")["spec"]
    assert f"FROM spark:{spec['sparkVersion']}-" in image
    assert f"-t {spec['image']} ." in image
    [python] = re.findall(r"^python=(\S+)", (ROOT / "bin" / "make-dist").read_text(), re.MULTILINE)
    assert f"install -y --no-install-recommends python{python} " in image
    [place] = re.findall(r"^ADD dist/\S+-environment-\S+ (\S+/)$", image, re.MULTILINE)
    assert set(re.findall(r"PYTHON=(\S+)", image)) == {f"{place}bin/python"}
    [source, target] = re.findall(r"^COPY (\S+/) (\S+/)$", image, re.MULTILINE)[0]
    script = spec["mainApplicationFile"].removeprefix(f"local://{target}")
    assert (ROOT / source / script).is_file()


def test_the_state_machine_waits_for_a_request_that_emr_serverless_takes() -> None:
    machine = read("step-functions.yaml")
    state = machine["States"][machine["StartAt"]]
    assert state["End"]
    assert state["Resource"].endswith("emr-serverless:startJobRun.sync")

    def plain(value: Any) -> Any:
        """As the service gets it: names begin small, and a path's value is some text."""
        if not isinstance(value, dict):
            return value
        return {
            name[0].lower() + name[1:].removesuffix(".$"): ["x"] if name == "EntryPointArguments.$" else plain(each)
            for name, each in value.items()
        }

    asked = plain(state["Parameters"]) | {"clientToken": "of the integration"}
    assert problems("emr-serverless", "StartJobRun", asked) == ""


POLICIES = {path.name: json.loads(path.read_text()) for path in CONF.glob("iam-*.json")}
NO_OPERATIONS = {"iam:PassRole", "s3:ListBucket"}
"""What is allowed for other operations: to give a role, and to list objects."""


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_allows_single_actions_on_named_resources(name: str) -> None:
    policy = POLICIES[name]
    assert policy["Version"] == "2012-10-17"
    assert len({each["Sid"] for each in policy["Statement"]}) == len(policy["Statement"])
    for statement in policy["Statement"]:
        assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"])
        for action in listed(statement["Action"]):
            assert re.fullmatch(r"[a-z0-9-]+:[A-Z][A-Za-z]+", action)
            assert action in NO_OPERATIONS or is_operation(action)
        for resource in listed(statement["Resource"]):
            if statement["Action"] == "cloudwatch:PutMetricData":
                assert (resource, "cloudwatch:namespace" in str(statement["Condition"])) == ("*", True)
            else:
                assert re.fullmatch(r"arn:aws:[a-z0-9-]+:[a-z0-9-]*:\d*:[^*]+\*?", resource)


def test_a_job_may_read_and_its_platform_may_log_where_the_files_say() -> None:
    allowed: dict[str, list[str]] = {}
    for statement in POLICIES["iam-job.json"]["Statement"]:
        for action in listed(statement["Action"]):
            allowed.setdefault(action, []).extend(listed(statement["Resource"]))

    def may(action: str, uri: str) -> bool:
        return any(fnmatchcase(uri.replace("s3://", "arn:aws:s3:::"), each) for each in allowed[action])

    logs = {
        read(name)["configurationOverrides"]["monitoringConfiguration"]["s3MonitoringConfiguration"]["logUri"]
        for name in ("emr-serverless.yaml", "emr-on-eks.yaml")
    }
    named = {uri for path in CONF.glob("*.*") for uri in re.findall(r"s3://[\w./-]+", path.read_text())}
    assert named > logs
    within = {f"{uri}/x" if uri.endswith("/catalog") else uri for uri in named - logs}
    assert sorted(uri for uri in within if not may("s3:GetObject", uri)) == []
    assert [uri for uri in logs if not may("s3:PutObject", f"{uri}x")] == []


def is_operation(action: str) -> bool:
    service, _, name = action.partition(":")
    model = botocore.session.Session().get_service_model({"elasticmapreduce": "emr"}.get(service, service))
    return name in model.operation_names


def test_a_slip_is_no_operation() -> None:
    assert is_operation("elasticmapreduce:CancelSteps")
    assert not is_operation("elasticmapreduce:CancelStep")


def test_who_submits_may_do_it_to_what_the_files_name_and_as_the_jobs_role() -> None:
    role = read("glue.yaml")["Role"]
    named = {
        "emr-ec2": [read("emr-ec2.yaml")["JobFlowId"]],
        "emr-on-eks": [read("emr-on-eks.yaml")["virtualClusterId"], role],
        "emr-serverless": [read("emr-serverless.yaml")["applicationId"], role],
        "glue": [f"job/{read('glue.yaml')['Name']}", role],
    }
    assert {f"iam-submit-{name}.json" for name in named} | {"iam-job.json"} == POLICIES.keys()
    for platform, names in named.items():
        text = json.dumps(POLICIES[f"iam-submit-{platform}.json"])
        assert [name for name in names if name not in text] == []
    for each in ("emr-on-eks.yaml", "emr-serverless.yaml"):
        assert read(each)["executionRoleArn"] == role


def listed(value: str | list[str]) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value


def test_the_documents_name_every_file() -> None:
    text = (ROOT / "docs" / "platforms.md").read_text()
    assert not [path.name for path in CONF.iterdir() if f"conf/{path.name}" not in text]


def test_the_table_of_releases_has_a_column_for_each_suite() -> None:
    suites = re.search(r"^SUITES = \{\n(.*?)^\}", (ROOT / "bin" / "test-matrix").read_text(), re.DOTALL | re.MULTILINE)
    assert suites is not None
    columns = ["Spark", *re.findall(r'^    "(.+?)": ', suites[1], re.MULTILINE), "jars", "Python", "Java", "on"]
    _, _, written = (ROOT / "docs" / "platforms.md").read_text().partition("<!-- matrix")
    table = [line for line in written.partition("<!-- end")[0].splitlines() if line.startswith("|")]
    assert table[0] == f"| {' | '.join(columns)} |"
    assert {line.count("|") for line in table} == {len(columns) + 1}


def test_constraints_name_their_python_and_whole_versions() -> None:
    for path in (CONF / "constraints").iterdir():
        first, *lines = path.read_text().splitlines()
        assert re.search(r", Python 3\.1\d: ", first), path
        assert all(re.fullmatch(r"#.*|[a-z0-9-]+==[\d.]+(post\d+)?", line) for line in lines), path
