"""A store on S3, or on any server that speaks S3 with conditional writes (`AWS_ENDPOINT_URL` names it)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.session import get_session

from personalize_spark.errors import AccessDenied, ObjectChanged, ObjectExists, ObjectNotFound, StorageError
from personalize_spark.storage.store import Access, Object, Store, checked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART = 5 << 20
MAX_COPY = 5 << 30
_CONNECTIONS = 16
_TRIES = 4
_BROKEN_OFF = (ResponseStreamingError, ReadTimeoutError, IncompleteReadError)

Span = tuple[Object, int, int]
"""A piece and the range [start, end) of its bytes."""


class S3Store:
    """Objects under one prefix of one bucket. Version and etag are both the object's ETag."""

    def __init__(self, bucket: str, prefix: str, access: Access) -> None:
        self.bucket, self.access = bucket, access
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.root = f"s3://{bucket}/{self.prefix}"

    def at(self, folder: str) -> S3Store:
        """See `Store.at`."""
        return S3Store(self.bucket, self.prefix + checked(folder), self.access)

    def list(self, prefix: str = "") -> Iterator[Object]:
        """See `Store.list`; folder markers (empty objects whose key ends in `/`) are not objects here."""
        for found in self._listed(prefix):
            if not found["Key"].endswith("/"):
                yield Object(found["Key"][len(self.prefix) :], found["Size"], found["ETag"])

    def newest(self, prefix: str) -> float | None:
        """See `Store.newest`."""
        return max((found["LastModified"].timestamp() for found in self._listed(prefix)), default=None)

    def _listed(self, prefix: str) -> Iterator[ObjectTypeDef]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix + checked(prefix)
        )
        with self._says_where(prefix, "s3:ListBucket"):
            for page in pages:
                yield from page.get("Contents", [])

    def read(self, name: str, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """See `Store.read`."""
        if end is not None and end <= start:
            return b""
        wanted: Any = {"IfMatch": etag} if etag is not None else {}
        if start or end is not None:  # S3 refuses every range of an empty object
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        return self._get(name, **wanted)[0]

    def write(self, name: str, data: bytes) -> str:
        """See `Store.write`."""
        return self._put(name, data)

    def upload(self, name: str, source: BinaryIO) -> str:
        """See `Store.upload`; large files go up in parts."""
        source.seek(0)
        with self._says_where(name, "s3:PutObject"):
            self._client.upload_fileobj(source, self.bucket, self._key(name), ExtraArgs=self._encryption)
            return self._client.head_object(**self._at(name))["ETag"]

    def load(self, name: str) -> tuple[bytes, str]:
        """See `Store.load`."""
        return self._get(name)

    def create(self, name: str, data: bytes) -> str:
        """See `Store.create`."""
        try:
            return self._put(name, data, IfNoneMatch="*")
        except ObjectChanged as error:
            raise ObjectExists(f"{self.root}{name} already exists.") from error

    def replace(self, name: str, data: bytes, version: str) -> str:
        """See `Store.replace`."""
        return self._put(name, data, IfMatch=version)

    def compose(self, name: str, source: Store, pieces: Iterable[Object]) -> None:
        """See `Store.compose`: S3 copies what is large enough; small neighbours pass through here.

        The upload begins after the last piece is given: an upload that a killed driver leaves open is paid for unseen.
        """
        if not isinstance(source, S3Store):
            raise StorageError(
                f"{self.root}{name} cannot be composed of pieces on {source.root}: stage on an s3:// URI."
            )
        parts = list(_parts(pieces))
        if not any(_is_copy(part) for part in parts) and len(parts) <= 1:
            self.write(name, b"".join(source.span(*span) for part in parts for span in part))
            return
        with self._says_where(name, "s3:PutObject"):
            upload = self._client.create_multipart_upload(**self._at(name), **self._encryption)["UploadId"]
            try:
                with ThreadPoolExecutor(_CONNECTIONS) as pool:
                    numbers = range(1, len(parts) + 1)
                    done = pool.map(lambda number, part: self._part(name, upload, number, source, part), numbers, parts)
                    uploaded: Any = {"Parts": list(done)}
                self._client.complete_multipart_upload(**self._at(name), UploadId=upload, MultipartUpload=uploaded)
            except BaseException:
                self._client.abort_multipart_upload(**self._at(name), UploadId=upload)
                raise

    def delete(self, prefix: str) -> None:
        """See `Store.delete`."""
        names = [found.name for found in self.list(prefix)]
        for first in range(0, len(names), 1000):
            keys: Any = [{"Key": self._key(name)} for name in names[first : first + 1000]]
            with self._says_where(prefix, "s3:DeleteObject"):
                answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys, "Quiet": True})
            if refused := answer.get("Errors"):
                raise AccessDenied(f"{self.root}{prefix}: {refused[0].get('Code')}; grant s3:DeleteObject there.")

    def span(self, piece: Object, start: int, end: int) -> bytes:
        """The bytes [start, end) of a piece, pinned to its etag."""
        return self.read(piece.name, start, end, piece.etag)

    def _part(self, name: str, upload: str, number: int, source: S3Store, part: Sequence[Span]) -> dict[str, Any]:
        where: Any = {**self._at(name), "UploadId": upload, "PartNumber": number}
        if not _is_copy(part):
            body = b"".join(source.span(*span) for span in part)
            return {"PartNumber": number, "ETag": self._client.upload_part(**where, Body=body)["ETag"]}
        [(piece, start, end)] = part
        copied = self._client.upload_part_copy(
            **where,
            CopySource={"Bucket": source.bucket, "Key": source._key(piece.name)},  # same class
            CopySourceIfMatch=piece.etag,
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        return {"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]}

    def _get(self, name: str, **wanted: Any) -> tuple[bytes, str]:
        """The bytes and the ETag. A request that fails is made again by botocore, one whose body breaks off here."""
        with self._says_where(name, "s3:GetObject"):
            for _ in range(_TRIES - 1):
                with contextlib.suppress(*_BROKEN_OFF):
                    return self._got(name, wanted)
            return self._got(name, wanted)

    def _got(self, name: str, wanted: Any) -> tuple[bytes, str]:
        answer = self._client.get_object(**self._at(name), **wanted)
        return answer["Body"].read(), answer["ETag"]

    def _put(self, name: str, data: bytes, **condition: Any) -> str:
        with self._says_where(name, "s3:PutObject"):
            try:
                return self._client.put_object(**self._at(name), Body=data, **self._encryption, **condition)["ETag"]
            except ClientError as error:
                if not (condition and error.response["ResponseMetadata"].get("RetryAttempts")):
                    raise
                # an earlier attempt may have been carried out and its answer lost: then it is our own object that is in the way
                there, etag = self._got(name, {})
                if there != data:
                    raise
                return etag

    @property
    def _client(self) -> S3Client:
        return _client(self.access.role_arn)

    @property
    def _encryption(self) -> dict[str, Any]:
        key = self.access.kms_key_arn
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}

    def _key(self, name: str) -> str:
        return self.prefix + checked(name)

    def _at(self, name: str) -> Any:  # keyword arguments for any of the client's methods
        return {"Bucket": self.bucket, "Key": self._key(name)}

    @contextlib.contextmanager
    def _says_where(self, name: str, action: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise _translate(error, f"{self.root}{name}", action, self.access) from error
        except BotoCoreError as error:
            raise StorageError(f"{self.root}{name}: {error}") from error


def _translate(error: ClientError, uri: str, action: str, access: Access) -> StorageError:
    code = error.response["Error"].get("Code", "")
    if error.operation_name == "AssumeRole":
        return AccessDenied(
            f"The role {access.role_arn} could not be assumed ({code}). Its trust policy may name only "
            "personalize.amazonaws.com: add the identity that runs Spark as a principal for sts:AssumeRole."
        )
    if code == "NoSuchBucket":
        return ObjectNotFound(f"The bucket of {uri} does not exist.")
    if code in {"NoSuchKey", "404"}:
        return ObjectNotFound(f"{uri} does not exist.")
    if code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
        return ObjectChanged(f"{uri} has changed since it was last read.")
    if code in {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}:
        who = f"The role {access.role_arn}" if access.role_arn else "The identity in use"
        return AccessDenied(
            f"{who} lacks the permission {action} on {uri} ({code}). Add it to the policies of the role and the bucket."
        )
    return StorageError(f"{uri}: {error}")


def _parts(pieces: Iterable[Object]) -> Iterator[list[Span]]:
    """Cut the pieces' bytes into upload parts.

    A part of one span of at least `MIN_PART` bytes is copied by S3; a part of several spans, or the last one, is small
    and is sent. Every part but the last holds `MIN_PART` bytes or more, none more than `MAX_COPY`.
    """
    small: list[Span] = []
    missing = MIN_PART
    for piece in pieces:
        start = 0
        if small and piece.size:
            start = min(piece.size, missing)
            small.append((piece, 0, start))
            missing -= start
            if missing == 0:
                yield small
                small, missing = [], MIN_PART
        while piece.size - start >= MIN_PART:
            end = min(piece.size, start + MAX_COPY)
            yield [(piece, start, end)]
            start = end
        if start < piece.size:
            small.append((piece, start, piece.size))
            missing -= piece.size - start
    if small:
        yield small


def _is_copy(part: Sequence[Span]) -> bool:
    return len(part) == 1 and part[0][2] - part[0][1] >= MIN_PART


_making = threading.Lock()


def _client(role_arn: str | None) -> S3Client:
    with _making:  # boto3 clients are safe to share, making them is not
        return _cached_client(role_arn)


def forget_clients() -> None:
    """Make new clients from now on, after the environment's credentials or endpoint have changed."""
    _cached_client.cache_clear()


@lru_cache
def _cached_client(role_arn: str | None) -> S3Client:
    session = get_session()
    if role_arn is not None:
        session.register_component("credential_provider", CredentialResolver([_Role(role_arn)]))
    config = Config(max_pool_connections=_CONNECTIONS, retries={"mode": "standard", "max_attempts": 8})
    return boto3.session.Session(botocore_session=session).client("s3", config=config)


class _Role(CredentialProvider):
    """The keys of a role, assumed with the host's own. They live an hour at most; each process renews them by itself."""

    METHOD = "assume-role"

    def __init__(self, role_arn: str) -> None:
        super().__init__()
        self._role_arn = role_arn

    def load(self) -> DeferredRefreshableCredentials:
        """See `CredentialProvider.load`."""
        host = get_session()
        own = host.get_credentials()
        if own is None:
            raise AccessDenied(
                f"The role {self._role_arn} could not be assumed: this host has no AWS credentials of its own to assume "
                "it with. Give the host a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        fetcher = AssumeRoleCredentialFetcher(
            host.create_client, own, self._role_arn, extra_args={"RoleSessionName": "personalize-spark"}
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)
