"""A DAG that runs a job on EMR Serverless each week, with the operator of Airflow's Amazon provider (Airflow 3).

On other platforms: EmrAddStepsOperator, EmrContainerOperator, GlueJobOperator, DatabricksRunNowOperator, SparkSubmitOperator. A retry
would create a second job: there is none; `personalize-spark resume ARN` goes on with the first.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.amazon.aws.operators.emr import EmrServerlessStartJobOperator
from airflow.sdk import DAG

ARGUMENTS = ["--request", "s3://acme-recs/requests/weekly-homepage.json", "--catalog", "s3://acme-recs/catalog"]
SETTINGS = {
    # A Python 3.11 with all libraries, unpacked beside the driver and the executors, which look for it there.
    "spark.archives": "s3://acme-recs/dist/personalize_spark-0.1.0-environment-x86_64.tar.gz#environment",
    "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": "./environment/bin/python",
    "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": "./environment/bin/python",
    "spark.executorEnv.PYSPARK_PYTHON": "./environment/bin/python",
    # A task has one core; without this each of them starts a BLAS thread for every core of the host.
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    # A slow executor does not hold up the job: only one of two attempts at a task counts.
    "spark.speculation": "true",
}

with DAG("weekly_homepage", schedule="@weekly", start_date=datetime(2026, 1, 5, tzinfo=UTC), catchup=False):
    EmrServerlessStartJobOperator(
        task_id="batch_inference",
        application_id="00f1r2s3t4u5v6w7",
        execution_role_arn="arn:aws:iam::111122223333:role/PersonalizeSpark",
        job_driver={
            "sparkSubmit": {
                "entryPoint": "s3://acme-recs/dist/batch_inference.py",
                "entryPointArguments": ARGUMENTS,
                "sparkSubmitParameters": " ".join(f"--conf {name}={value}" for name, value in SETTINGS.items()),
            }
        },
        retries=0,
        deferrable=True,  # no worker of Airflow waits
    )
