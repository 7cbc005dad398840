"""A batch inference job: the request, and everything that was pinned when it was checked."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from personalize_spark.artifacts.artifact import Pinned
from personalize_spark.artifacts.view import Exploration
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog, Record
from personalize_spark.catalog.lease import RESUMABLE
from personalize_spark.catalog.status import Status
from personalize_spark.errors import InvalidInputException
from personalize_spark.extensions import Extensions
from personalize_spark.recipes import Settings
from personalize_spark.request import THEME_GENERATION, members
from personalize_spark.storage.documents import converted, plain
from personalize_spark.storage.location import is_on_files, uri_of
from personalize_spark.storage.store import Access, Object

KIND = "batch-inference-job"


@dataclass(frozen=True)
class OldAnswers:
    """The outputs of another job, whose answers stay where lines are as they were.

    Attributes:
        folder: the other job's output path.
        outputs: by the name of the input, its output as it was written.
        apart: error lines are not in them.
        repeated: the answers that stay are written, too; else the outputs have only the new ones.
    """

    folder: str
    outputs: dict[str, Object]
    apart: bool
    repeated: bool


@dataclass(frozen=True)
class Job:
    """All that a run needs to know. The record of the job holds it, and so does the plan of each run.

    Attributes:
        request: the parameters of CreateBatchInferenceJob.
        recipe: the name of the solution version's recipe.
        settings: what the request asks of the recipe.
        model: the solution version's model.
        access: how its input and output are read and written.
        update: the users that were refreshed since the model was trained.
        view: the dataset group's data, for the filter and the exploration.
        filter: the filter's expression.
        exploration: what is explored, if the recipe explores and there is data to explore.
        themes: what the themes are made from, if each line gets one.
        notes: what the report should say of the request.
        service_limits: refuse what the managed service would not take.
        extensions: what is asked beyond the service.
        tolerated_failures: percent of the lines that may be error lines; with more the job fails, and its outputs stay.
        only: the names of the inputs that are answered; `None`: all that there are.
        old: what another job has answered, where this one answers its error lines again.
        errors_to: the folder that error lines go to instead of the outputs.
        report_files: write the report beside the outputs, too.
        theme_model: the language model that phrases the themes; see `themes.language_model.language_model`.
    """

    request: dict[str, Any]
    recipe: str
    settings: Settings
    model: Pinned
    access: Access
    update: Pinned | None = None
    view: Pinned | None = None
    filter: str | None = None
    exploration: Exploration | None = None
    themes: Pinned | None = None
    notes: list[str] = field(default_factory=list)
    service_limits: bool = False
    extensions: Extensions = field(default_factory=Extensions)
    tolerated_failures: float | None = None
    only: list[str] | None = None
    old: OldAnswers | None = None
    errors_to: str | None = None
    report_files: bool = False
    theme_model: str | None = None

    @property
    def arn(self) -> Arn:
        """The job's ARN: in the account of the solution version."""
        return Arn.parse(self.request["solutionVersionArn"]).sibling(KIND, self.request["jobName"])

    @property
    def input_path(self) -> str:
        """What the URIs of all inputs start with."""
        return uri_of(self.request["jobInput"]["s3DataSource"]["path"])

    @property
    def output_path(self) -> str:
        """The folder of the outputs."""
        return uri_of(self.request["jobOutput"]["s3DataDestination"]["path"])

    @property
    def item_name(self) -> str:
        """The column that holds the names of items, where there are themes."""
        name: str = self.request["themeGenerationConfig"]["fieldsForThemeGeneration"]["itemName"]
        return name

    def named(self, name: str | None) -> Job:
        """The same under another name, where one is given."""
        return self if name is None else replace(self, request={**self.request, "jobName": name})

    def phrased_by(self, theme_model: str | None) -> Job:
        """The job, its themes phrased by a language model, where one is given.

        Raises:
            InvalidInputException: the job has no themes, or this machine cannot ask such a model.
        """
        if theme_model is None:
            return self
        from personalize_spark.themes.language_model import language_model  # urllib, for a few jobs

        if self.themes is None:
            raise InvalidInputException(
                f"The theme model {theme_model} has nothing to do: the request needs the batchInferenceJobMode {THEME_GENERATION}."
            )
        language_model(theme_model)
        return replace(self, theme_model=theme_model)

    def create(self, catalog: Catalog) -> Record:
        """Make the job's record: CREATE PENDING.

        Raises:
            InvalidInputException: error lines or Parquet are to go to another kind of storage than the outputs.
            ResourceAlreadyExistsException: the name is taken.
        """
        for place in filter(None, (self.errors_to, self.extensions.also_parquet)):
            if is_on_files(place) != is_on_files(self.output_path):
                raise InvalidInputException(
                    f"{place} and the output path {self.output_path} are different kinds of storage: "
                    "all that a job writes goes to one kind, s3:// or file://."
                )
        pinned = plain(self)
        request = pinned.pop("request")
        return catalog.create(
            self.arn,
            {
                **request,
                "batchInferenceJobArn": str(self.arn),
                "status": Status.PENDING,
                "job": pinned,
                "run": uuid.uuid4().hex,
                RESUMABLE: True,
            },
        )

    @classmethod
    def of(cls, record: Record) -> Job:
        """The job of a record.

        Raises:
            ArtifactError: the record is damaged, or of another release.
        """
        asked = {name: record.fields[name] for name in members("CreateBatchInferenceJob") if name in record.fields}
        return converted({"request": asked, **record.fields.get("job", {})}, cls, f"The record of {record.arn}")
