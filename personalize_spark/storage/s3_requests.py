"""Requests to S3: which failures pass, how long they are waited for, and the others in plain words."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's own, no OSError
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from personalize_spark.errors import AccessDenied, BucketNotFound, ObjectChanged, ObjectNotFound, StorageError
from personalize_spark.settings import SETTINGS, limit_of
from personalize_spark.storage.store import RETRIES, Access

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds for which a request that fails is made again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 20.0
_SAID_AFTER = 10.0
"""Seconds of an outage before it is said."""
_DEADLINE = SETTINGS["request-deadline"].variable

_UNREACHED = (HTTPClientError, ConnectionError, IncompleteReadError, FlexibleChecksumError, CredentialRetrievalError)
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_PASSING = {
    "ConditionalRequestConflict",  # another conditional write at the same moment: the next answer says who won
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_UNKNOWN = {"NotImplemented", "501"}
"""What a server cannot do now it cannot do later."""
_INCAPABLE = (
    "{uri}: the server cannot do what {action} asks for ({code}). If it knows no checksums at the end of a body, set "
    "AWS_REQUEST_CHECKSUM_CALCULATION=when_required; it must know conditional writes and UploadPartCopy."
)
CHANGED = {"PreconditionFailed", "412"}
_UNACCEPTED = {
    (
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRefreshRequired",
    ): "The credentials for {uri} have expired ({code}): renew them, then run it again or resume it. "
    "Those of a role that the host has itself are renewed without you.",
    ("RequestTimeTooSkewed",): "{uri} is refused, as the clock of this host differs from that of AWS by more than "
    "15 minutes ({code}): set it.",
    (
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ): "The access key is not accepted for {uri} ({code}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the "
    "profile, and AWS_ENDPOINT_URL.",
    (
        "301",
        "307",
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    ): "The bucket of {uri} lies in another region than requests go to ({code}): set AWS_REGION to {region}.",
}
"""By code, why a request is refused whoever makes it."""
_DENIED = {"AccessDenied", "AllAccessDisabled", "403"}

_log = logging.getLogger(__name__)
_random = random.SystemRandom()


def patiently(request: Callable[[], T], uri: str) -> T:
    """Make a request again while its failure is one that passes, with pauses of a random length that doubles.

    Exponential backoff with full jitter (Brooker 2015, AWS Architecture Blog): many tasks do not come back at the same moment.

    Args:
        request: may be made more than once.
        uri: what a warning names.

    Raises:
        BotoCoreError, ClientError: as the last try, after `PATIENCE` seconds.
    """
    started, pause, said = time.monotonic(), _FIRST_PAUSE, False
    while True:
        try:
            return answer_in_time(request, uri)
        except (BotoCoreError, ClientError) as error:
            waited = time.monotonic() - started
            if not _passes(error) or waited > PATIENCE:
                raise
            if waited > _SAID_AFTER and not said:
                _log.warning("%s: %s. It is tried again for %.0f seconds.", uri, error, PATIENCE)
                said = True
        RETRIES.add()
        time.sleep(_random.uniform(0, pause))
        pause = min(2 * pause, _LONGEST_PAUSE)


def answer_in_time(request: Callable[[], T], uri: str) -> T:
    """The answer to a request that is made once, by a thread of its own.

    A socket's timeout begins anew with each byte, so it does not end an answer that trickles. The thread of such a one is left to
    itself: what its request does in the end is the same as what another try does.

    Raises:
        BotoCoreError, ClientError: the request's, or that it took too long.
    """
    answer, seconds = Future[T](), limit_of("request-deadline")
    try:
        threading.Thread(target=_make, args=(request, answer), daemon=True).start()
    except (
        RuntimeError
    ):  # Python 3.12 begins no thread any more when a process ends, where jobs are still to be told as failed
        _make(request, answer)
    try:
        return answer.result(seconds or None)
    except TimeoutError as error:
        raise ReadTimeoutError(endpoint_url=f"{uri} within {seconds} s ({_DEADLINE})", error=error) from error
    except (
        ResponseParserError,
        HTTPError,
    ) as error:  # half of a listing; older releases of botocore let urllib3's own through
        raise ResponseStreamingError(error=error) from error


def _make(request: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(request())
    except BaseException as error:  # noqa: BLE001  # it is raised where the answer is waited for
        answer.set_exception(error)


def _passes(error: BotoCoreError | ClientError) -> bool:
    if not isinstance(error, ClientError):
        return isinstance(error, _UNREACHED)
    code, status = code_of(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code in _PASSING or (status >= 500 and code not in _UNKNOWN)


def code_of(error: ClientError) -> str:
    """What S3 calls the error; of an answer without a body its HTTP status."""
    return error.response["Error"].get("Code", "")


def in_plain_words(error: BotoCoreError | ClientError, uri: str, action: str, access: Access) -> StorageError:
    """An error of ours: what is wrong, where, and what to do.

    Args:
        error: of a request.
        uri: the object.
        action: the permission that the request needs.
        access: what it was made with.
    """
    if not isinstance(error, ClientError):
        return StorageError(f"{uri}: {error}")
    code = code_of(error)
    if code == "NoSuchBucket":
        return BucketNotFound(f"The bucket of {uri} does not exist.")
    if code in {"NoSuchKey", "404"}:
        return ObjectNotFound(f"{uri} does not exist.")
    if code in CHANGED:
        return ObjectChanged(f"{uri} has changed since it was last read.")
    told = next((words for codes, words in _UNACCEPTED.items() if code in codes), None)
    denied = told.format(uri=uri, code=code, region=_region(error)) if told else _denial(error, uri, action, access)
    if denied:
        return AccessDenied(denied)
    return StorageError(_INCAPABLE.format(uri=uri, action=action, code=code) if code in _UNKNOWN else f"{uri}: {error}")


def _denial(error: ClientError, uri: str, action: str, access: Access) -> str | None:
    """Which permission is lacking, if one is."""
    code, message = code_of(error), (error.response["Error"].get("Message") or "")
    if error.operation_name == "AssumeRole":
        return (
            f"The role {access.role_arn} could not be assumed ({code}). Its trust policy may name only "
            "personalize.amazonaws.com: add the identity that runs Spark as a principal for sts:AssumeRole."
        )
    who = f"The role {access.role_arn}" if access.role_arn else "The identity in use"
    if code.startswith("KMS") or "kms:" in message:
        key = _found(r"arn:aws[\w-]*:kms:\S*\w", message) or access.kms_key_arn or "of the bucket"
        wanted = _found(r"\bkms:[A-Z]\w+", message) or "kms:Decrypt and kms:GenerateDataKey"
        return (
            f"{who} may not use the key {key} for {uri} ({code}): grant {wanted} in its policy and in the key's. "
            "The key must be enabled."
        )
    if code in _DENIED:
        return (
            f"{who} lacks the permission {action} on {uri} ({code}). Add it to the policies of the role and the bucket."
        )
    return None


def _region(error: ClientError) -> str:
    headers: dict[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named: str | None = error.response["Error"].get("Region") or headers.get("x-amz-bucket-region")  # type: ignore[assignment]
    return (
        named
        or _found(r"(?<=expecting ')[\w-]+", (error.response["Error"].get("Message") or ""))
        or "that of the bucket"
    )


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group() if match else None
