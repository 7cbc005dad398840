"""An independent answer to what the product computes: plain Python, float64, one user at a time, nothing shared with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal


@dataclass(frozen=True)
class World:
    """Items and users as plain lists; `counts` are interactions."""

    items: Mapping[str, Sequence[float]]
    users: Mapping[str, Sequence[float]]
    counts: Mapping[str, int]
    temperature: float


def answer_line(world: World, recipe: str, line: str, n: int) -> str | None:
    """The output line for an input line; `None` for a blank one."""
    if not line.strip():
        return None
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return _error(json.dumps(line, ensure_ascii=False), f"The line is not valid JSON at character {error.pos + 1}")
    echo = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(record, dict):
        return _error(json.dumps(line, ensure_ascii=False), "The line is not a JSON object")
    user = record.get("userId")
    if user is None:
        return _error(echo, "Required fields for the provided recipe are userId")
    best = _best(world, recipe, str(user))[:n]
    items = json.dumps([item for item, _ in best], separators=(",", ":"), ensure_ascii=False)
    scores = (
        "" if recipe == "aws-popularity-count" else ',"scores":[' + ",".join(java(score) for _, score in best) + "]"
    )
    return f'{{"input":{echo},"output":{{"recommendedItems":{items}{scores}}},"error":null}}'


def _best(world: World, recipe: str, user: str) -> list[tuple[str, float]]:
    total = sum(world.counts.values())
    scores = {item: count / total for item, count in world.counts.items()}
    if recipe != "aws-popularity-count" and user in world.users:
        logits = {
            item: world.temperature * math.fsum(a * b for a, b in zip(world.users[user], vector, strict=True))
            for item, vector in world.items.items()
        }
        peak = max(logits.values())
        mass = math.fsum(math.exp(logit - peak) for logit in logits.values())
        scores = {item: math.exp(logit - peak) / mass for item, logit in logits.items()}
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0].encode()))


def java(score: float) -> str:
    """Seven decimals, half even, as Java prints a double."""
    rounded = Decimal(score).quantize(Decimal("1e-7"), ROUND_HALF_EVEN)
    if rounded == 0:
        return "0.0"
    if rounded >= Decimal("0.001"):
        whole = f"{rounded:f}".rstrip("0")
        return whole + "0" if whole.endswith(".") else whole
    mantissa, exponent = f"{rounded.normalize():E}".split("E")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{exponent}"


def _error(echo: str, message: str) -> str:
    return f'{{"input":{echo},"output":{{"recommendedItems":[]}},"error":"User error: {message}"}}'
