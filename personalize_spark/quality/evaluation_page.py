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
    SOFT,
    Bar,
    Frame,
    bars,
    circle,
    path,
    svg,
)
from personalize_spark.quality.measures import DEPTHS, Bin, Evaluation
from personalize_spark.quality.template import document, section, table

_COLOURS = (BLUE, ORANGE, GREY, GREEN, PURPLE)
"""Of the rankings, and of the peers behind them."""

_PANELS = (
    ("NDCG", "Held-out items among the first K; more for those nearer the top.", [f"NDCG@{depth}" for depth in DEPTHS]),
    ("Precision", "Share of the first K that were held out.", [f"precision@{depth}" for depth in DEPTHS]),
    ("Recall", "Share of the held-out items among the first K.", [f"recall@{depth}" for depth in DEPTHS]),
    ("Mean reciprocal rank", "One divided by the rank of the first hit.", ["MRR@25"]),
    ("Coverage", "Share of all items that are in anybody's first 25.", ["coverage"]),
    ("Novelty", "In bits; an item half as popular has one more.", ["novelty"]),
    ("Popularity bias", "Mean popularity percentile of the first 25; 0.5 is none.", ["popularity"]),
    ("Log-loss", "In nats, of a held-out item's score; lower is better.", ["log-loss"]),
)


def evaluation_page(evaluation: Evaluation) -> str:
    """The page, as HTML that needs nothing else."""
    arn, rows = evaluation.solution_version_arn, evaluation.rows(peers=True)
    rankings = [*evaluation.rankings, *evaluation.peers]
    panels = "".join(
        section(title, f"<p>{note}</p>{_bars({name: rows[name] for name in names}, rankings)}")
        for title, note, names in _PANELS
    )
    legend = "".join(
        f'<li style="--colour:{colour}">{name}</li>' for name, colour in zip(rankings, _COLOURS, strict=False)
    )
    said = "".join(f"<p>{escape(each)}</p>\n" for each in (*evaluation.verdict(), *evaluation.notes))
    calibration = f"""<p>All places of the model's first 25, by chance, in ten bins of equal size: how often the recommended item is a held-out one,
against the mean chance. On the dashed line the scores are probabilities; below it they are too high.
The chance is the score among the items that the user has not seen: those seen keep {evaluation.seen_share:.1%} of the scores, and
nothing that was held out is one of them. The expected calibration error is {evaluation.calibration_error():.4%}.
A hollow point marks a bin without any held-out item.</p>
{_calibration(evaluation.calibration)}"""
    version = {"solution version": arn, **evaluation.version}
    numbers = ((name, *(_told(each) for each in values)) for name, values in rows.items())
    body = f"""<header>
<h1>Evaluation</h1>
{said}<p>{evaluation.users:,} users, whose held-out items are to be found among {evaluation.items:,} items.</p>
<ul>{legend}</ul>
</header>
<main>
{panels}{section("What was evaluated", table(("", ""), version.items(), text=True))}{section("Calibration", calibration, "full")}\
{section("All numbers", table(("", *rankings), numbers), "full")}</main>
"""
    return document(f"Evaluation of {arn}", body)


def _told(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _bars(groups: Mapping[str, Sequence[float]], rankings: Sequence[str]) -> str:
    """A group of bars for each measure, a bar for each ranking that has it."""
    shown = []
    for name, values in groups.items():
        depth = f"@{name.partition('@')[2]}" if len(groups) > 1 else ""
        each = zip(values, rankings, _COLOURS, strict=False)
        shown.append(
            (
                "",
                [
                    Bar(value, depth if number == 1 else "", _told(value), colour, f"{name}, {ranking}: {value:.6f}")
                    for number, (value, ranking, colour) in enumerate(each)
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
        *frame.grid(ticks, ticks, ("mean score", "held out"), vertical=True),
        path([frame.at(0, 0), frame.at(1, 1)], SOFT, 'stroke-dasharray="4 4"'),
        path([point for point, part in points if part.frequency > 0], BLUE, 'stroke-width="2"'),
    ]
    for point, part in points:
        title = f"mean score {part.predicted:.4%}, held out {part.frequency:.4%}, {part.shown:,} places"
        shapes.append(circle(*point, BLUE, title, hollow=not part.frequency))
    return svg(frame.left + frame.width + 24, frame.top + frame.height + 52, shapes)
