"""What needs Spark of the public face: plain values in, a result out; the commands call these functions too.

Each function checks what it can before it starts Spark. It starts Spark only where the caller gives no session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import InvalidInputException, missing_spark_told
from personalize_spark.extensions import with_extensions
from personalize_spark.solutions.new_version import NewVersion, new_version
from personalize_spark.storage.location import Place, uri_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from personalize_spark.datasets.import_plan import ImportMode
    from personalize_spark.datasets.imported import ImportReport
    from personalize_spark.job.attempts import Progress
    from personalize_spark.job.job import Job
    from personalize_spark.job.local_executor import LocalExecutor
    from personalize_spark.job.report import Report
    from personalize_spark.job.spark_executor import SparkExecutor

Engine = Literal["spark", "local"]
_LOCALLY = " Or run the job with the engine local, which needs neither Spark nor Java."


@missing_spark_told(_LOCALLY)
def run_batch_inference(  # noqa: PLR0913  # the command's options
    catalog: Catalog | Place,
    request: Mapping[str, Any] | None = None,
    *,
    retry_errors: Place | None = None,
    retry_to: Place | None = None,
    job_name: str | None = None,
    engine: Engine = "spark",
    assume_role: bool = False,
    limits: Literal["service"] | None = None,
    tolerated_failure_percentage: float | None = None,
    errors_to: Place | None = None,
    report_files: bool = False,
    extensions: Mapping[str, Any] | None = None,
    theme_model: str | None = None,
    spark: SparkSession | None = None,
    created: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Create a batch inference job, run it to its end, and return its report.

    Args:
        catalog: the catalog or its place: it holds the solution version, and gets the job.
        request: the parameters of CreateBatchInferenceJob.
        retry_errors: instead of a request an ended job, by its ARN or its `report.json`; see `service.retries.job_to_retry`.
        retry_to: the folder of outputs that hold only what is answered again; the old ones stay.
        job_name: takes the place of the request's `jobName`.
        engine: `local` runs the job in processes of this machine and needs neither Spark nor Java; the outputs are the same bytes.
        assume_role: read and write as the request's `roleArn`, not with the ambient credentials.
        limits: `service` refuses what exceeds the managed service's quotas.
        tolerated_failure_percentage: with more error lines than that the job is CREATE FAILED; its outputs are kept.
        errors_to: the folder that error lines go to, as NAME.errors; the `.out` files then have none.
        report_files: write the report beside the outputs, too, in `_report/JOBNAME/`.
        extensions: what the request asks beyond the service, such as `{"maxPer": {"CATEGORY": 2}}`; docs/extensions.md.
        theme_model: `bedrock:MODEL_ID` or `openai-compatible:URL[#MODEL]`, a language model that phrases the themes.
        spark: the session to use with the engine `spark`.
        created: is called with the ARN of the job before it runs.
        progress: is called while it runs.

    Raises:
        ServiceError: the request is refused. Neither then nor when Spark cannot start (EnvironmentProblem) is there a job.
        JobFailed: the job is CREATE FAILED; the message is its `failureReason`.
    """
    catalog, tolerated = Catalog(catalog), _percentage(tolerated_failure_percentage)
    with _local_executor(engine) as local:
        from personalize_spark.job.run import run_job
        from personalize_spark.service.batch_inference_jobs import check_batch_inference_job

        if retry_errors is not None:
            job = _retried(catalog, retry_errors, extensions, retry_to).named(job_name)
        else:
            asked = with_extensions(_given(request, job_name, retry_to), extensions)
            job = check_batch_inference_job(catalog, asked, assume_role=assume_role, service_limits=limits == "service")
        apart = uri_of(errors_to) if errors_to is not None else job.errors_to
        job = replace(job, tolerated_failures=tolerated, errors_to=apart, report_files=report_files)
        job = job.phrased_by(theme_model)
        executor = local or _spark_executor(spark or _session(job.arn.name))  # without Java: before there is a job
        record = job.create(catalog)
        created(str(record.arn))
        return run_job(executor, catalog, record, progress)


