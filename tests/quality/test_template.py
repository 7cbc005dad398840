"""What pages and cells of notebooks share."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from personalize_spark.quality.differences import Tally
from personalize_spark.quality.evaluation import DEPTHS, Evaluation, Measures
from personalize_spark.quality.template import area, bar_list, printable, table
from personalize_spark.solutions.new_version import NewVersion


def cells(html: str) -> list[list[str]]:
    """The texts of all rows of a cell's tables."""
    root = ET.fromstring(f"<x>{html}</x>")  # noqa: S314  # our own
    return [["".join(each.itertext()) for each in row] for row in root.iter("tr")]


def test_what_is_shown_is_escaped() -> None:
    assert cells(table(("a<", "b"), [("<i>", "&")])) == [["a<", "b"], ["<i>", "&"]]
    assert "<b>" not in bar_list({"<b>": 1})
    assert printable("a\x1b[31m\x00é") == "a\ufffd[31m\ufffdé"


def test_bars_and_curves_are_drawn_of_nothing_too() -> None:
    assert bar_list({}) == ""
    assert "width:0.0%" in bar_list({"none": 0})
    assert "<polygon" in area([], "nothing")


def test_a_solution_version_an_evaluation_and_a_comparison_show_in_notebooks() -> None:
    version = NewVersion("arn:x", {"users": 1_000, "logLoss": 0.5}, ["a < b"])
    assert cells(version._repr_html_()) == [["users", "1,000"], ["log_loss", "0.5000"]]
    assert version.to_dict()["metrics"] == {"users": 1_000, "log_loss": 0.5}
    assert "a &lt; b" in version._repr_html_()
    halves = dict.fromkeys(DEPTHS, 0.5)
    measured = Measures(halves, halves, halves, 0.5, 0.5, 0.5, 0.5, 0.5)
    shown = Evaluation(1_234, 5, dict.fromkeys(("model", "popularity"), measured), [])._repr_html_()
    assert "1,234 users" in shown
    assert "The model ranks as well as popularity: NDCG@25 0.5000 against 0.5000." in shown
    comparison = Tally(3, 2).comparison()
    assert cells(comparison._repr_html_())[1][:3] == ["lines", "0", "0"]
    assert "No input line is in both" in comparison._repr_html_()
