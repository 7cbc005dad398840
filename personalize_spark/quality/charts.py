"""Charts as SVG documents: bars, a histogram, curves; and the frame with its grid that other charts are drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

INK, SOFT, GRID, AXIS = "#1d2530", "#5b6470", "#e6e9ed", "#9aa3ad"
BLUE, ORANGE, GREEN, GREY, PURPLE, RED = "#3b76d6", "#e2913f", "#2e8b57", "#a9b2bc", "#8a63c9", "#c2504a"
SERIES = (BLUE, ORANGE, GREEN, GREY)
"""The colours of series that have no meaning of their own, in this order."""

_CHARACTER = 7
"""Pixels that a character takes, at most in the mean."""
_BAR, _GAP, _HEADING = 16, 12, 24

Ticks = Sequence[tuple[float, str]]
"""Where an axis is labelled, as a share of its length, and the labels."""


def svg(width: float, height: float, shapes: Sequence[str]) -> str:
    """A document of these shapes, on white."""
    style = f'font-family="system-ui, sans-serif" font-size="12" fill="{SOFT}" style="background:#fff"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" {style}>'
    return "\n".join([head, *shapes, "</svg>"]) + "\n"


def text(x: float, y: float, content: str, more: str = "") -> str:
    """A text that starts, or with `more` ends or is centred, at a point of its base line."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(content)}</text>'


def rect(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    """A rectangle; `title` is shown where the pointer rests on it."""
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" rx="2" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def path(points: Sequence[tuple[float, float]], colour: str, more: str = "") -> str:
    """A line through points."""
    joined = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{joined or "0 0"}" stroke="{colour}" fill="none" {more}/>'


def circle(x: float, y: float, colour: str, title: str, *, hollow: bool) -> str:
    """A point; `title` is shown where the pointer rests on it."""
    fill = "#ffffff" if hollow else colour
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" stroke="{colour}" stroke-width="2" fill="{fill}">'
    return f"{shape}<title>{escape(title)}</title></circle>"


@dataclass(frozen=True)
class Bar:
    """A bar: its value, what is written before and behind it, its colour, what it says under the pointer, its interval."""

    value: float
    label: str
    text: str
    colour: str
    title: str
    interval: tuple[float, float] | None = None


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], left: float, longest: float) -> str:
    """Horizontal bars on one scale, in groups that may have a heading.

    Args:
        groups: a heading, or "", and the bars below it; at least one.
        left: the room for labels, in pixels.
        longest: the length of the longest bar.
    """
    scale = longest / (max(max((bar.value, *(bar.interval or ()))) for _, group in groups for bar in group) or 1.0)
    room = _GAP + _CHARACTER * max(len(bar.text) for _, group in groups for bar in group)
    shapes, y = [], 0.0
    for heading, group in groups:
        if heading:
            shapes.append(text(8, y + 16, heading, f'font-size="15" fill="{INK}"'))
            y += _HEADING
        for bar in group:
            length = max(bar.value * scale, 1.0)
            shapes += [text(left - 8, y + 12, bar.label, 'text-anchor="end"')] if bar.label else []
            shapes.append(rect(left, y + 1, length, _BAR - 2, bar.colour, bar.title))
            end = length
            if bar.interval is not None:
                low, end = (each * scale for each in bar.interval)
                shapes.append(path([(left + low, y + _BAR / 2), (left + end, y + _BAR / 2)], INK, 'stroke-width="1.5"'))
            shapes.append(text(left + max(length, end) + 6, y + 12, bar.text, f'fill="{INK}"'))
            y += _BAR
        y += _GAP
    return svg(left + longest + room, y - _GAP, shapes)