@missing_spark_told(_LOCALLY)
def resume(
    catalog: Catalog | Place,
    arn: str,
    *,
    engine: Engine = "spark",
    spark: SparkSession | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Finish a batch inference job whose driver was killed or stopped, from its stored plan and the splits that are answered.

    The outputs are the bytes that the first driver would have written. It takes up to 45 seconds to see that the driver is gone.

    Args:
        catalog: the catalog or its place: it holds the job.
        arn: the ARN of the job.
        engine: as of `run_batch_inference`; it need not be the engine that the job began with.
        spark: the session to use with the engine `spark`.
        progress: is called while it runs.

    Returns:
        The report of the job, of all its lines.

    Raises:
        ServiceError: the job has ended, its driver lives, or the release or an artifact is not the one that it was planned with.
        EnvironmentProblem: Spark cannot start.
        JobFailed: the job is CREATE FAILED; the message is its `failureReason`.
    """
    catalog = Catalog(catalog)
    with _local_executor(engine) as local:
        from personalize_spark.job.run import run_job
        from personalize_spark.service.batch_inference_jobs import find_resumable_job

        record = find_resumable_job(catalog, arn)
        return run_job(local or _spark_executor(spark or _session(record.arn.name)), catalog, record, progress)


def _given(request: Mapping[str, Any] | None, job_name: str | None, retry_to: Place | None) -> Mapping[str, Any]:
    if retry_to is not None:
        raise InvalidInputException(
            f"Nothing is to be retried into {retry_to}: it goes with a job whose errors to retry."
        )
    if request is None:
        raise InvalidInputException("There is nothing to run: give a request, or a job whose errors to retry.")
    given = _object("The request", request)
    return given if job_name is None else {**given, "jobName": job_name}


def _object(what: str, value: Any) -> Mapping[str, Any]:
    """What must be a dict: a text or a path of JSON is what people give instead."""
    if not isinstance(value, Mapping):
        raise InvalidInputException(
            f"{what} must be a dict, not of type {type(value).__name__}; json.loads makes one of a text."
        )
    return value


def _retried(catalog: Catalog, of: Place, extensions: Mapping[str, Any] | None, to: Place | None) -> Job:
    from personalize_spark.service.retries import job_to_retry

    return job_to_retry(catalog, of, extensions, to)


def _percentage(value: float | None) -> float | None:
    if not 0 <= (value or 0) <= 100:
        raise InvalidInputException(f"toleratedFailurePercentage is {value}: give 0 to 100.")
    return value


@contextmanager
def _local_executor(engine: Engine) -> Iterator[LocalExecutor | None]:
    """The local engine, if it is the one; begun before all else, so that its processes start while a request is checked."""
    if engine not in get_args(Engine):
        raise InvalidInputException(f"There is no engine '{engine}': it is spark or local.")
    if engine != "local":
        yield None
        return
    from personalize_spark.job.local_executor import LocalExecutor

    with LocalExecutor() as executor:
        yield executor


def _spark_executor(spark: SparkSession) -> SparkExecutor:
    from personalize_spark.job.spark_executor import SparkExecutor

    return SparkExecutor(spark)


@missing_spark_told()
def import_datasets(  # noqa: PLR0913  # the command's options
    catalog: Catalog | Place,
    group: str,
    *,
    interactions: Place | DataFrame | None = None,
    items: Place | DataFrame | None = None,
    users: Place | DataFrame | None = None,
    interactions_schema: Mapping[str, Any] | None = None,
    items_schema: Mapping[str, Any] | None = None,
    users_schema: Mapping[str, Any] | None = None,
    map: Mapping[str, str] | None = None,  # noqa: A002  # the command's option
    import_mode: Literal["FULL", "INCREMENTAL"] = "FULL",
    filter_history: int | None = None,
    dry_run: bool = False,
    spark: SparkSession | None = None,
) -> ImportReport:
    """Import CSV files or tables into a dataset group, and refresh the users of its solution versions.

    New interactions update the users of the latest ACTIVE version of each solution. New items become eligible for exploration.

    Args:
        catalog: the catalog or its place: it holds the dataset group.
        group: the name of the dataset group, created if there is none.
        interactions: a CSV file or a folder of them, a Parquet or Delta table (`@v12` at its end is a version), or a Spark frame.
        items: the same of the items.
        users: the same of the users.
        interactions_schema: the Avro schema of the interactions; if left out, inferred from the file, or from the table's types.
        items_schema: the same of the items.
        users_schema: the same of the users.
        map: by name of a column, such as USER_ID, the one that the files have for it.
        import_mode: FULL replaces the datasets; INCREMENTAL adds interactions, and updates items and users by id.
        filter_history: how many of a user's newest interactions of each event type filters see, from now on; 100 if never given.
        dry_run: read and check all rows, report what would be imported, and write nothing; only tables need Spark for it.
        spark: the session to use, by default that of a frame; it needs Delta.

    Returns:
        What was imported of each dataset, what was rejected and where it is listed, and the users that were refreshed.

    Raises:
        InvalidInputException: there is nothing to import, or the group's name, a schema, `filter_history` or a file's header is not valid.
        DataError: there is no file, one is not CSV in UTF-8, or a dataset has no row that can be imported; then none is imported.
    """
    from personalize_spark.datasets.dry_run import try_import
    from personalize_spark.datasets.import_plan import plan_import, source_of

    if not dry_run:  # that a machine lacks Spark is told before its files are read
        from personalize_spark.datasets.imports import run_import
        from personalize_spark.solutions.refresh_users import refresh_users
    catalog, places = Catalog(catalog), {"Interactions": interactions, "Items": items, "Users": users}
    schemas = {"Interactions": interactions_schema, "Items": items_schema, "Users": users_schema}
    names = _object("map", map or {})
    sources = {name: source_of(at, schemas[name], names) for name, at in places.items() if at is not None}
    begin = partial(_session, f"import {group}", data=True) if spark is None else lambda: spark
    plan = plan_import(catalog, group, sources, _mode(import_mode), begin, filter_history)
    if dry_run:
        return try_import(plan)
    session = spark or _session(f"import {group}", data=True, short=plan.little)
    report = run_import(session, catalog, plan)
    refreshed = refresh_users(session, catalog, group) if "Interactions" in sources else {}
    return replace(report, refreshed={str(arn): users for arn, users in refreshed.items()})


def _mode(name: str) -> ImportMode:
    from personalize_spark.datasets.import_plan import ImportMode

    if name not in [*ImportMode]:
        raise InvalidInputException(f"import_mode is '{name}': use {' or '.join(ImportMode)}.")
    return ImportMode(name)


@missing_spark_told()
def train(  # noqa: PLR0913  # the command's options
    catalog: Catalog | Place,
    group: str,
    recipe: str,
    solution: str,
    *,
    rank: int | None = None,
    iterations: int | None = None,
    regularization: float | None = None,
    alpha: float | None = None,
    seed: int | None = None,
    training_jobs: int | None = None,
    theme_embedding: Literal["words", "wordllama"] | None = None,
    spark: SparkSession | None = None,
) -> NewVersion:
    """Train a solution version on the interactions of a dataset group.

    Args:
        catalog: the catalog or its place: it holds the dataset group, and gets the solution version.
        group: the name of the dataset group.
        recipe: the name of the recipe, such as aws-user-personalization.
        solution: the name of the solution, created if there is none.
        rank: the dimensions of the factors.
        iterations: of ALS.
        regularization: of ALS.
        alpha: how much confidence ALS takes from one interaction.
        seed: of the factors' first values.
        training_jobs: how many candidates a training for users chooses from; 1: one, without a choice. Default: 1
            beyond 2 million interactions, and where a setting of ALS is given, else 4.
        theme_embedding: where texts lie for themes: in the space of the catalogue's own words, or in that of WordLlama.
        spark: the session to use; it needs Delta.

    Returns:
        The version: its `arn`, for requests, and its `metrics` with `notes` on how to read them.

    Raises:
        InvalidInputException: there is no such recipe, or the solution is one of another recipe or dataset group.
        ResourceNotFoundException: there is no such dataset group, or it has no interactions.
        DataError: the interactions cannot be learned from.
    """
    from personalize_spark.datasets.import_plan import has_little
    from personalize_spark.solutions.train import Hyperparameters, solution_for, train_version

    given: dict[str, Any] = {"rank": rank, "iterations": iterations, "regularization": regularization}
    given |= {"alpha": alpha, "seed": seed, "training_jobs": training_jobs, "theme_embedding": theme_embedding}
    hyperparameters = Hyperparameters(**{name: value for name, value in given.items() if value is not None})
    catalog = Catalog(catalog)
    found = solution_for(catalog, group, recipe, solution)  # Spark takes its time to start
    little = has_little(catalog, Arn.parse(found.fields["datasetGroupArn"]))
    session = spark or _session(f"train {solution}", data=True, short=little)
    return new_version(catalog, train_version(session, catalog, found, hyperparameters))


@missing_spark_told()
def import_model(  # noqa: PLR0913  # the command's options
    catalog: Catalog | Place,
    solution: str,
    recipe: str,
    *,
    items: Place | None = None,
    users: Place | None = None,
    item_ids: Place | None = None,
    user_ids: Place | None = None,
    counts: Place | None = None,
    interactions: Place | None = None,
    format: Literal["als", "implicit", "parquet", "npy"] | None = None,  # noqa: A002  # the command's option
    group: str | None = None,
    arn: str | None = None,
    fit_temperature: bool = False,
    spark: SparkSession | None = None,
) -> NewVersion:
    """Make a solution version of factors that were trained elsewhere.

    One of `counts`, `interactions` and `group` is needed: it says how popular each item is.

    Args:
        catalog: the catalog or its place: it gets the solution version.
        solution: the name of the solution, created if there is none.
        recipe: the name of the recipe, such as aws-user-personalization.
        items: the item factors; a saved PipelineModel gives the factors and the ids.
        users: the user factors; if left out, those of the same file or folder.
        item_ids: a table `integer,id` of the items, for formats whose rows have but a number, or a saved StringIndexerModel.
        user_ids: the same of the users.
        counts: a table `id,count`: how often each item was interacted with.
        interactions: a table `USER_ID,ITEM_ID`, with or without `TIMESTAMP`, instead of `counts`.
        format: of the factors; if left out, what the files look like.
        group: the name of the dataset group, for filters, exploration and popularity.
        arn: the ARN of the solution version; if left out, a new one.
        fit_temperature: fit the temperature of the scores to the interactions; else it is 1.
        spark: the session to use; it needs Delta where a table is a Delta table.

    Returns:
        The version: its `arn`, for requests, and its `metrics` with `notes` on how to read them.

    Raises:
        InvalidInputException: what is given is not what the recipe needs, or the solution is one of another recipe.
        DataError: something is wrong with the files; nothing was created.
        ResourceAlreadyExistsException: there is a solution version of that ARN.
        ResourceNotFoundException: there is no such dataset group, or it has no interactions though they are needed.
    """
    from personalize_spark.solutions.import_model import Sources, Target, check_import, needs_jars
    from personalize_spark.solutions.import_model import import_model as import_factors

    catalog = Catalog(catalog)
    ids = {"item_ids": item_ids, "user_ids": user_ids}
    files = {"items": items, "users": users, **ids, "counts": counts, "interactions": interactions}
    uris = {name: uri_of(place) for name, place in files.items() if place is not None}
    sources, target = Sources(form=format, **uris), Target(solution, recipe, group, arn)
    _, _, found, _ = check_import(catalog, target, sources, fit=fit_temperature)  # Spark takes its time to start
    jars = needs_jars(target, found, fit=fit_temperature)
    session = spark or _session(f"import-model {solution}", data=True, jars=jars)
    return new_version(catalog, import_factors(session, catalog, target, sources, fit_temperature=fit_temperature))


def _session(purpose: str, *, data: bool = False, jars: bool = True, short: bool = False) -> SparkSession:
    from personalize_spark.spark import open_session

    return open_session(f"personalize-spark {purpose}", data=data, jars=jars, short=short)
