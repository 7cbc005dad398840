"""The model of the services that ships with botocore, or the package's copy of it where botocore is older."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

PERSONALIZE, EVENTS, RUNTIME = "personalize", "personalize-events", "personalize-runtime"
"""The services, as boto3 names them."""
COPIED_FROM = (1, 44, 5)
"""The release of botocore whose models of the services lie in `service_models/`, under the Apache License 2.0."""


@dataclass(frozen=True)
class Reference:
    """The name of a shape."""

    shape: str


NOTHING = Reference("")


@dataclass(frozen=True)
class Shape:
    """A type of the service model, as its JSON has it."""

    type: str
    required: tuple[str, ...] = ()
    members: dict[str, Reference] = field(default_factory=dict)
    member: Reference = NOTHING
    key: Reference = NOTHING
    value: Reference = NOTHING
    min: int | float | None = None
    max: int | float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    error: dict[str, Any] = field(default_factory=dict)

    def named(self, name: Callable[[Reference], Reference]) -> Shape:
        """The shape with other names for what it refers to."""
        members = {member: name(each) for member, each in self.members.items()}
        return replace(self, members=members, member=name(self.member), key=name(self.key), value=name(self.value))


@dataclass(frozen=True)
class Operation:
    """An operation of a service; `output` is left out where there is nothing to answer."""

    input: Reference
    http: dict[str, Any]
    output: Reference = NOTHING
    service: str = PERSONALIZE


@dataclass(frozen=True)
class ServiceModel:
    """A service, as botocore describes it, or several: no two have an operation of the same name."""

    operations: dict[str, Operation]
    shapes: dict[str, Shape]

    def prefixed(self, service: str) -> ServiceModel:
        """The model with shapes whose names tell the service, as `Arn` or `Item` is another one in each."""

        def name(reference: Reference) -> Reference:
            return reference if reference == NOTHING else Reference(f"{service}.{reference.shape}")

        operations = {
            each: replace(operation, input=name(operation.input), output=name(operation.output), service=service)
            for each, operation in self.operations.items()
        }
        return ServiceModel(operations, {f"{service}.{each}": shape.named(name) for each, shape in self.shapes.items()})


@cache
def service_model() -> ServiceModel:
    """All three services as one."""
    personalize, *others = (_read_model(service) for service in (PERSONALIZE, EVENTS, RUNTIME))
    prefixed = [model.prefixed(service) for service, model in zip((EVENTS, RUNTIME), others, strict=True)]
    operations, shapes = dict(personalize.operations), dict(personalize.shapes)
    for model in prefixed:
        operations |= model.operations
        shapes |= model.shapes
    return ServiceModel(operations, shapes)


def _read_model(service: str) -> ServiceModel:
    """The newer one of botocore's data and the package's copy of it: an old botocore is no reason to refuse a request.

    It is read without botocore: to import it costs 0.2 s.
    """
    spec = find_spec("botocore")
    if spec is None or spec.origin is None or _installed_botocore() <= COPIED_FROM:
        data = gzip.decompress(files(__package__).joinpath("service_models", f"{service}.json.gz").read_bytes())
    else:
        newest = max((Path(spec.origin).parent / "data" / service).iterdir())
        packed = newest / "service-2.json.gz"
        data = gzip.decompress(packed.read_bytes()) if packed.exists() else packed.with_suffix("").read_bytes()
    return msgspec.json.decode(data, type=ServiceModel)


def _installed_botocore() -> tuple[int, ...]:
    """Its release; nothing, which is before all, where no metadata tells it."""
    with suppress(PackageNotFoundError):
        return tuple(int(part) for part in re.findall(r"[0-9]+", version("botocore"))[:3])
    return ()
