"""Signatures that botocore made, and everything that is wrong with others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from personalize_spark.errors import DataError
from personalize_spark.server.sigv4 import Refused, read_keys, verify

KEYS = {"AKIAEXAMPLE": "a secret", "OTHER": "another"}
BODY = b'{"maxResults":1}'
Headers = list[tuple[str, str]]


def signed(
    key: str = "AKIAEXAMPLE", secret: str = "a secret", service: str = "personalize", body: bytes = BODY, **more: str
) -> Headers:
    """The headers of a request, as botocore signs it now."""
    request = AWSRequest("POST", "http://127.0.0.1:8080/", data=body)
    request.headers["Host"] = "127.0.0.1:8080"
    request.headers["X-Amz-Target"] = "AmazonPersonalize.ListSchemas"
    for name, value in more.items():
        request.headers[name.replace("_", "-")] = value
    SigV4Auth(Credentials(key, secret), service, "us-east-1").add_auth(request)
    return [(name.lower(), str(value)) for name, value in request.headers.items()]


def test_a_good_signature_names_its_key() -> None:
    assert verify(signed(), BODY, KEYS) == "AKIAEXAMPLE"
    assert verify(signed(User_Agent="x", X_Amz_Meta="y  z"), BODY, KEYS) == "AKIAEXAMPLE"
    assert verify(signed("OTHER", "another"), BODY, KEYS) == "OTHER"


def test_a_signature_is_of_its_path() -> None:
    request = AWSRequest("POST", "http://127.0.0.1:8080/events", data=BODY)
    request.headers["Host"] = "127.0.0.1:8080"
    SigV4Auth(Credentials("AKIAEXAMPLE", "a secret"), "personalize", "us-east-1").add_auth(request)
    headers = [(name.lower(), str(value)) for name, value in request.headers.items()]
    assert verify(headers, BODY, KEYS, path="/events") == "AKIAEXAMPLE"
    for path in ("/items", "/"):
        with pytest.raises(Refused):
            verify(headers, BODY, KEYS, path=path)


def changed(name: str, value: Callable[[str], str]) -> Headers:
    return [(each, value(text) if each == name else text) for each, text in signed()]


def without(name: str) -> Headers:
    return [(each, text) for each, text in signed() if each != name]


def unsigned(name: str) -> Headers:
    return changed("authorization", lambda text: text.replace(f";{name}", "").replace(f"{name};", ""))


# The parameters below are signed when the tests are collected; the run of a suite may reach them much later.
COLLECTED = dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        # no signature
        ([], "MissingAuthenticationTokenException"),
        (without("authorization"), "MissingAuthenticationTokenException"),
        (changed("authorization", lambda _: ""), "IncompleteSignatureException"),
        (changed("authorization", lambda _: "Bearer x"), "IncompleteSignatureException"),
        (changed("authorization", lambda text: text[:-1]), "IncompleteSignatureException"),
        # another key
        (signed(secret="wrong"), "InvalidSignatureException"),
        (signed("NOBODY", "none"), "UnrecognizedClientException"),
        (signed("OTHER"), "InvalidSignatureException"),
        # another service or region
        (signed(service="s3"), "InvalidSignatureException"),
        (changed("authorization", lambda text: text.replace("us-east-1", "eu-west-1")), "InvalidSignatureException"),
        (changed("authorization", lambda text: text.replace("/personalize/", "/s3/")), "InvalidSignatureException"),
        # another request
        (changed("x-amz-target", lambda text: text.replace("List", "Delete")), "InvalidSignatureException"),
        (changed("host", lambda _: "elsewhere"), "InvalidSignatureException"),
        (changed("authorization", lambda text: text[:-4] + "0000"), "InvalidSignatureException"),
        # headers that are not signed
        (unsigned("x-amz-target"), "InvalidSignatureException"),
        (unsigned("host"), "InvalidSignatureException"),
        (unsigned("x-amz-date"), "InvalidSignatureException"),
        ([*signed(), ("x-amz-more", "1")], "InvalidSignatureException"),
        # headers that are there twice, or not at all
        ([*signed(), ("x-amz-target", "AmazonPersonalize.DeleteSchema")], "InvalidSignatureException"),
        ([*signed(), ("host", "elsewhere")], "InvalidSignatureException"),
        ([*signed(), ("authorization", "x")], "InvalidSignatureException"),
        (without("x-amz-target"), "InvalidSignatureException"),
        (without("host"), "InvalidSignatureException"),
        # times
        (without("x-amz-date"), "InvalidSignatureException"),
        (changed("x-amz-date", lambda _: "yesterday"), "IncompleteSignatureException"),
        (changed("x-amz-date", lambda _: "20200101T000000Z"), "InvalidSignatureException"),
    ],
)
def test_a_wrong_signature_is_refused(headers: Headers, code: str) -> None:
    with pytest.raises(Refused) as refused:
        verify(headers, BODY, KEYS, COLLECTED)
    assert refused.value.code == code
    assert not any(secret in refused.value.message for secret in KEYS.values())


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.replace(b"1", b"2")])
@pytest.mark.parametrize("said", [{}, {"X_Amz_Content_SHA256": "UNSIGNED-PAYLOAD"}])
def test_another_body_is_refused_whatever_a_header_says_of_it(body: bytes, said: dict[str, str]) -> None:
    with pytest.raises(Refused, match="does not match"):
        verify(signed("AKIAEXAMPLE", "a secret", "personalize", BODY, **said), body, KEYS)


def test_the_hash_of_another_body_cannot_be_signed_along() -> None:
    import hashlib

    headers = signed(X_Amz_Content_SHA256=hashlib.sha256(BODY).hexdigest())
    assert verify(headers, BODY, KEYS)
    with pytest.raises(Refused, match="does not match"):
        verify(headers, b'{"maxResults":9}', KEYS)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_an_old_or_a_future_signature_is_refused(seconds: int) -> None:
    then = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    headers = signed()
    with pytest.raises(Refused, match="was signed at"):
        verify(headers, BODY, KEYS, then)
    assert verify(headers, BODY, KEYS, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=200))


def test_keys_are_read_from_a_file_of_the_aws_clis_form(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = s%1\n[two]\naws_access_key_id=B\naws_secret_access_key=t\n"
    )
    assert read_keys(str(path)) == {"A": "s%1", "B": "t"}


@pytest.mark.parametrize(
    "text",
    [None, "", "secret", "[a]\naws_access_key_id = A\n", "[a]\naws_access_key_id=\naws_secret_access_key=secret"],
)
def test_a_file_without_keys_is_refused_and_never_quoted(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as error:
        read_keys(str(path))
    assert str(path) in error.value.message
    assert "secret" not in error.value.message
