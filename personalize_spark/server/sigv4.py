"""AWS Signature Version 4, checked by signing again what came in with botocore's own signer."""

from __future__ import annotations

import configparser
import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from personalize_spark.errors import DataError

SKEW_SECONDS = 300
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request,\s*"
    r"SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})"
)
_MUST_BE_SIGNED = {"host", "x-amz-date"}
_SERVICE = "personalize"

Headers = Sequence[tuple[str, str]]


class Refused(Exception):
    """A request that is not signed as it must be; `code` is an AWS error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def read_keys(path: str) -> Mapping[str, str]:
    """Access keys from a file of the form that the AWS CLI has: sections with aws_access_key_id and aws_secret_access_key.

    Returns:
        The secrets by access key id.

    Raises:
        DataError: the file cannot be read, or has no keys.
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"))
        keys = {parser[name]["aws_access_key_id"]: parser[name]["aws_secret_access_key"] for name in parser.sections()}
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        # the texts of these errors quote lines of the file
        raise DataError(
            f"{path} is not a file of access keys ({type(error).__name__}); see ~/.aws/credentials."
        ) from None
    if not all([*keys, *keys.values(), keys]):
        raise DataError(f"{path} has no access keys, or an empty one.")
    return keys


def verify(
    headers: Headers, body: bytes, keys: Mapping[str, str], now: dt.datetime | None = None, path: str = "/"
) -> str:
    """Check the signature of a POST.

    Args:
        headers: names and values as they came, doubled ones twice.
        body: the whole body; its own hash counts, whatever a header says of it.
        keys: the secrets by access key id.
        now: the time; if left out, the clock's.
        path: of the request; at `/`, the header X-Amz-Target says what is asked, and must be signed.

    Returns:
        The access key id.

    Raises:
        Refused: the signature is not one of these keys over this request at this time.
    """
    named: dict[str, list[str]] = {}
    for name, value in headers:
        named.setdefault(name.lower(), []).append(value)
    given = {name: values[0] for name, values in named.items()}
    if "authorization" not in given:
        raise Refused("MissingAuthenticationTokenException", "The request is not signed.")
    match = _AUTHORIZATION.fullmatch(given["authorization"].strip())
    if match is None:
        raise Refused("IncompleteSignatureException", "The Authorization header is not one of Signature Version 4.")
    key, day, region, service, names, signature = match.groups()
    signed = names.split(";")
    _check_headers(named, signed, _MUST_BE_SIGNED | ({"x-amz-target"} if path == "/" else set()))
    _check_time(given.get("x-amz-date", ""), day, now or dt.datetime.now(dt.UTC))
    if service != _SERVICE:
        raise Refused("InvalidSignatureException", f"The credential is scoped to {service}, not to {_SERVICE}.")
    # with an unknown key the same work is done, so that the time tells nothing
    expected = _sign(key, keys.get(key, "none"), region, path, [(name, given[name]) for name in signed], body)
    if key not in keys:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if not hmac.compare_digest(expected, signature):
        raise Refused("InvalidSignatureException", "The signature does not match the one of the request and the key.")
    return key


def _check_headers(named: Mapping[str, Sequence[str]], signed: Iterable[str], needed: set[str]) -> None:
    amazon = {name for name in named if name.startswith("x-amz-")}
    doubled = [name for name in sorted({*amazon, *signed, "authorization"}) if len(named.get(name, [""])) > 1]
    if doubled:
        raise Refused("InvalidSignatureException", f"The header {doubled[0]} is there twice.")
    if unsigned := sorted((amazon | needed) - {*signed}):
        raise Refused("InvalidSignatureException", f"The header {unsigned[0]} must be signed.")
    if missing := sorted({*signed} - named.keys()):
        raise Refused("InvalidSignatureException", f"The header {missing[0]} is signed, but is not there.")


def _check_time(stamp: str, day: str, now: dt.datetime) -> None:
    try:
        signed = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        raise Refused("IncompleteSignatureException", "The header X-Amz-Date is not a time.") from None
    if abs((now - signed).total_seconds()) > SKEW_SECONDS or not stamp.startswith(day):
        raise Refused(
            "InvalidSignatureException", f"The request was signed at {stamp}; it is {now:%Y%m%dT%H%M%SZ} now."
        )


class _Signer(SigV4Auth):
    """botocore's signer, over the headers that the client signed and over what the body is."""

    def __init__(self, credentials: Credentials, region: str, signed: HTTPHeaders, body: bytes) -> None:
        super().__init__(credentials, _SERVICE, region)
        self._signed, self._body = signed, body

    def headers_to_sign(self, _: AWSRequest) -> HTTPHeaders:
        return self._signed

    def payload(self, _: AWSRequest) -> str:
        return hashlib.sha256(self._body).hexdigest()


def _sign(key: str, secret: str, region: str, path: str, headers: Headers, body: bytes) -> str:
    signed = HTTPHeaders()
    for name, value in headers:
        signed[name] = value
    # X-Amz-Content-SHA256 stays out of the request: the signer would believe it
    request = AWSRequest("POST", f"https://{signed['host']}{path}")
    request.context["timestamp"] = signed["x-amz-date"]
    signer = _Signer(Credentials(key, secret), region, signed, body)
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))
