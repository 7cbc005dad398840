"""What a batch inference job is made of, before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.catalog.catalog import Record
from personalize_spark.job.plan import Exploring, Filtering
from personalize_spark.recipes import Settings
from personalize_spark.request import BatchInferenceRequest


@dataclass(frozen=True)
class Job:
    """A job that was created.

    Attributes:
        record: its record in the catalog.
        recipe: the name of the solution version's recipe.
        model: the solution version's model.
        update: what it has been told of its users since, if anything.
        settings: what the request asks of the recipe.
        filtering: the filter, if there is one.
        exploring: the exploration, if there is one.
        notes: what the report should say of the request.
        assume_role: use the request's role for the input and the output, not the ambient credentials.
        service_limits: refuse what the managed service would not take.
    """

    record: Record
    request: BatchInferenceRequest
    recipe: str
    model: Pinned
    update: Pinned | None
    settings: Settings
    filtering: Filtering | None
    exploring: Exploring | None
    notes: list[str]
    assume_role: bool = False
    service_limits: bool = False
