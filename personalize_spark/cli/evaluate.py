"""`evaluate`: how good a solution version's recommendations are, beside what is popular and what is random."""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape

from personalize_spark.artifacts.artifact import Artifact, Pinned
from personalize_spark.artifacts.heldout import HeldOut, look_up, read_held_out
from personalize_spark.artifacts.model import read_model
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.catalog.status import Status
from personalize_spark.cli.arguments import Commands, add_catalog, add_command, catalog_of, show
from personalize_spark.errors import ArtifactError, DataError, InvalidInputException
from personalize_spark.quality.evaluate import DEPTHS, Bin, Evaluation, evaluate, known_shares, solution_metrics
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.users import Users
from personalize_spark.storage.location import open_store, split_prefix, uri_of

_USER_ID, _ITEM_ID = "USER_ID", "ITEM_ID"

_COLOURS = {"model": "#3b76d6", "popularity": "#e2913f", "random": "#a9b2bc"}
_INK, _SOFT, _LINE = "#1d2530", "#5b6470", "#e6e9ed"

_PANELS = (
    ("NDCG", "Held-out items among the first K; more for those further up.", [f"NDCG@{depth}" for depth in DEPTHS]),
    ("Precision", "Share of the first K that were held out.", [f"precision@{depth}" for depth in DEPTHS]),
    ("Recall", "Share of the held-out items among the first K.", [f"recall@{depth}" for depth in DEPTHS]),
    ("Mean reciprocal rank", "One over the place of the first hit.", ["MRR@25"]),
    ("Coverage", "Share of all items that anybody is shown in 25.", ["coverage"]),
    ("Novelty", "Bits; an item that half as many know has one more.", ["novelty"]),
    ("Popularity bias", "Mean popularity percentile of what is shown; 0.5 is none.", ["popularity"]),
    ("Log-loss", "Nats for a held-out item's score; less is better.", ["log-loss"]),
)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", _evaluate, "Tell how good a solution version's recommendations are.")
    add_catalog(parser)
    parser.add_argument("--solution-version", required=True, metavar="ARN", help="what to evaluate")
    parser.add_argument(
        "--interactions",
        metavar="FUTURE.csv",
        help="USER_ID and ITEM_ID of what users came to since, path or URI; what the training held out when left out",
    )
    parser.add_argument("--page", metavar="FILE.html", help="write a page with plots")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _evaluate(arguments: argparse.Namespace) -> None:
    arn = arguments.solution_version
    evaluation = _measured(_opened(catalog_of(arguments), arn), arn, arguments.interactions)
    if arguments.json:
        show({"solutionVersionArn": arn, "metrics": solution_metrics(evaluation), **asdict(evaluation)})
    else:
        sys.stdout.write(_table(evaluation))
    if arguments.page:
        folder, name = split_prefix(uri_of(arguments.page))
        open_store(folder).write(name, _page(arn, evaluation).encode())


def _opened(catalog: Catalog, arn: str) -> Artifact:
    fields = catalog.read(Arn.parse(arn)).fields
    if "model" not in fields or fields["status"] != Status.ACTIVE:
        raise InvalidInputException(f"{arn} is not a solution version that is ACTIVE.")
    return Pinned(**fields["model"]).open()


def _measured(artifact: Artifact, arn: str, source: str | None) -> Evaluation:
    model, properties = read_model(artifact), artifact.properties
    if model.matrix is None or model.users is None:
        raise InvalidInputException(
            f"{arn} has no vectors of users to evaluate: {properties['recipe']} recommends without them."
        )
    if "interactions" not in properties:
        raise ArtifactError(
            f"The model of {arn} does not say how many interactions its popularity is from: train or import it again."
        )
    held_out = _held_out(artifact, arn) if source is None else _came_since(model, model.users, source)
    learned = None if source else held_out.targets
    shares = known_shares(model.popularity, properties["interactions"], learned)
    matrix = model.matrix
    return evaluate(
        held_out.vectors, matrix.factors, held_out.targets, held_out.seen, shares, model.temperature, matrix.ranks
    )


def _held_out(artifact: Artifact, arn: str) -> HeldOut:
    held_out = read_held_out(artifact)
    if held_out is None:
        raise InvalidInputException(
            f"The model of {arn} comes without held-out items. Train a version with this release, on users with three or "
            f"more items, or give --interactions FUTURE.csv ({_USER_ID},{_ITEM_ID}) with what users came to since."
        )
    return held_out


