"""Language models that phrase themes: Amazon Bedrock's Converse API, and servers that speak OpenAI's chat completions.

A model is asked several things at once, each within a time limit and more than once where that may help. Nothing here raises because
of what a server does: what was not answered is a `NoAnswer`, which says why in words that hold no secret and no text of the server.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from queue import Empty, SimpleQueue
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from personalize_spark.errors import InvalidInputException

KEY_VARIABLE = "PERSONALIZE_SPARK_THEME_MODEL_KEY"
"""The environment variable with the API key: it stands in no option, no record and no log."""
_BEDROCK, _OPENAI = "bedrock:", "openai-compatible:"
_AT_ONCE = 8
_MAX_TOKENS = 256
_MAX_BYTES = 1 << 20
"""Of an answer that are read."""
_AGAIN = frozenset({408, 409, 425, 429})
"""HTTP statuses that may pass, besides those of a server's own errors."""


@dataclass(frozen=True)
class Limits:
    """How long and how often is asked.

    Attributes:
        seconds: for one answer.
        attempts: for one question.
        pause: seconds before the second attempt, twice as many before each further one.
        total: seconds for all questions.
    """

    seconds: float = 60.0
    attempts: int = 3
    pause: float = 1.0
    total: float = 600.0


LIMITS = Limits()


class NoAnswer(Exception):  # a value, where questions are asked at once
    """Why a question was not answered.

    Attributes:
        reason: as a report says it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreachable(NoAnswer):
    """A server that did not answer, or refused to.

    Attributes:
        passing: whether it may answer when it is asked again.
    """

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


class LanguageModel(Protocol):
    """Something that answers a question."""

    def ask(self, system: str, user: str) -> str:
        """The answer to the user's message, by the system's instructions.

        Raises:
            NoAnswer: there is none.
        """


def language_model(spec: str, limits: Limits = LIMITS) -> LanguageModel:
    """The model that a `--theme-model` names; nothing is asked yet.

    Args:
        spec: `bedrock:MODEL_ID`, `openai-compatible:URL` or `openai-compatible:URL#MODEL`.
        limits: how long one answer may take.

    Raises:
        InvalidInputException: it is neither, or what it needs is not set.
    """
    if spec.startswith(_BEDROCK) and spec != _BEDROCK:
        return Bedrock(spec.removeprefix(_BEDROCK), limits.seconds)
    if spec.startswith(_OPENAI):
        return OpenAICompatible.of(spec.removeprefix(_OPENAI), limits.seconds)
    raise InvalidInputException(
        f"The theme model is '{spec}': give {_BEDROCK}MODEL_ID, or {_OPENAI}URL with the URL of a server, such as "
        f"{_OPENAI}http://localhost:11434/v1#MODEL."
    )


class Bedrock:
    """A model of Amazon Bedrock, with the credentials, the region and the endpoint that boto3 finds.

    Raises:
        InvalidInputException: there is no region.
    """

    def __init__(self, model: str, seconds: float) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            connect_timeout=seconds,
            read_timeout=seconds,
            max_pool_connections=_AT_ONCE,
            retries={"total_max_attempts": 1},
        )
        self._model = model
        try:
            self._client: Any = boto3.session.Session().client("bedrock-runtime", config=config)
        except (BotoCoreError, ValueError) as error:  # a region, an endpoint or a profile
            raise InvalidInputException(f"The theme model {_BEDROCK}{model} cannot be asked: {error}") from error

    def ask(self, system: str, user: str) -> str:
        """See `LanguageModel`."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.parsers import ResponseParserError

        try:
            told = self._client.converse(
                modelId=self._model,
                system=[{"text": system}],
                messages=[{"role": "user", "content": [{"text": user}]}],
                inferenceConfig={"maxTokens": _MAX_TOKENS, "temperature": 0.0},
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise _refused(int(error.response["ResponseMetadata"]["HTTPStatusCode"]), code) from error
        except HTTPClientError as error:
            raise Unreachable(type(error).__name__, passing=True) from error
        except (
            ResponseParserError,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # of botocore, on what has another form
            raise NoAnswer("an answer that is no JSON") from error
        except BotoCoreError as error:
            raise Unreachable(type(error).__name__, passing=False) from error
        return _text_in(lambda: next(each["text"] for each in told["output"]["message"]["content"] if "text" in each))


@dataclass(frozen=True)
class OpenAICompatible:
    """A server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp.

    Attributes:
        url: of the API, with its version: what `/chat/completions` is put behind.
        model: the name of the model; if empty, the first that the server lists.
        seconds: for one answer.
    """

    url: str
    model: str
    seconds: float

    @classmethod
    def of(cls, url: str, seconds: float) -> OpenAICompatible:
        """The server of a URL; the model's name may stand behind a `#`.

        Raises:
            InvalidInputException: it is no URL of HTTP, or it holds a secret.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInputException(f"The theme model {_OPENAI} needs the http or https URL of a server.")
        if "@" in parts.netloc or parts.query:
            raise InvalidInputException(
                f"The URL of the theme model has a user or a query, which may be secret: set {KEY_VARIABLE} instead."
            )
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.fragment, seconds)

    def ask(self, system: str, user: str) -> str:
        """See `LanguageModel`."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        asked = {
            "model": self._name,
            "messages": messages,
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
            "stream": False,
        }
        told = self._told("/chat/completions", asked)
        return _text_in(lambda: told["choices"][0]["message"]["content"])

    @cached_property
    def _name(self) -> str:
        if self.model:
            return self.model
        told = self._told("/models")
        return _text_in(lambda: told["data"][0]["id"])

    def _told(self, path: str, body: object = None) -> Any:
        until = time.monotonic() + self.seconds
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, _headers())  # noqa: S310  # of HTTP, see `of`
        try:
            with _opener.open(request, timeout=self.seconds) as response:
                return json.loads(_whole(response, until))
        except urllib.error.HTTPError as error:
            error.close()
            raise _refused(error.code) from error
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Unreachable(type(reason).__name__, passing=True) from error
        except ValueError as error:
            raise NoAnswer("an answer that is no JSON") from error


