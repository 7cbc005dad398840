"""Against real servers that speak the APIs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from personalize_spark.errors import InvalidInputException
from personalize_spark.themes.language_model import (
    KEY_VARIABLE,
    Limits,
    NoAnswer,
    Unreachable,
    ask_all,
    language_model,
)
from tests.language_models import Asked, ModelServer, Reply, model_server

QUICK = Limits(seconds=30, pause=0.001)
KINDS = ("openai-compatible", "bedrock")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id-of-nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def asked_of(
    server: ModelServer, kind: str, users: list[str], monkeypatch: pytest.MonkeyPatch, limits: Limits = QUICK
) -> list[str | NoAnswer]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
    return ask_all(language_model(server.spec(kind), limits), "the instructions", users, limits)


def reason_of(answer: str | NoAnswer) -> str:
    assert isinstance(answer, NoAnswer)
    return answer.reason


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_question_gets_its_answer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [f"question {number}" for number in range(40)]
    with model_server(lambda asked: f"answer to {asked.user}") as server:
        assert asked_of(server, kind, users, monkeypatch) == [f"answer to {each}" for each in users]
    assert {each.system for each in server.asked} == {"the instructions"}
    assert len(server.asked) == 40
    assert server.most_at_once <= 8
    path = "/model/a-model/converse" if kind == "bedrock" else "/v1/chat/completions"
    assert {each.path for each in server.asked} == {path}


def test_a_server_of_openai_is_asked_for_its_only_model_or_for_a_named_one() -> None:
    with model_server(lambda _: "yes") as server:
        language_model(server.spec("")).ask("system", "user")
        language_model(f"{server.spec('')}/#llama3.2:1b").ask("system", "user")
    assert [each.body["model"] for each in server.asked] == ["the-only-one", "llama3.2:1b"]
    assert server.asked[0].body["stream"] is False
    assert [each.path for each in server.asked] == ["/v1/chat/completions"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_eight_are_asked_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(8)

    def reply(_: Asked) -> Reply:
        together.wait(60)
        return "yes"

    with model_server(reply) as server:
        assert asked_of(server, kind, ["?"] * 16, monkeypatch, Limits(seconds=90)) == ["yes"] * 16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_may_pass_is_asked_again(kind: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    replies: Iterator[Reply] = iter([status, status, "third time"])
    with model_server(lambda _: next(replies)) as server:
        assert asked_of(server, kind, ["?"], monkeypatch) == ["third time"]
    assert len(server.asked) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (400, 1), (403, 1)])
def test_a_server_that_refuses_is_not_asked_all(
    kind: str, status: int, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_server(lambda _: status) as server:
        answers = asked_of(server, kind, ["?"] * 100, monkeypatch)
    assert len(server.asked) <= 8 * attempts
    assert {reason_of(each).split(" ", 3)[2] for each in answers} == {str(status)}
    assert "own words" not in "".join(map(reason_of, answers))


def test_one_that_fails_leaves_the_others() -> None:
    """The first is answered before the other is refused."""
    answered = threading.Event()

    def reply(asked: Asked) -> Reply:
        if asked.user == "bad":
            return 500 if answered.wait(60) else None
        if len(server.asked) > 9:
            answered.set()
        return "fine"

    users = ["good"] * 7 + ["bad"] + ["good"] * 10
    with model_server(reply) as server:
        answers = ask_all(language_model(server.spec("")), "", users, QUICK)
    assert [each for each in answers if isinstance(each, str)] == ["fine"] * 17
    assert reason_of(answers[7]) == "HTTP status 500"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_hangs_is_left(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server(lambda _: None) as server:
        [answer] = asked_of(server, kind, ["?"], monkeypatch, Limits(seconds=0.2, attempts=2, pause=0.0))
    assert isinstance(answer, Unreachable)
    assert "imeout" in answer.reason
    assert len(server.asked) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_questions_together_have_a_time_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server(lambda _: None) as server:
        answers = asked_of(server, kind, ["?"] * 20, monkeypatch, Limits(seconds=50, total=0.3))
    assert {reason_of(each) for each in answers} == {"no time was left"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'{"choices": [{"message": {"content": {"a": 1}}}]}',
        b'{"choices": 7}',
    ],
)
def test_what_is_no_answer_is_none(kind: str, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server(lambda _: body) as server:
        [answer] = asked_of(server, kind, ["?"], monkeypatch)
    assert reason_of(answer) in {"an answer that is no JSON", "an answer without a text"}
    assert len(server.asked) == 1


def test_an_answer_without_an_end_is_not_read_whole() -> None:
    with model_server(lambda _: b" " * (3 << 20)) as server:
        [answer] = ask_all(language_model(server.spec("")), "", ["?"], QUICK)
    assert reason_of(answer) == "an answer that is too long"


def test_the_key_goes_into_the_header_and_to_no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-secret")
    with (
        model_server(lambda _: "yes") as other,
        model_server(lambda _: {"Location": f"{other.url}/v1/models"}) as server,
    ):
        [answer] = ask_all(language_model(f"{server.spec('')}#m"), "system", ["?"], QUICK)
    assert reason_of(answer) == "HTTP status 302"
    assert [each.key for each in server.asked] == ["Bearer a-secret"]
    assert "a-secret" not in json.dumps(server.asked[0].body)
    assert other.asked == []


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server(lambda _: "yes") as server:
        pass
    for kind in KINDS:
        answers = asked_of(server, kind, ["?"] * 20, monkeypatch)
        assert all(isinstance(each, Unreachable) for each in answers)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "gpt",
        "bedrock:",
        "openai-compatible:",
        "openai-compatible:file:///etc/passwd",
        "openai-compatible:localhost:8000",
    ],
)
def test_a_model_that_cannot_be_asked_is_refused(spec: str) -> None:
    with pytest.raises(InvalidInputException, match="theme model"):
        language_model(spec)


@pytest.mark.parametrize("url", ["http://user:word@host/v1", "https://host/v1?api_key=word"])
def test_a_url_with_a_secret_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidInputException, match=KEY_VARIABLE) as refused:
        language_model(f"openai-compatible:{url}")
    assert "word" not in str(refused.value)


def test_bedrock_needs_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(InvalidInputException, match="bedrock:m cannot be asked: You must specify a region"):
        language_model("bedrock:m")
