"""The main job on real data: MovieLens in, trained, and every user answered, the same bytes wherever it runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets.imports import CsvSource, import_files
from personalize_spark.job.run import run_job
from personalize_spark.job.spark_executor import SparkExecutor
from personalize_spark.service.batch_inference_jobs import create_batch_inference_job
from personalize_spark.solutions.train import Hyperparameters, train
from personalize_spark.storage.location import open_store
from personalize_spark.testing.toy import NO_EXPLORATION, request
from tests.job.test_cluster import submit

pytestmark = [pytest.mark.movielens, pytest.mark.spark, pytest.mark.usefixtures("compiled")]

FILES = ("a.json", "b.json", "more/c.json")
N = 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("movielens")


@pytest.fixture(scope="module")
def version(_spark_session: SparkSession, movielens: Path, place: Path) -> Arn:
    """A solution version trained on all of MovieLens, and the lines of a job beside it."""
    catalog = Catalog(f"file://{place}/catalog")
    import_files(_spark_session, catalog, "movies", {"Interactions": CsvSource(f"file://{movielens}/interactions.csv")})
    _write_lines(place / "in")
    hyperparameters = Hyperparameters(rank=16, iterations=4, training_jobs=1)
    return train(_spark_session, catalog, "movies", "aws-user-personalization", "movies", hyperparameters)


def _write_lines(folder: Path) -> None:
    """All 610 users, 20 unknown ones and 20 broken lines, in three files."""
    lines = [json.dumps({"userId": str(user)}) for user in range(1, 611)]
    lines += [json.dumps({"userId": f"stranger-{user}"}) for user in range(20)]
    lines += [f'{{"itemId": "{n}"}}' if n % 2 else f"broken {n}" for n in range(20)]
    np.random.default_rng(3).shuffle(lines)
    for number, name in enumerate(FILES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines[number :: len(FILES)]) + "\n")


def _run(spark: SparkSession, place: Path, version: Arn, source: str, target: str) -> dict[str, bytes]:
    catalog = Catalog(f"file://{place}/catalog")
    job = create_batch_inference_job(
        catalog, request(version, source, target, numResults=N, batchInferenceJobConfig=NO_EXPLORATION)
    )
    report = run_job(SparkExecutor(spark), catalog, job, lambda _: None)
    assert (report.lines, report.errors) == (650, {"MalformedJson": 10, "MissingField": 10})
    return {name: open_store(target).read(f"{name}.out") for name in FILES}


@pytest.fixture(scope="module")
def answers(_spark_session: SparkSession, version: Arn, place: Path) -> dict[str, bytes]:
    return _run(_spark_session, place, version, f"file://{place}/in/", f"file://{place}/out/")


def test_every_answer_is_that_of_brute_force(answers: dict[str, bytes], version: Arn, place: Path) -> None:
    record = Catalog(f"file://{place}/catalog").read(version).fields
    model = read_model(Pinned(**record["model"]).open())
    assert model.matrix is not None
    assert model.users is not None
    data = model.item_ids_json.values.tobytes()
    ids = [
        json.loads(data[start:end])
        for start, end in zip(model.item_ids_json.indptr, model.item_ids_json.indptr[1:], strict=False)
    ]
    shares = sorted(zip(model.popularity, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
    for name in FILES:
        lines = (place / "in" / name).read_text().splitlines()
        for line, answer in zip(lines, map(json.loads, answers[name].splitlines()), strict=True):
            if answer["error"] is not None:
                continue
            user = json.loads(line)["userId"]
            assert answer["input"] == {"userId": user}
            rows = model.users.lookup([user])
            assert rows.known[0] == user.isdigit()
            best = shares[:N]
            if rows.known[0]:
                logits = model.curve.temperature * (
                    model.matrix.factors.astype(np.float64) @ rows.vectors[0].astype(np.float64)
                )
                weights = np.exp(logits - logits.max())
                best = sorted(zip(weights / weights.sum(), ids, strict=True), key=lambda pair: (-pair[0], pair[1]))[:N]
            assert answer["output"]["recommendedItems"] == [item for _, item in best]
            assert answer["output"]["scores"] == [round(float(score), 7) for score, _ in best]


@pytest.mark.s3
def test_s3_gets_the_same_bytes(
    spark: SparkSession, answers: dict[str, bytes], version: Arn, place: Path, s3: str
) -> None:
    for name in FILES:
        open_store(s3).write(f"in/{name}", (place / "in" / name).read_bytes())
    assert _run(spark, place, version, f"{s3}/in/", f"{s3}/out/") == answers


@pytest.mark.cluster
@pytest.mark.parametrize("where", ["cluster", "local"])
def test_spark_submit_writes_the_same_bytes(
    where: str, answers: dict[str, bytes], version: Arn, place: Path, cluster: str
) -> None:
    master = cluster if where == "cluster" else "local[2]"
    job = request(
        version, f"file://{place}/in/", f"file://{place}/{where}/", numResults=N, batchInferenceJobConfig=NO_EXPLORATION
    )
    code, output = submit(master, Catalog(f"file://{place}/catalog"), job, place)
    assert code == 0, output
    assert "10 error lines: MalformedJson" in output
    assert {name: (place / where / f"{name}.out").read_bytes() for name in FILES} == answers
