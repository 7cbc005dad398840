"""The metrics of an ended job as a line in CloudWatch's embedded metric format, which its agent and its log groups turn into metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.resources import find
from personalize_spark.catalog.status import Status
from personalize_spark.job.job import Job

NAMESPACE = "PersonalizeSpark"
_UNITS = {
    "Failed": "Count",
    "Lines": "Count",
    "ErrorLines": "Count",
    "Seconds": "Seconds",
    "LinesPerSecond": "Count/Second",
    "OutputBytes": "Bytes",
}


def metric_line(catalog: Catalog, arn: str) -> str:
    """One line of JSON about a job, with its newline; a job without a report has only the metric `Failed`.

    The form is of "Specification: Embedded metric format" in the CloudWatch user guide. Dimensions are the recipe, and none.

    Raises:
        ResourceNotFoundException: there is no such job.
    """
    record = find(catalog, arn, "batch inference job")
    values = {"Failed": int(record.status is not Status.ACTIVE), **_of_report(record.fields.get("report"))}
    metrics = [{"Name": name, "Unit": _UNITS[name]} for name in values]
    said = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [[], ["Recipe"]], "Metrics": metrics}],
        },
        "Recipe": Job.of(record).recipe,
        "Job": str(record.arn),
        **values,
    }
    return json.dumps(said) + "\n"


def _of_report(report: Mapping[str, Any] | None) -> dict[str, float]:
    if report is None:
        return {}
    return {
        "Lines": report["lines"],
        "ErrorLines": report["lines"] - report["answered"],
        "Seconds": report["seconds"],
        "LinesPerSecond": report["lines_per_second"],
        "OutputBytes": report["bytes"],
    }
