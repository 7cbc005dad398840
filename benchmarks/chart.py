"""The picture of README: lines a second from JSON to JSON, a bar for each contender, drawn as SVG from the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH, LEFT, BAR, GAP = 760, 150, 22, 6
COLOURS = ("#2e8b57", "#c0504d", "#4f81bd")


def bars(results: Sequence[dict[str, Any]]) -> str:
    """A group of bars for each result of `benchmarks.endtoend`, all on one scale."""
    most = max(rate for result in results for rate in _rates(result).values())
    parts, top = [], 12
    for result in results:
        work = result["work"]
        parts.append(_text(12, top + 18, f"{work['lines']:,} lines x {work['items']:,} items", 15))
        top += 28
        for (name, rate), colour in zip(_rates(result).items(), COLOURS, strict=False):
            length = max(1.0, (WIDTH - LEFT - 110) * rate / most)
            parts.append(_text(LEFT - 8, top + 16, name, 12, "end"))
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(_text(LEFT + length + 8, top + 16, f"{rate:,} lines/s", 12))
            top += BAR + GAP
        top += 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"


def _rates(result: dict[str, Any]) -> dict[str, int]:
    rates: dict[str, int] = result["lines per second, second job"]
    return rates


def _text(x: float, y: float, text: str, size: int, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{text}</text>'