def _came_since(model: Model, users: Users, source: str) -> HeldOut:
    interactions = _read_interactions(source)
    held_out = look_up(model, users, interactions)
    there, all_users = len(held_out.vectors), len({user for user, _ in interactions})
    if not there:
        raise DataError(
            f"{source} has no row of a user and an item that the model both knows, of {len(interactions):,} rows: "
            "are these the ids that it was trained on?"
        )
    sys.stderr.write(
        f"{there:,} of the {all_users:,} users in {source} are known and came to known items. What they had seen before "
        "is not known here, so it counts among their recommendations.\n"
    )
    return held_out


def _read_interactions(source: str) -> list[tuple[str, str]]:
    folder, name = split_prefix(uri_of(source))
    data = open_store(folder).read(name)
    interactions = []
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), escapechar="\\", strict=True)
        if not {_USER_ID, _ITEM_ID} <= set(rows.fieldnames or ()):
            raise DataError(f"The first line of {source} must name the columns {_USER_ID} and {_ITEM_ID}.")
        for row in rows:
            if not row[_USER_ID] or not row[_ITEM_ID]:
                raise DataError(f"{source}, line {rows.line_num} has no {_USER_ID} or no {_ITEM_ID}: remove that line.")
            interactions.append((row[_USER_ID], row[_ITEM_ID]))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{source} is not CSV in UTF-8: {error}.") from error
    return interactions


def _rows(evaluation: Evaluation) -> dict[str, list[float]]:
    """The measures by their names, each of the three rankings."""
    rankings = evaluation.rankings.values()
    by_depth = {
        f"{name}@{depth}": [getattr(each, name.lower())[depth] for each in rankings]
        for name in ("NDCG", "precision", "recall")
        for depth in DEPTHS
    }
    names = {"MRR@25": "mrr", "coverage": "coverage", "novelty": "novelty", "popularity": "popularity"}
    single = {name: [getattr(each, field) for each in rankings] for name, field in names.items()}
    return {**by_depth, **single, "log-loss": [each.log_loss for each in rankings]}


def _table(evaluation: Evaluation) -> str:
    head = f"{evaluation.users:,} users, {evaluation.items:,} items\n\n{'':<14}"
    names = "".join(f"{name:>12}" for name in evaluation.rankings)
    rows = [f"{name:<14}" + "".join(f"{each:>12.4f}" for each in values) for name, values in _rows(evaluation).items()]
    return "\n".join([head + names, *rows]) + "\n"


