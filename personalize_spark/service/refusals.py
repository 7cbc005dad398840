"""What the service has and a batch system has not is refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalize_spark.errors import InvalidInputException


def refuse(params: Mapping[str, Any], name: str, instead: str) -> None:
    """Refuse a member of a request, if it is given and asks for something.

    Raises:
        InvalidInputException: it does; the message says what to do `instead`.
    """
    if params.get(name):
        raise InvalidInputException(f"{name} is not supported: {instead}.")
