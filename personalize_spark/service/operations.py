"""The table of operations: every way to call the service, of Python, of HTTP or of the command line, goes through it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from personalize_spark.catalog.catalog import Catalog, Fields
from personalize_spark.errors import InvalidInputException
from personalize_spark.service.work import Begin

# Modules are imported when they are needed: most commands need but one.
_FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "batch_inference_jobs": ("CreateBatchInferenceJob", "DescribeBatchInferenceJob", "ListBatchInferenceJobs"),
    "data_deletion_jobs": ("CreateDataDeletionJob", "DescribeDataDeletionJob", "ListDataDeletionJobs"),
    "dataset_export_jobs": ("CreateDatasetExportJob", "DescribeDatasetExportJob", "ListDatasetExportJobs"),
    "dataset_groups": ("CreateDatasetGroup", "DescribeDatasetGroup", "ListDatasetGroups", "DeleteDatasetGroup"),
    "dataset_import_jobs": ("CreateDatasetImportJob", "DescribeDatasetImportJob", "ListDatasetImportJobs"),
    "datasets": ("CreateDataset", "UpdateDataset", "DescribeDataset", "ListDatasets", "DeleteDataset"),
    "event_trackers": ("CreateEventTracker", "DescribeEventTracker", "ListEventTrackers", "DeleteEventTracker"),
    "events": ("PutEvents", "PutItems", "PutUsers"),
    "filters": ("CreateFilter", "DescribeFilter", "ListFilters", "DeleteFilter"),
    "recipes": ("DescribeRecipe", "ListRecipes", "DescribeAlgorithm", "DescribeFeatureTransformation"),
    "runtime": ("GetRecommendations", "GetPersonalizedRanking"),
    "schemas": ("CreateSchema", "DescribeSchema", "ListSchemas", "DeleteSchema"),
    "solutions": (
        *("CreateSolution", "UpdateSolution", "DescribeSolution", "ListSolutions", "DeleteSolution"),
        *("CreateSolutionVersion", "StopSolutionVersionCreation", "DescribeSolutionVersion", "ListSolutionVersions"),
        "GetSolutionMetrics",
    ),
    "tags": ("TagResource", "UntagResource", "ListTagsForResource"),
}
OPERATIONS: Mapping[str, str] = {name: module for module, names in _FUNCTIONS.items() for name in names}
"""By the operation's name, the module whose function answers it."""
BEGINNING: Mapping[str, str] = {
    "CreateBatchInferenceJob": "begin_batch_inference_job",
    "CreateDataDeletionJob": "begin_data_deletion_job",
    "CreateDatasetExportJob": "begin_dataset_export_job",
    "CreateDatasetImportJob": "begin_dataset_import_job",
    "CreateSolutionVersion": "begin_solution_version",
}
"""Operations that begin work, which goes on when they have answered, and their functions."""
NOT_BATCH = "personalize_spark makes recommendations by batch inference jobs."
"""Why the service's other operations are not supported."""


def perform(catalog: Catalog, operation: str, params: Mapping[str, Any], begin: Begin) -> Fields:
    """Carry out one operation.

    Args:
        catalog: holds all resources.
        operation: a name of the service model, such as `DescribeFilter`.
        params: as the service model describes them.
        begin: takes the work that the operation begins, if it does.

    Returns:
        The answer as the service model describes it; times in epoch seconds.

    Raises:
        ServiceError: as the service would refuse the request; `InvalidInputException` also where a batch system has no such thing.
    """
    if operation not in OPERATIONS:
        raise InvalidInputException(
            f"{operation} is not supported: {NOT_BATCH} Supported: {', '.join(sorted(OPERATIONS))}."
        )
    module = import_module(f"personalize_spark.service.{OPERATIONS[operation]}")
    if operation in BEGINNING:
        answer: Fields = getattr(module, BEGINNING[operation])(catalog, params, begin)
    else:
        answer = getattr(module, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower())(catalog, params)
    return answer