def _page(arn: str, evaluation: Evaluation) -> str:
    rows = _rows(evaluation)
    panels = "".join(
        f"<section><h2>{title}</h2><p>{note}</p>{_bars({name: rows[name] for name in names})}</section>\n"
        for title, note, names in _PANELS
    )
    legend = "".join(f'<li style="--colour:{colour}">{name}</li>' for name, colour in _COLOURS.items())
    cells = "".join(
        f"<tr><th>{name}</th>{''.join(f'<td>{each:.4f}</td>' for each in values)}</tr>\n"
        for name, values in rows.items()
    )
    columns = "".join(f"<th>{name}</th>" for name in evaluation.rankings)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation of {escape(arn)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>Evaluation</h1>
<p><code>{escape(arn)}</code></p>
<p>{evaluation.users:,} users, what they came to next to be found among {evaluation.items:,} items.</p>
<ul>{legend}</ul>
</header>
<main>
{panels}<section class="wide"><h2>Calibration</h2>
<p>All places of the model's first 25, by score, in ten parts of as many places each: how often the shown item is what the user
came to next, against the mean score. On the dashed line the scores are probabilities; below it they promise too much.
A hollow point never came true.</p>
{_calibration(evaluation.calibration)}</section>
<section class="wide"><h2>All numbers</h2>
<table><thead><tr><th></th>{columns}</tr></thead><tbody>
{cells}</tbody></table></section>
</main>
</body>
</html>
"""


def _bars(groups: Mapping[str, Sequence[float]]) -> str:
    """Horizontal bars, a group a measure, a bar a ranking; all to one scale."""
    left, longest, bar, gap = 36 if len(groups) > 1 else 0, 152, 16, 12
    scale = longest / (max(max(values) for values in groups.values()) or 1.0)
    shapes, y = [], 0
    for name, values in groups.items():
        depth = name.partition("@")[2] if len(groups) > 1 else ""
        shapes.append(
            f'<text x="{left - 8}" y="{y + 1.5 * bar + 4:g}" text-anchor="end">{depth and f"@{depth}"}</text>'
        )
        for (ranking, colour), value in zip(_COLOURS.items(), values, strict=True):
            length = max(value * scale, 1.0)
            shapes.append(
                f'<rect x="{left}" y="{y + 1}" width="{length:.1f}" height="{bar - 2}" rx="2" fill="{colour}">'
                f"<title>{name}, {ranking}: {value:.6f}</title></rect>"
                f'<text x="{left + length + 6:.1f}" y="{y + bar - 4}" fill="{_INK}">{value:.4f}</text>'
            )
            y += bar
        y += gap
    return _svg(left + longest + 60, y - gap, shapes)


def _calibration(bins: Sequence[Bin]) -> str:
    """Frequency against score, on logarithmic scales."""
    left, top, side = 64, 12, 340
    values = [each for part in bins for each in (part.predicted, part.frequency) if each > 0] or [1.0]
    high = math.ceil(math.log10(max(values)) - 1e-9)
    low = max(min(math.floor(math.log10(min(values)) + 1e-9), high - 1), high - 6)

    def along(value: float) -> float:
        return side * (max(math.log10(value) if value > 0 else low, low) - low) / (high - low)

    shapes = []
    for power in range(low, high + 1):
        at = along(10.0**power)
        shapes += [
            f'<path d="M{left} {top + side - at:.1f}h{side}M{left + at:.1f} {top}v{side}" stroke="{_LINE}"/>',
            f'<text x="{left - 8}" y="{top + side - at + 4:.1f}" text-anchor="end">{100 * 10.0**power:g}%</text>',
            f'<text x="{left + at:.1f}" y="{top + side + 20}" text-anchor="middle">{100 * 10.0**power:g}%</text>',
        ]
    points = [(left + along(part.predicted), top + side - along(part.frequency), part) for part in bins]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, part in points if part.frequency > 0)
    shapes += [
        f'<path d="M{left} {top + side}L{left + side} {top}" stroke="{_SOFT}" stroke-dasharray="4 4"/>',
        f'<path d="M{path or "0 0"}" stroke="{_COLOURS["model"]}" stroke-width="2" fill="none"/>',
    ]
    shapes += [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" stroke="{_COLOURS["model"]}" stroke-width="2"'
        f' fill="{_COLOURS["model"] if part.frequency > 0 else "#ffffff"}"><title>mean score {part.predicted:.4%}, '
        f"came true {part.frequency:.4%}, {part.shown:,} places</title></circle>"
        for x, y, part in points
    ]
    middle = top + side / 2
    shapes += [
        f'<text x="{left + side / 2}" y="{top + side + 44}" text-anchor="middle">mean score</text>',
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">came true</text>',
    ]
    return _svg(left + side + 24, top + side + 52, shapes)


def _svg(width: float, height: float, shapes: Sequence[str]) -> str:
    style = f'font-family="system-ui, sans-serif" font-size="12" fill="{_SOFT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" {style}>'
    return "\n".join([head, *shapes, "</svg>"])


_STYLE = f"""
:root {{ color-scheme: light; }}
body {{ margin: 0 auto; max-width: 1180px; padding: 40px 24px; background: #f5f6f8; color: {_INK};
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ margin: 0 0 8px; font-size: 28px; }}
h2 {{ margin: 0; font-size: 16px; }}
p {{ margin: 0 0 12px; color: {_SOFT}; }}
code {{ font-size: 13px; overflow-wrap: anywhere; }}
ul {{ display: flex; gap: 20px; margin: 16px 0; padding: 0; list-style: none; }}
li::before {{ content: ""; display: inline-block; width: 12px; height: 12px; margin-right: 8px; border-radius: 3px;
  background: var(--colour); vertical-align: -1px; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(264px, 1fr)); gap: 16px; }}
section {{ min-width: 0; padding: 18px; border: 1px solid {_LINE}; border-radius: 10px; background: #fff; }}
section p {{ font-size: 13px; }}
.wide {{ grid-column: span 2; }}
@media (max-width: 640px) {{ .wide {{ grid-column: auto; }} }}
svg {{ display: block; max-width: 100%; height: auto; }}
table {{ width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 4px 0; border-bottom: 1px solid {_LINE}; text-align: right; font-weight: 400; }}
thead th {{ color: {_SOFT}; }}
th:first-child {{ text-align: left; }}
"""