@dataclass(frozen=True)
class Frame:
    """Where a chart with two axes is drawn; points of it are shares of its width and height, from its lower left."""

    left: float
    top: float
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point in pixels of the document."""
        return self.left + self.width * x, self.top + self.height * (1 - y)

    def grid(self, x: Ticks, y: Ticks, captions: tuple[str, str] = ("", ""), *, vertical: bool = False) -> list[str]:
        """The labels of both axes with their captions, and lines across; `vertical` ones, too."""
        shapes = []
        for share, label in y:
            shapes.append(path([self.at(0, share), self.at(1, share)], GRID if share else AXIS))
            shapes.append(text(self.left - 10, self.at(0, share)[1] + 4, label, 'text-anchor="end"'))
        for share, label in x:
            shapes += [path([self.at(share, 0), self.at(share, 1)], GRID)] if vertical else []
            shapes.append(text(*self.at(share, -20 / self.height), label, 'text-anchor="middle"'))
        shapes.append(text(*self.at(0.5, -44 / self.height), captions[0], 'text-anchor="middle"'))
        middle = self.at(0, 0.5)[1]
        turned = f'text-anchor="middle" transform="rotate(-90 14 {middle:.1f})"'
        return [*shapes, text(14, middle, captions[1], turned)] if captions[1] else shapes


def histogram(title: str, notes: Sequence[str], counts: Sequence[int], mean: float, caption: str) -> str:
    """Shares of a whole by a value from 0 to 1.

    Args:
        title: of the chart.
        notes: lines below the title.
        counts: how many have the value 0, 1/K, ... 1: K + 1 numbers.
        mean: the mean of the value.
        caption: what the value is.
    """
    frame = Frame(64, 76 + 18 * len(notes), 640, 260)
    total, last = max(1, sum(counts)), len(counts) - 1
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if step * 5 >= max(counts) / total)
    slot = 1 / len(counts)
    shapes = [
        text(frame.left, 32, title, f'font-size="18" font-weight="600" fill="{INK}"'),
        *(text(frame.left, 54 + 18 * number, note) for number, note in enumerate(notes)),
        *frame.grid(
            [(slot / 2 + (1 - slot) * tick / 5, f"{tick / 5:.0%}") for tick in range(6)],
            [(line / 5, f"{line * step:.0%}") for line in range(6)],
            (caption, ""),
        ),
    ]
    for place, count in enumerate(counts):
        share = count / total / (5 * step)
        x, y = frame.at(slot * (place + 0.1), share)
        shapes.append(rect(x, y, 0.8 * slot * frame.width, frame.height * share, BLUE, f"{place} of {last}: {count:,}"))
    x, top = frame.at(slot / 2 + (1 - slot) * mean, 1)
    shapes.append(path([(x, top - 6), (x, top + frame.height)], ORANGE, 'stroke-width="1.5" stroke-dasharray="4 3"'))
    shapes.append(text(x, top - 12, f"mean {mean:.1%}", f'text-anchor="middle" fill="{INK}"'))
    return svg(frame.left + frame.width + 40, frame.top + frame.height + 64, shapes)


def curves(title: str, series: Mapping[str, Sequence[tuple[float, float]]], unit: str) -> str:
    """Curves over a common axis from 0, both axes linear.

    Args:
        title: of the chart.
        series: by name, the points (x, y) of each curve; none below 0.
        unit: of x.
    """
    frame = Frame(60, 40, 680, 300)
    width, height = (max(point[axis] for points in series.values() for point in points) or 1.0 for axis in (0, 1))
    height *= 1.1
    quarters = (0, 0.25, 0.5, 0.75, 1)
    shapes = [
        text(frame.left, 22, title, f'font-size="15" fill="{INK}"'),
        *frame.grid(
            [(share, f"{width * share:.0f} {unit}") for share in quarters],
            [(share, f"{height * share:.0f}") for share in quarters],
        ),
    ]
    for number, (name, points) in enumerate(series.items()):
        colour = SERIES[number]
        shapes.append(path([frame.at(x / width, y / height) for x, y in points], colour, 'stroke-width="2"'))
        shapes.append(text(frame.left + 180 * number, frame.top + frame.height + 50, name, f'fill="{colour}"'))
    return svg(frame.left + frame.width + 20, frame.top + frame.height + 60, shapes)
