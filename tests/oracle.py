"""An independent answer to what the product computes: plain Python, float64, one user at a time, nothing shared with it but the toy's numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from personalize_spark.testing.toy import NEIGHBOURS, SCORED, World

WITHOUT_SCORES = {"aws-popularity-count", "aws-similar-items", "aws-sims", "aws-semantic-similarity"}

Scores = dict[str, float]


def keys_of(recipe: str) -> list[str]:
    """The keys that a recipe needs of a line."""
    if "ranking" in recipe:
        return ["userId", "itemList"]
    return ["itemId"] if recipe in {"aws-similar-items", "aws-sims", "aws-semantic-similarity"} else ["userId"]


def answer_line(
    world: World, recipe: str, line: str, n: int, popularity: float = 0, freshness: float = 0
) -> str | None:
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
    keys = keys_of(recipe)
    for key in keys:
        if record.get(key) is None:
            return _error(echo, f"Required fields for the provided recipe are {', '.join(keys)}")
    if "ranking" in recipe and not isinstance(record["itemList"], list):
        return _error(echo, "itemList must be an array of strings")
    if "ranking" in recipe:
        best = _ranked(world, str(record["userId"]), [str(item) for item in record["itemList"]])
    elif keys == ["itemId"]:
        best = _related(world, recipe, str(record["itemId"]), popularity, freshness)[:n]
    else:
        best = _for_user(world, recipe, str(record["userId"]))[:n]
    items = json.dumps([item for item, _ in best], separators=(",", ":"), ensure_ascii=False)
    scores = "" if recipe in WITHOUT_SCORES else ',"scores":[' + ",".join(java(score) for _, score in best) + "]"
    return f'{{"input":{echo},"output":{{"recommendedItems":{items}{scores}}},"error":null}}'


def _for_user(world: World, recipe: str, user: str) -> list[tuple[str, float]]:
    total = sum(world.counts.values())
    popular = {item: count / total for item, count in world.counts.items()}
    if recipe == "aws-popularity-count" or user not in world.users:
        return _sorted(popular)
    logits = _logits(world, user, world.items)
    if recipe.endswith("-v2"):
        floor = sorted(logits.values())[-min(SCORED, len(logits))]
        scored = _sorted(_softmax({item: logit for item, logit in logits.items() if logit >= floor}))
        names = {item for item, _ in scored}
        return scored + [(item, 0.0) for item, _ in _sorted(popular) if item not in names]
    return _sorted(_softmax(logits))


def _ranked(world: World, user: str, items: Sequence[str]) -> list[tuple[str, float]]:
    items = list(dict.fromkeys(items))
    known = [item for item in items if item in world.items]
    if user in world.users:
        scores = _softmax(_logits(world, user, known))
    else:
        total = sum(world.counts[item] for item in known)
        scores = {item: world.counts[item] / total if total else 1 / len(known) for item in known}
    return _sorted(scores) + [(item, 0.0) for item in items if item not in world.items]


def _related(world: World, recipe: str, item: str, popularity: float, freshness: float) -> list[tuple[str, float]]:
    total = sum(world.counts.values())
    popular = [each for each, _ in _sorted({name: count / total for name, count in world.counts.items()})]
    if item not in world.items:
        return [(each, 0.0) for each in popular]
    query = list(world.items[item])
    if recipe == "aws-semantic-similarity":
        query[-2:] = [popularity, freshness]
    products = {name: _product(query, vector) for name, vector in world.items.items() if name != item}
    best = [name for name, _ in _sorted(products)]
    if recipe == "aws-sims":
        best = best[:NEIGHBOURS]
    return [(name, 0.0) for name in [*best, *(each for each in popular if each not in {item, *best})]]


def _logits(world: World, user: str, items: Iterable[str]) -> Scores:
    return {item: world.temperature * _product(world.users[user], world.items[item]) for item in items}


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _softmax(logits: Scores) -> Scores:
    peak = max(logits.values(), default=0.0)
    mass = math.fsum(math.exp(logit - peak) for logit in logits.values())
    return {item: math.exp(logit - peak) / mass for item, logit in logits.items()}


def _sorted(scores: Scores) -> list[tuple[str, float]]:
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