def _headers() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE)
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another server must not be given the key."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_opener = urllib.request.build_opener(_NoRedirect)


def _whole(response: IO[bytes], until: float) -> bytes:
    """The body; each read has a time limit of its own, and so have all of them."""
    data = bytearray()
    while part := response.read1(1 << 16):  # type: ignore[attr-defined]  # of http.client
        data += part
        if len(data) > _MAX_BYTES:
            raise NoAnswer("an answer that is too long")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(data)


def _refused(status: int, code: str = "") -> Unreachable:
    return Unreachable(f"HTTP status {status} {code}".strip(), passing=status >= 500 or status in _AGAIN)


def _text_in(look: Callable[[], object]) -> str:
    """The string where an answer should have one."""
    try:
        text = look()
    except (LookupError, TypeError, StopIteration):
        text = None
    if not isinstance(text, str):
        raise NoAnswer("an answer without a text")
    return text


def ask_all(model: LanguageModel, system: str, users: Sequence[str], limits: Limits = LIMITS) -> list[str | NoAnswer]:
    """Ask many things, eight at a time; where not even the first can be asked, the others are not.

    Args:
        model: is asked.
        system: its instructions.
        users: the messages.
        limits: how long and how often.

    Returns:
        The answer to each, or why there is none.
    """
    until = time.monotonic() + limits.total
    answers: list[str | NoAnswer] = [NoAnswer("no time was left")] * len(users)
    waiting: SimpleQueue[int] = SimpleQueue()
    for number in range(len(users)):
        waiting.put(number)
    lost: list[Unreachable] = []

    def work() -> None:
        while time.monotonic() < until:
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            answer = lost[0] if lost else _patiently(model, system, users[number], limits)
            if isinstance(answer, Unreachable) and not any(isinstance(each, str) for each in answers):
                lost.append(answer)
            answers[number] = answer

    # daemons: a server that hangs keeps neither the job nor the process from ending
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(users)))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(max(0.0, until - time.monotonic()))
    return list(answers)


def _patiently(model: LanguageModel, system: str, user: str, limits: Limits) -> str | NoAnswer:
    found: NoAnswer = NoAnswer("no attempt")
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(limits.pause * 2 ** (attempt - 1))
        try:
            return model.ask(system, user)
        except NoAnswer as error:
            found = error
        if not (isinstance(found, Unreachable) and found.passing):
            break
    return found
