"""A comparison of two outputs as a page: what it says in words, a chart for each question, and all numbers."""

from __future__ import annotations

from html import escape

from personalize_spark.quality.charts import BLUE, ORANGE, Bar, bars, histogram
from personalize_spark.quality.differences import HEAD, OutputComparison
from personalize_spark.quality.template import document, section, stack, table

_LONGEST = 152
"""Pixels of the longest bar."""

_MEANINGS = (
    ("overlap@K", "Share of the first K items that both lists have."),
    (
        "same order (footrule)",
        "Of the items that both lists have: 1 for the same order, 0 for the reverse, about 1/3 by chance.",
    ),
    ("identical lists", "Share of the lines with the same items in the same order."),
    ("score difference", "Mean absolute difference of an item's two scores."),
    ("popularity", "Mean share of the lists that have the item at a place. 1: everybody gets the same items."),
    ("Gini coefficient", "0: all items are recommended equally often. Near 1: few items get most of the places."),
)


def comparison_page(comparison: OutputComparison, old: str, new: str) -> str:
    """The page, as HTML that needs nothing else; `old` and `new` say where the outputs are."""
    head = "".join(f"<p>{escape(each)}</p>\n" for each in (*comparison.notes, *comparison.verdict()))
    places = "".join(
        f'<li style="--colour:{colour}">{name}: <code>{escape(place)}</code></li>'
        for name, place, colour in (("old", old, BLUE), ("new", new, ORANGE))
    )
    body = f"""<header>
<h1>Comparison of two outputs</h1>
{head}<ul>{places}</ul>
</header>
<main>
{_charts(comparison) if comparison.both.answered else ""}{section("All numbers", table(HEAD, comparison.rows()), "full")}\
{section("What the numbers mean", table(("", ""), _MEANINGS, text=True), "full")}</main>
"""
    return document(f"Comparison of {old} and {new}", body)


def overlap_histogram(comparison: OutputComparison, notes: list[str]) -> str:
    """How many answers have an overlap of 0/K, 1/K, ... K/K, as SVG."""
    return histogram(
        f"overlap@{comparison.at}, share of {comparison.both.answered:,} answers",
        notes,
        comparison.histogram,
        comparison.overlap[comparison.at] or 0.0,
        f"share of the first {comparison.at} items that both lists have",
    )


def _charts(comparison: OutputComparison) -> str:
    shares = [
        Bar(share, f"@{depth}", f"{share:.1%}", BLUE, f"overlap@{depth}: {share:.6f}")
        for depth, share in comparison.overlap.items()
        if share is not None
    ]
    old, new = comparison.old, comparison.new
    pairs = {
        "Distinct items": (old.items, new.items),
        "Gini coefficient": (old.gini, new.gini),
        "Popularity": (old.popularity, new.popularity),
    }
    overlap = "<p>Share of the first K items that both lists have.</p>" + bars([("", shares)], 36, _LONGEST)
    spread = section(f"Overlap of the first {comparison.at} items", overlap_histogram(comparison, []), "wide")
    return section("Overlap", overlap) + spread + stack([_pair(title, *values) for title, values in pairs.items()])


def _pair(title: str, old: float | None, new: float | None) -> str:
    """A bar for each output, on one scale."""
    values = [
        Bar(
            value, name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}", colour, f"{title}, {name}: {value}"
        )
        for name, value, colour in (("old", old, BLUE), ("new", new, ORANGE))
        if value is not None
    ]
    return section(title, bars([("", values)], 36, _LONGEST)) if values else ""
