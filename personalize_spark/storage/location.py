"""From a URI to the store it names."""

from __future__ import annotations

import os
import re
from os import PathLike
from pathlib import Path

from personalize_spark.errors import InvalidInputException
from personalize_spark.storage.file import FileStore
from personalize_spark.storage.store import Access, Store

AMBIENT = Access()
_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""How a URI of Hadoop's begins, such as `dbfs:/folder`, and one that was a `pathlib.Path`, such as `s3:/bucket`."""

Place = str | PathLike[str]
"""A local path, or a URI: `file:///...`, `s3://...`."""


def uri_of(place: Place) -> str:
    """A local path as a URI, from the root of the file system; one of a file without `..`, which keeps its last slash; another as it is.

    Raises:
        InvalidInputException: it is empty, or begins as a URI does, but with one slash: no local path is meant.
    """
    text = str(place)
    if not text or _ONE_SLASH.match(text):
        raise _no_location(text)
    if "://" not in text:
        return f"file://{plain_path(text)}"
    path = text.removeprefix("file://")
    if not path.startswith("/") or ".." not in path.split("/"):
        return text
    return f"file://{plain_path(path)}{'/' if path.endswith(('/', '/..')) else ''}"


def plain_path(path: str | PathLike[str]) -> Path:
    """A path from the root of the file system, as messages show it: without `..`, unless a link makes that another place."""
    whole = Path(path).absolute()
    plain = Path(os.path.normpath(whole))
    return plain if ".." in whole.parts and plain.resolve() == whole.resolve() else whole


def is_on_files(uri: str) -> bool:
    """Whether a URI names a place on a file system."""
    return uri.startswith("file://")


def open_store(uri: str, access: Access = AMBIENT) -> Store:
    """The store of a folder: `file:///path`, or `s3://bucket/prefix` (`s3a://` means the same).

    Raises:
        InvalidInputException: another scheme, or no bucket.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return FileStore(rest)
    if scheme in {"s3", "s3a"} and rest.partition("/")[0]:
        from personalize_spark.storage.s3 import S3Store  # boto3 costs 0.2 s, which files need not wait for

        bucket, _, prefix = rest.partition("/")
        return S3Store(bucket, prefix, access)
    raise _no_location(uri)


def _no_location(uri: str) -> InvalidInputException:
    return InvalidInputException(f"'{uri}' is not a storage location: use s3://bucket/folder or file:///folder.")


def write_to(place: Place, data: bytes) -> None:
    """Write one object, in place of another one.

    Raises:
        InvalidInputException: a URI of another scheme.
        StorageError: it cannot be written.
    """
    folder, name = split_prefix(uri_of(place))
    open_store(folder).write(name, data)


def split_prefix(uri: str) -> tuple[str, str]:
    """A path that is a prefix, as (folder URI, prefix of the names in it): `s3://b/in/us` is (`s3://b/in/`, `us`)."""
    scheme, _, rest = uri.partition("://")
    folder, slash, prefix = rest.rpartition("/")
    return (f"{scheme}://{folder}/", prefix) if slash else (f"{uri}/", "")


def hadoop_uri(uri: str) -> str:
    """The same place as Spark's own readers and writers name it."""
    return "s3a://" + uri.removeprefix("s3://") if uri.startswith("s3://") else uri
