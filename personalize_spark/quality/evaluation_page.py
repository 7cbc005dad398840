"""An evaluation as a page: a chart for each measure, the calibration, and all numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from personalize_spark.quality.charts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SOFT,
    Bar,
    Frame,
    bars,
    circle,
    path,
    svg,
)
from personalize_spark.quality.evaluation import DEPTHS, Bin, Evaluation
from personalize_spark.quality.template import document, section, stack, table

_COLOURS = (BLUE, ORANGE, GREY, GREEN, PURPLE)
"""Of the rankings, and of the peers behind them."""
_OTHER = RED
"""Of another version."""

_PANELS = (
    (
        "NDCG",
        "How many of the held-out items the first K have, and how near the top. 1 is the best.",
        [f"NDCG@{depth}" for depth in DEPTHS],
    ),
    (
        "Precision",
        "The share of the first K places that hold a held-out item.",
        [f"precision@{depth}" for depth in DEPTHS],
    ),
    ("Recall", "How much of what was held out the first K have.", [f"recall@{depth}" for depth in DEPTHS]),
    ("Mean reciprocal rank", "1 if the first item was held out, 1/2 if the second was, and so on.", ["MRR@25"]),
    ("Log-loss", "How unlikely the scores make a held-out item. Lower is better.", ["log-loss"]),
    ("Coverage", "How much of the catalogue is in anybody's first 25.", ["coverage"]),
    (
        "Novelty",
        "In bits: how surprising the items are. An item with half as many interactions has one bit more.",
        ["novelty"],
    ),
    ("Popularity bias", "1: only the most popular items. 0.5: popularity plays no part.", ["popularity"]),
)
_TALL = 3
"""Panels at the beginning that have a group of bars for each K."""
_REPEATS = (
    " Lists leave out what a user had met before, so a repeat purchase counts neither for a model nor against it."
)
_SURE = "A line across a bar is its 95% interval: with other users of the same kind, the mean would lie there 95 times of 100 (1,000 bootstrap samples)."


def evaluation_page(evaluation: Evaluation) -> str:
    """The page, as HTML that needs nothing else."""
    arn, rows = evaluation.solution_version_arn, evaluation.rows(peers=True)
    colours = _colours(evaluation)
    panels = [
        section(
            title, f"<p>{note}</p>{_bars(evaluation, {name: rows[name] for name in names if name in rows}, colours)}"
        )
        for title, note, names in _PANELS
        if names[0] in rows
    ]
    charts = "".join([*panels[:_TALL], stack(panels[_TALL : _TALL + 2]), *panels[_TALL + 2 :]])
    legend = "".join(f'<li style="--colour:{colour}">{escape(name)}</li>' for name, colour in colours.items())
    said = "".join(f"<p>{escape(each)}</p>\n" for each in (*evaluation.verdict(), *evaluation.notes))
    sure = f"<p>{_SURE}</p>\n" if evaluation.intervals.get("model") else ""
    body = f"""<header>
<h1>Evaluation</h1>
{said}<p>{evaluation.users:,} users, whose held-out items are to be found among {evaluation.items:,} items.{_REPEATS if evaluation.calibration else ""}</p>
{sure}<ul>{legend}</ul>
</header>
<main>
{charts}{_about(evaluation)}{_calibration_panel(evaluation)}{section("All numbers", table(*evaluation.table()), "full")}</main>
"""
    return document(f"Evaluation of {arn}", body)


def _colours(evaluation: Evaluation) -> dict[str, str]:
    """By ranking or peer."""
    names = [*evaluation.rankings, *evaluation.peers]
    own = dict(zip((name for name in names if name != evaluation.other), _COLOURS, strict=False))
    return {name: own.get(name, _OTHER) for name in names}


def _about(evaluation: Evaluation) -> str:
    mine = {"solution version": evaluation.solution_version_arn, **evaluation.version}
    other = evaluation.other_version
    if not other:
        return section("What was evaluated", table(("", ""), mine.items(), text=True), "full")
    both = [(name, mine.get(name, "-"), other.get(name, "-")) for name in {**mine, **other}]
    return section("What was evaluated", table(("", "", ""), both, text=True), "full")


def _calibration_panel(evaluation: Evaluation) -> str:
    """Nothing for a model without scores."""
    if not evaluation.calibration:
        return ""
    text = f"""<div class="beside">{_calibration(evaluation.calibration)}<div>
<p>If the scores say 2%, do 2 of 100 such places hold what the user took? All recommended places are sorted by their chance and
cut into ten equal parts: each is a point. On the dashed line the chance came true; below it the scores promise too much; a hollow point had no hit at all.
The mean distance from the line is {evaluation.calibration_error():.4%}.</p>
<p>The chance is the score, shared out among the items that the user has not seen: those seen have {evaluation.seen_share:.1%} of all scores.</p></div></div>"""
    return section("Calibration", text, "full")


def _bars(evaluation: Evaluation, groups: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> str:
    """A group of bars for each measure, a bar for each ranking that has it."""
    shown = []
    for name, values in groups.items():
        depth = f"@{name.partition('@')[2]}" if len(groups) > 1 else ""
        shown.append(
            (
                "",
                [
                    Bar(
                        value,
                        depth if number == 1 else "",
                        f"{value:.4f}",
                        colour,
                        f"{name}, {ranking}: {value:.6f}",
                        evaluation.intervals.get(ranking, {}).get(name),
                    )
                    for number, (value, (ranking, colour)) in enumerate(zip(values, colours.items(), strict=True))
                    if math.isfinite(value)
                ],
            )
        )
    return bars(shown, 36 if len(groups) > 1 else 0, 152)


def _calibration(bins: Sequence[Bin]) -> str:
    """Frequency against score, on logarithmic scales."""
    frame = Frame(64, 12, 340, 340)
    values = [each for part in bins for each in (part.predicted, part.frequency) if each > 0] or [1.0]
    high = math.ceil(math.log10(max(values)) - 1e-9)
    low = max(min(math.floor(math.log10(min(values)) + 1e-9), high - 1), high - 6)

    def along(value: float) -> float:
        return (max(math.log10(value) if value > 0 else low, low) - low) / (high - low)

    ticks = [(along(10.0**power), f"{100 * 10.0**power:g}%") for power in range(low, high + 1)]
    points = [(frame.at(along(part.predicted), along(part.frequency)), part) for part in bins]
    shapes = [
        *frame.grid(ticks, ticks, ("chance", "came true"), vertical=True),
        path([frame.at(0, 0), frame.at(1, 1)], SOFT, 'stroke-dasharray="4 4"'),
        path([point for point, part in points if part.frequency > 0], BLUE, 'stroke-width="2"'),
    ]
    for point, part in points:
        title = f"chance {part.predicted:.4%}, came true {part.frequency:.4%}, {part.shown:,} places"
        shapes.append(circle(*point, BLUE, title, hollow=not part.frequency))
    return svg(frame.left + frame.width + 24, frame.top + frame.height + 52, shapes)
