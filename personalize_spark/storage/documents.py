"""Small JSON documents in a store: a dataclass written, the same dataclass read back."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from personalize_spark.errors import ArtifactError
from personalize_spark.storage.store import Store

T = TypeVar("T")


def write_document(store: Store, name: str, value: object) -> None:
    """Write a dataclass, or a list of them, as JSON."""
    store.write(name, msgspec.json.encode(value))


def read_document(store: Store, name: str, kind: type[T]) -> T:
    """Read what `write_document` wrote; fields that `kind` does not have are ignored.

    Raises:
        ArtifactError: the document is no JSON, or a field is missing or of another type.
        ObjectNotFound: there is no such document.
    """
    return decoded(store.read(name), kind, f"{store.root}{name}")


def decoded(data: bytes, kind: type[T], place: str) -> T:
    """Decode the JSON of a document; `place` is the URI that an error names.

    Raises:
        ArtifactError: as `read_document`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(place, error) from error


def plain(value: object) -> dict[str, Any]:
    """A dataclass as a part of a larger document."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields


def converted(fields: dict[str, Any], kind: type[T], place: str) -> T:
    """The dataclass of which `plain` gave the fields; `place` is what an error names.

    Raises:
        ArtifactError: a field is missing or of another type.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _unreadable(place, error) from error


def _unreadable(place: str, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{place} cannot be read: {error}. It is damaged, or another release wrote it: create it again."
    )
