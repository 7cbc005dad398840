"""The catalog: one URI that holds every resource. No server, no database.

    records/KIND/NAME[/VERSION].json     one JSON object a resource, at the path that its ARN's resource part spells
    datasets/GROUP/TYPE/                 Delta tables
    datasets/GROUP/put/TYPE/             rows that were put one by one, and wait for Delta
    views/GROUP/IMPORT/                  what filters know, written by an import
    models/SOLUTION/VERSION/             what recipes know, written by a training

Records are created by conditional put and changed by compare-and-set, so any number of drivers may share a catalog.

What a record names inside the catalog it stores relative to it, so a catalog may be moved or copied while nothing runs: from
files to S3, or back. In memory these places are URIs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.status import Status
from personalize_spark.errors import (
    ArtifactError,
    InvalidInputException,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    ResourceAlreadyExistsException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from personalize_spark.storage.location import Place, open_store, uri_of
from personalize_spark.storage.store import Store

Fields = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass
class Record:
    """A resource: its fields as the service names them, and the version they were read at."""

    arn: Arn
    fields: Fields
    version: str = field(repr=False)

    @property
    def status(self) -> Status:
        """Where the resource stands; schemas have no status."""
        return Status(self.fields["status"])


class Catalog:
    """Records by ARN, and the stores of everything else.

    Args:
        location: a local path, `file:///...` or `s3://bucket/prefix`; nothing is created before the first record. Or a catalog:
            this is the same one.
        region: of new ARNs; if left out, what the other catalog or the environment says.
    """

    def __init__(self, location: Place | Catalog, region: str | None = None) -> None:
        self._region: str | None = region
        if isinstance(location, Catalog):
            self.uri: str = location.uri
            self._region = region or location._region
        else:
            self.uri = uri_of(location).rstrip("/")
        self.store: Store = open_store(self.uri)

    def new_arn(self, kind: str, name: str) -> Arn:
        """The ARN of a new resource that belongs to no other; see `Arn.local`."""
        return Arn.local(kind, name, self._region)

    def create(self, arn: Arn, fields: Fields) -> Record:
        """Make a new resource; sets `arn`, `creationDateTime` and `lastUpdatedDateTime` (epoch seconds).

        Raises:
            ResourceAlreadyExistsException: the name is taken; of several creators exactly one succeeds.
        """
        now = time.time()
        fields = {"arn": str(arn), **fields, "creationDateTime": now, "lastUpdatedDateTime": now}
        try:
            version = self.store.create(_path(arn), self._stored(fields))
        except ObjectExists as error:
            raise ResourceAlreadyExistsException(f"Another resource with Arn {arn} already exists.") from error
        return Record(arn, fields, version)

    def read(self, arn: Arn) -> Record:
        """The resource of that ARN, all parts of it.

        Raises:
            ResourceNotFoundException: there is none.
            ArtifactError: its record is damaged.
        """
        try:
            record = self._load(_path(arn))
        except ObjectNotFound as error:
            raise ResourceNotFoundException(f"Resource Arn {arn} does not exist in the catalog {self.uri}.") from error
        if record.arn != arn:
            raise ResourceNotFoundException(
                f"Resource Arn {arn} does not exist; the catalog {self.uri} holds {record.arn}."
            )
        return record

    def holds(self, arn: Arn) -> bool:
        """Whether there is a resource of that ARN."""
        try:
            self.read(arn)
        except ResourceNotFoundException:
            return False
        return True

    def update(self, record: Record, **changes: Any) -> None:
        """Change fields of a record that nobody else has changed since it was read; a change to `None` drops the field.

        Raises:
            ResourceInUseException: somebody has.
        """
        changed = {**record.fields, **changes, "lastUpdatedDateTime": time.time()}
        fields = {name: value for name, value in changed.items() if value is not None}
        try:
            record.version = self.store.replace(_path(record.arn), self._stored(fields), record.version)
        except ObjectChanged as error:
            raise ResourceInUseException(f"{record.arn} was changed by another process.") from error
        record.fields = fields

    def delete(self, record: Record) -> None:
        """Remove a resource."""
        self.store.delete(_path(record.arn))

    def list(self, kind: str, name: str | None = None) -> Iterator[Record]:
        """All resources of a kind; with `name`, the versions below that resource. Ascending by path.

        A damaged record is left out, with a warning.
        """
        prefix = f"records/{kind}/{name}/" if name else f"records/{kind}/"
        for found in self.store.list(prefix):
            if "/" not in found.name[len(prefix) :]:
                try:
                    yield self._load(found.name)
                except ArtifactError as error:  # one bad record does not hide the others
                    _log.warning("%s", error.message)

    def everything(self) -> Iterator[Record]:
        """All resources of all kinds.

        Raises:
            ArtifactError: a record is damaged.
        """
        for found in self.store.list("records/"):
            yield self._load(found.name)

    def _load(self, name: str) -> Record:
        """The record at a path of the catalog.

        Raises:
            ArtifactError: it is damaged.
            ObjectNotFound: there is none.
        """
        data, version = self.store.load(name)
        try:
            fields = _with_places(orjson.loads(data), self._uri)
            record = Record(Arn.parse(fields["arn"]), fields, version)
            if "status" in fields:
                Status(fields["status"])
            float(fields["creationDateTime"])
        except (ValueError, TypeError, LookupError, AttributeError, InvalidInputException) as error:
            raise ArtifactError(
                f"The record {self.store.root}{name} is damaged ({error!r}): restore it, or remove the file."
            ) from error
        return record

    def _stored(self, fields: Fields) -> bytes:
        return orjson.dumps(_with_places(fields, lambda uri: uri.removeprefix(self.store.root)))

    def _uri(self, place: str) -> str:
        return place if "://" in place else f"{self.store.root}{place}"


def _with_places(
    fields: Fields, change: Callable[[str], str], places: Container[str] = frozenset({"uri", "path"})
) -> Fields:
    """The fields with their places changed: the `path` of a table, and the `uri` of an artifact at any depth."""
    changed = dict(fields)
    for name, value in fields.items():
        if isinstance(value, dict):
            changed[name] = _with_places(value, change, {"uri"})
        elif name in places and isinstance(value, str):
            changed[name] = change(value)
    return changed


def _path(arn: Arn) -> str:
    return f"records/{arn.resource}.json"
