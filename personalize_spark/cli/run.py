"""`run` and `validate`: a CreateBatchInferenceJob request carried out, or only checked."""

from __future__ import annotations

import argparse
import sys

from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, json_of, show
from personalize_spark.cli.progress import ProgressLine, summary


def add(commands: Commands) -> None:
    """Add both commands."""
    run = add_command(commands, "run", _run, "Create a batch inference job from a request and wait for its end.")
    check = add_command(commands, "validate", _validate, "Check a request without running it.")
    for command in (run, check):
        add_catalog(command)
        command.add_argument(
            "--request", required=True, metavar="FILE", help="a CreateBatchInferenceJob request, as JSON"
        )
        command.add_argument("--assume-role", action="store_true", help="read and write as the request's roleArn")
        command.add_argument("--limits", choices=["service"], help="refuse what exceeds the managed service's quotas")


def _run(arguments: argparse.Namespace) -> None:
    # Spark and what needs it are imported by the commands that start it: the others answer at once.
    from personalize_spark.job.run import run_job
    from personalize_spark.service.batch_inference_jobs import check_batch_inference_job, create_batch_inference_job
    from personalize_spark.spark import open_session

    catalog, params = catalog_of(arguments), json_of(arguments.request)
    limits = arguments.limits == "service"
    checked = check_batch_inference_job(catalog, params, service_limits=limits)
    # before there is a job: a machine without Java leaves none behind
    spark = open_session(f"personalize-spark {checked.request.job_name}")
    job = create_batch_inference_job(catalog, params, assume_role=arguments.assume_role, service_limits=limits)
    show({"batchInferenceJobArn": str(job.record.arn)})
    with ProgressLine(sys.stderr) as line:
        report = run_job(spark, catalog, job, line.show)
    sys.stderr.write(summary(report))


def _validate(arguments: argparse.Namespace) -> None:
    from personalize_spark.job.plan import find_inputs
    from personalize_spark.job.run import check_size
    from personalize_spark.service.batch_inference_jobs import check_batch_inference_job
    from personalize_spark.storage.store import Access

    limits = arguments.limits == "service"
    checked = check_batch_inference_job(catalog_of(arguments), json_of(arguments.request), service_limits=limits)
    request = checked.request
    access = Access(request.role_arn if arguments.assume_role else None)
    inputs = find_inputs(request.input_path, request.output_path, access)
    if limits:
        check_size(inputs)
    size = sum(each.source.size for each in inputs)
    show({"valid": True, "inputFiles": len(inputs), "inputBytes": size, "notes": checked.notes})
