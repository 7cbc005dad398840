"""A store on S3, or on any server that speaks S3 with conditional writes (`AWS_ENDPOINT_URL` names it)."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError
from botocore.session import get_session

from personalize_spark.errors import AccessDenied, ObjectChanged, ObjectExists, StorageError
from personalize_spark.storage.s3_requests import CHANGED, answer_in_time, code_of, in_plain_words, patiently
from personalize_spark.storage.store import Access, Object, Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART = 5 << 20
MAX_COPY = 5 << 30
MAX_PARTS = 10_000
_CONNECTIONS = 16
_SENDERS, _SENT_PART = 4, 8 << 20
"""Parts of a file that are sent, and so held in memory, at once; bytes of each."""
_MARK = "personalize-spark-upload"
"""Metadata of an object: by which upload it was made."""
_SPAN = re.compile(r"bytes (\d+)-(\d+)/")

T = TypeVar("T")
P = TypeVar("P")
Span = tuple[Object, int, int]
"""A piece and the range [start, end) of its bytes."""


class S3Store:
    """Objects under one prefix of one bucket. Version and etag are both the object's ETag."""

    def __init__(self, bucket: str, prefix: str, access: Access) -> None:
        self.bucket, self.access = bucket, access
        self.prefix = f"{prefix.removesuffix('/')}/" if prefix else ""  # an empty folder is one too
        self.root = f"s3://{bucket}/{self.prefix}"

    def at(self, folder: str) -> S3Store:
        """See `Store.at`."""
        return S3Store(self.bucket, self.prefix + folder, self.access)

    def list(self, prefix: str = "") -> Iterator[Object]:
        """See `Store.list`; folder markers (empty objects whose key ends in `/`) are not objects here."""
        for found in self._listed(prefix):
            if found["Size"] or not found["Key"].endswith("/"):
                yield Object(found["Key"][len(self.prefix) :], found["Size"], found["ETag"])

    def newest(self, prefix: str) -> float | None:
        """See `Store.newest`."""
        return max((found["LastModified"].timestamp() for found in self._listed(prefix)), default=None)

    def _listed(self, prefix: str) -> Iterator[ObjectTypeDef]:
        wanted: Any = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        while True:
            page = self._ask(prefix, "s3:ListBucket", lambda: self._client.list_objects_v2(**wanted))
            yield from page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

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
        size = source.seek(0, io.SEEK_END)
        step = max(_SENT_PART, -(-size // MAX_PARTS))
        source.seek(0)
        if size <= step:
            return self.write(name, source.read())
        reading = threading.Lock()

        def send(where: Any, start: int) -> str:
            with reading:
                source.seek(start)
                body = source.read(step)
            return self._sent(name, where, body)

        return self._assembled(name, range(0, size, step), send, _SENDERS)

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

    def compose(self, name: str, source: Store, pieces: Iterable[Object]) -> str:
        """See `Store.compose`: S3 copies what is large enough; small neighbours pass through here.

        The upload begins after the last piece is given: an upload that a killed driver leaves open is paid for unseen.
        """
        if not isinstance(source, S3Store):
            raise StorageError(
                f"{self.root}{name} cannot be composed of pieces on {source.root}: stage on an s3:// URI."
            )
        parts = list(_parts(pieces))
        if not any(_is_copy(part) for part in parts) and len(parts) <= 1:
            return self.write(name, b"".join(source.span(*span) for part in parts for span in part))
        return self._assembled(name, parts, partial(self._part, name, source), _CONNECTIONS)

    def _assembled(self, name: str, parts: Sequence[P], send: Callable[[Any, P], str], threads: int) -> str:
        """Make an object of parts, by a multipart upload, and return its ETag.

        Args:
            name: of the object.
            parts: what `send` takes, in order.
            send: sends a part, given the keyword arguments that say where it belongs; returns the part's ETag.
            threads: how many parts are sent at once.
        """
        mark = uuid.uuid4().hex
        more: Any = {**self._encryption, "Metadata": {_MARK: mark}}
        begun = self._ask(name, "s3:PutObject", lambda: self._client.create_multipart_upload(**self._at(name), **more))
        where = {**self._at(name), "UploadId": begun["UploadId"]}

        def numbered(number: int, part: P) -> dict[str, Any]:
            return {"PartNumber": number, "ETag": send({**where, "PartNumber": number}, part)}

        try:
            with ThreadPoolExecutor(threads) as pool:
                sent = list(pool.map(numbered, range(1, len(parts) + 1), parts))
            return self._ask(name, "s3:PutObject", lambda: self._complete(where, sent, mark))
        except BaseException as error:
            left = self._abort(where)
            if left and isinstance(error, StorageError):
                raise type(error)(f"{error.message} {left}") from error
            raise

    def _complete(self, where: Any, parts: Any, mark: str) -> str:
        """Complete an upload; an object that carries its mark shows that an earlier try did, whose answer was lost."""
        try:
            return self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})["ETag"]
        except (BotoCoreError, ClientError):
            with contextlib.suppress(BotoCoreError, ClientError):
                there = self._client.head_object(Bucket=where["Bucket"], Key=where["Key"])
                if there["Metadata"].get(_MARK) == mark:
                    return there["ETag"]
            raise

    def _abort(self, where: Any) -> str | None:
        """Remove an upload that failed; what to say if that may not be."""
        try:
            answer_in_time(
                lambda: self._client.abort_multipart_upload(**where), f"s3://{where['Bucket']}/{where['Key']}"
            )
        except (BotoCoreError, ClientError) as error:
            return (
                f"Its unfinished upload {where['UploadId']} could not be removed, and costs storage: grant "
                f"s3:AbortMultipartUpload, or let a lifecycle rule abort incomplete uploads ({error})."
            )
        return None

    def delete(self, prefix: str) -> None:
        """See `Store.delete`."""
        names = [found.name for found in self.list(prefix)]
        for first in range(0, len(names), 1000):
            keys: Any = [{"Key": self._key(name)} for name in names[first : first + 1000]]
            self._ask(prefix, "s3:DeleteObject", partial(self._deleted, keys))

    def _deleted(self, keys: Any) -> None:
        answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys, "Quiet": True})
        if refused := answer.get("Errors"):
            error: Any = {"Error": refused[0], "ResponseMetadata": answer["ResponseMetadata"]}
            raise ClientError(error, "DeleteObjects")

    def span(self, piece: Object, start: int, end: int) -> bytes:
        """The bytes [start, end) of a piece, pinned to its etag."""
        return self.read(piece.name, start, end, piece.etag)

    def _part(self, name: str, source: S3Store, where: Any, part: Sequence[Span]) -> str:
        if not _is_copy(part):
            return self._sent(name, where, b"".join(source.span(*span) for span in part))
        [(piece, start, end)] = part
        copied: Any = {
            "CopySource": {"Bucket": source.bucket, "Key": source._key(piece.name)},  # same class
            "CopySourceIfMatch": piece.etag,
            "CopySourceRange": f"bytes={start}-{end - 1}",
        }
        answer = self._ask(name, "s3:PutObject", lambda: self._client.upload_part_copy(**where, **copied))
        return answer["CopyPartResult"]["ETag"]

    def _sent(self, name: str, where: Any, body: bytes) -> str:
        return self._ask(name, "s3:PutObject", lambda: self._client.upload_part(**where, Body=body)["ETag"])

    def _get(self, name: str, **wanted: Any) -> tuple[bytes, str]:
        """The bytes and the ETag."""
        return self._ask(name, "s3:GetObject", lambda: self._got(name, wanted))

    def _got(self, name: str, wanted: Any) -> tuple[bytes, str]:
        answer = self._client.get_object(**self._at(name), **wanted)
        data = answer["Body"].read()
        if span := _SPAN.match(
            answer.get("ContentRange", "")
        ):  # a length that fits with the header may still be too short
            expected = int(span[2]) - int(span[1]) + 1
            if len(data) != expected:
                raise IncompleteReadError(actual_bytes=len(data), expected_bytes=expected)
        return data, answer["ETag"]

    def _put(self, name: str, data: bytes, **condition: Any) -> str:
        tries = count()

        def put() -> str:
            again = next(tries) > 0
            try:
                return self._client.put_object(**self._at(name), Body=data, **self._encryption, **condition)["ETag"]
            except ClientError as error:
                if not again or code_of(error) not in CHANGED:
                    raise
                # an earlier try may have been carried out and its answer lost: then it is our own object that is in the way
                there, etag = self._got(name, {})
                if there != data:
                    raise
                return etag

        return self._ask(name, "s3:PutObject", put)

    @property
    def _client(self) -> S3Client:
        return _client(self.access.role_arn)

    @property
    def _encryption(self) -> dict[str, Any]:
        key = self.access.kms_key_arn
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}

    def _key(self, name: str) -> str:
        return self.prefix + name

    def _at(self, name: str) -> Any:  # keyword arguments for any of the client's methods
        return {"Bucket": self.bucket, "Key": self._key(name)}

    def _ask(self, name: str, action: str, request: Callable[[], T]) -> T:
        """The answer to a request, which is made again if it fails for a reason that passes; errors are ours."""
        try:
            return patiently(request, f"{self.root}{name}")
        except (BotoCoreError, ClientError) as error:
            raise in_plain_words(error, f"{self.root}{name}", action, self.access) from error


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
    # a request that fails is made again by `patiently`, which waits longer than botocore does
    config = Config(max_pool_connections=_CONNECTIONS, retries={"mode": "standard", "total_max_attempts": 1})
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
