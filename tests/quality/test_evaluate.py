"""A solution version evaluated: on what a training held out, on later interactions, and what is said when it cannot be."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import orjson
import pytest

from personalize_spark.artifacts.artifact import Pinned, finish
from personalize_spark.artifacts.heldout import (
    COSINE,
    Asked,
    read_held_out,
    write_held_out,
    write_item_peers,
    write_peers,
)
from personalize_spark.artifacts.model import write_items
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import PersonalizeSparkError
from personalize_spark.quality.evaluate import evaluate
from personalize_spark.quality.evaluation import Evaluation
from personalize_spark.quality.evaluation_page import evaluation_page
from personalize_spark.quality.measures import known_shares, measure, rank
from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.item_index import JsonTexts
from personalize_spark.scoring.model import Model
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.testing.toy import golden_version, write_toy_users, write_version

ITEMS, USERS, COUNTS = 60, 12, np.arange(60, 0, -1)
GENERATOR = np.random.default_rng(5)
FACTORS = GENERATOR.normal(size=(ITEMS, 3)).astype(np.float32)
VECTORS = GENERATOR.normal(size=(USERS, 3)).astype(np.float32)
RANKS = np.arange(ITEMS, dtype=np.int32)
TARGETS = np.argmax(VECTORS @ FACTORS.T, axis=1)
SEEN = np.argmin(VECTORS @ FACTORS.T, axis=1)
SHARES = COUNTS / COUNTS.sum()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"file://{tmp_path}/catalog")


def one_each(items: np.ndarray[Any, Any], order: np.ndarray[Any, Any]) -> Ragged[np.int32]:
    """A list of one item for each, in rows of the model."""
    return Ragged(np.arange(len(items) + 1), np.argsort(order)[items].astype(np.int32))


def write(
    catalog: Catalog, *, held_out: int | None = USERS, interactions: bool = True, peers: Mapping[str, Any] | None = None
) -> str:
    """A solution version whose first `held_out` users come to the model's own first choice, in a catalog."""
    matrix, order = ItemMatrix.sort(FACTORS, RANKS)
    texts = JsonTexts.of([orjson.dumps(f"item-{row:02}") for row in order])
    model = Model(texts, np.argsort(order).astype(np.int32), SHARES[order], matrix)
    arn = Arn("aws", "us-east-1", "000000000000", "solution", "toy", f"{time.time_ns() & 0xFFFFFFFF:08x}")
    store = catalog.store.at(f"models/{arn.name}/{arn.version}")
    entries = write_items(store, model)
    entries += write_toy_users(store, [f"user-{row}" for row in range(USERS)], VECTORS, matrix, Curve(2.0), 2, None)
    if held_out is not None:
        targets, seen = one_each(TARGETS[:held_out], order), one_each(SEEN[:held_out], order)
        if held_out:
            known = (COUNTS - np.bincount(TARGETS[:held_out], minlength=ITEMS))[order]
            entries += write_held_out(store, rank(Asked(VECTORS[:held_out], targets, seen), matrix, Curve(2.0)), known)
        entries += write_peers(store, peers or {})
    counted = {"interactions": int(COUNTS.sum())} if interactions else {}
    pinned = finish(store, entries, {"recipe": "aws-user-personalization", "temperature": 2.0, **counted})
    record = {"status": "ACTIVE", "model": asdict(pinned)}
    catalog.create(arn, {"recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization", **record})
    return str(arn)


def expected(seen: Ragged[np.int32], *, learned: bool) -> Evaluation:
    targets = one_each(TARGETS, RANKS)
    shares = known_shares(COUNTS if learned else COUNTS - np.bincount(TARGETS, minlength=ITEMS))
    matrix = ItemMatrix(FACTORS, FACTORS[:, 0], RANKS)
    return measure(rank(Asked(VECTORS, targets, seen), matrix, Curve(2.0)), shares, RANKS)


def same(found: Evaluation, evaluation: Evaluation) -> None:
    for name in ("model", "popularity"):
        for measured, value in vars(evaluation.rankings[name]).items():
            assert getattr(found.rankings[name], measured) == pytest.approx(value), (name, measured)
    assert found.solution_metrics() == pytest.approx(evaluation.solution_metrics())
    predicted = [[each.predicted for each in one.calibration] for one in (found, evaluation)]
    assert predicted[0] == pytest.approx(predicted[1])


def test_a_version_is_evaluated_on_what_its_training_held_out(catalog: Catalog) -> None:
    arn = write(catalog)
    found = evaluate(catalog, arn)
    assert (found.solution_version_arn, found.users, found.items, found.notes) == (arn, USERS, ITEMS, ())
    same(found, expected(one_each(SEEN, RANKS), learned=False))


def test_the_verdict_comes_first_also_on_the_page(catalog: Catalog) -> None:
    found = evaluate(catalog, write(catalog))
    model, popular = found.rankings["model"], found.rankings["popularity"]
    gains = f"NDCG@25 {model.ndcg[25]:.4f} against {popular.ndcg[25]:.4f}"
    losses = f"log-loss {model.log_loss:.4f} against {popular.log_loss:.4f}"
    times = model.ndcg[25] / popular.ndcg[25] - 1
    low, high = found.differences["popularity"]["NDCG@25"]
    assert 0 < low < model.ndcg[25] - popular.ndcg[25] < high
    assert found.verdict() == [
        f"The model ranks better than popularity by {times:.0%}: {gains}. The difference is {low:+.4f} to {high:+.4f} (95% interval).",
        f"Its scores make what was held out more likely than popularity does: {losses}.",
    ]
    swapped = {**found.rankings, "model": popular, "popularity": model}
    worse = replace(found, rankings=swapped, peers={"EASE": model}, values={})
    ranks, scores, peer = worse.verdict()
    assert ranks.startswith(f"The model ranks worse than popularity by {1 - popular.ndcg[25] / model.ndcg[25]:.0%}: ")
    assert "no more likely than popularity does" in scores
    assert peer == f"EASE ranks better than the model: NDCG@25 {model.ndcg[25]:.4f}."
    page = evaluation_page(replace(worse, notes=("a note",)))
    places = [page.index(f"<p>{each}</p>") for each in (ranks, scores, peer, "a note")]
    assert places == sorted(places)
    assert str(worse).startswith(ranks)
    assert worse.to_dict()["verdict"] == [ranks, scores, peer]


def test_it_prints_as_a_table_of_the_three_rankings(catalog: Catalog) -> None:
    lines = str(evaluate(catalog, write(catalog))).splitlines()[3:]
    assert lines[0] == "12 users, 60 items"
    assert lines[2].split() == ["model", "popularity", "random", "95%", "of", "the", "model"]
    end = lines.index("", 3)
    assert [line.split()[0] for line in lines[3:end]] == [
        *("NDCG@5", "NDCG@10", "NDCG@25", "precision@5", "precision@10", "precision@25"),
        *("recall@5", "recall@10", "recall@25", "MRR@25", "coverage", "novelty", "popularity", "log-loss"),
    ]
    measures = expected(one_each(SEEN, RANKS), learned=False).rankings
    assert lines[3].split()[1:3] == ["1.0000", f"{measures['popularity'].ndcg[5]:.4f}"]
    assert lines[end - 1].split()[3] == f"{np.log(ITEMS):.4f}"
    assert lines[end + 1].split() == ["predicted", "held", "out", "places"]
    assert lines[-1].startswith("expected calibration error ")


def test_the_peers_of_the_training_stand_in_the_same_table(catalog: Catalog) -> None:
    arn = write(catalog, peers={COSINE: np.array([[row, *[-1] * 24] for row in range(USERS)], np.int32)})
    found = evaluate(catalog, arn)
    lines = str(found).splitlines()[3:]
    assert lines[2].split()[:4] == ["model", "popularity", "random", "cosine"]
    hits = np.mean(np.arange(USERS) == found_targets(catalog, arn))
    assert lines[3].split()[4] == f"{hits:.4f}"
    assert [line.split()[4] for line in lines if line.startswith("log-loss")] == ["-"]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["peers"]["cosine"]["log_loss"] is None
    assert ">cosine<" in found._repr_html_()


def found_targets(catalog: Catalog, arn: str) -> np.ndarray[Any, Any]:
    held_out = read_held_out(Pinned(**catalog.read(Arn.parse(arn)).fields["model"]).open())
    assert held_out is not None
    return held_out.targets.values


def test_it_is_plain_values(catalog: Catalog) -> None:
    arn = write(catalog)
    plain = json.loads(json.dumps(evaluate(catalog, arn).to_dict()))
    assert plain.keys() == {
        *("solution_version_arn", "users", "items", "rankings", "calibration", "seen_share", "peers", "notes"),
        *("metrics", "calibration_error", "verdict", "version", "other", "other_version", "intervals", "differences"),
    }
    assert (plain["solution_version_arn"], plain["metrics"]["mean_reciprocal_rank_at_25"]) == (arn, 1)
    assert plain["rankings"]["model"]["recall"]["25"] == 1


def future(folder: Path, text: str) -> Path:
    path = folder / "future.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_later_interactions_need_nothing_held_out(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"{row},item-{TARGETS[row]:02},user-{row}\n" for row in range(USERS)]
    strange = ["99,item-00,stranger\n", "99,unknown,user-0\n", rows[0]]
    path = future(tmp_path, "\ufeffTIMESTAMP,ITEM_ID,USER_ID\n" + "".join([*strange, *rows]))
    found = evaluate(catalog, write(catalog, held_out=None), interactions=path)
    assert found.notes[0].startswith(f"12 of the 13 users in file://{path} are known and came to known items.")
    nothing = Ragged(np.zeros(USERS + 1, np.int64), np.empty(0, np.int32))
    same(found, expected(nothing, learned=True))


@pytest.mark.parametrize("held_out", [None, 0])
def test_a_model_without_held_out_items_says_what_to_do(catalog: Catalog, held_out: int | None) -> None:
    arn = write(catalog, held_out=held_out)
    with pytest.raises(PersonalizeSparkError, match=r"has no held-out items\. Train .*, or give later interactions"):
        evaluate(catalog, arn)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("USER_ID,TIMESTAMP\nu,1\n", "must name the columns USER_ID and ITEM_ID"),
        ("", "must name the columns USER_ID and ITEM_ID"),
        ("USER_ID,ITEM_ID\nu,i\nu\n", "line 3 has no USER_ID or no ITEM_ID"),
        ("USER_ID,ITEM_ID\nu,i\n,i\n", "line 3 has no USER_ID or no ITEM_ID"),
        ('USER_ID,ITEM_ID\n"u,i\n', "is not CSV in UTF-8"),
        ("USER_ID,ITEM_ID\n", "no row of a user and an item that the model both knows, of 0 rows"),
        ("USER_ID,ITEM_ID\nuser-1,i\nu,item-01\n", "no row of a user and an item that the model both knows, of 2 rows"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(catalog: Catalog, tmp_path: Path, text: str, said: str) -> None:
    arn = write(catalog)
    with pytest.raises(PersonalizeSparkError, match=said):
        evaluate(catalog, arn, interactions=future(tmp_path, text))


def test_a_version_that_cannot_be_evaluated_is_told(catalog: Catalog, tmp_path: Path) -> None:
    popular = write_version(catalog, "aws-popularity-count", ["a"], np.ones((1, 1), np.float32), {}, [1])
    with pytest.raises(PersonalizeSparkError, match="aws-popularity-count gives everybody the popular items"):
        evaluate(catalog, str(popular))
    with pytest.raises(PersonalizeSparkError, match="does not record how many interactions"):
        evaluate(catalog, str(golden_version(catalog)))
    record = catalog.read(Arn.parse(str(popular)))
    catalog.update(record, status="CREATE FAILED")
    with pytest.raises(PersonalizeSparkError, match="is CREATE FAILED"):
        evaluate(catalog, str(popular))


class Page:
    """A page, read as XML but for what HTML leaves open."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        closed = re.sub(r"(<meta [^>]*)>", r"\1/>", self.text.removeprefix("<!doctype html>\n"))
        self.root = ET.fromstring(closed)  # noqa: S314  # our own

    def sections(self) -> dict[str, ET.Element]:
        return {str(each.findtext("h2")): each for each in self.root.iter("section")}


def shapes(section: ET.Element, kind: str) -> list[ET.Element]:
    return list(section.iter(f"{{http://www.w3.org/2000/svg}}{kind}"))


def test_the_page_stands_alone_and_plots_every_measure(catalog: Catalog, tmp_path: Path) -> None:
    arn = write(catalog)
    evaluate(catalog, arn, page=tmp_path / "evaluation.html")
    page = Page(tmp_path / "evaluation.html")
    assert not re.search(r"<script|<link|<img|src=|href=|@import|url\(", page.text)
    sections = page.sections()
    assert list(sections) == [
        *("NDCG", "Precision", "Recall", "Mean reciprocal rank", "Log-loss", "Coverage", "Novelty", "Popularity bias"),
        *("What was evaluated", "Calibration", "All numbers"),
    ]
    assert [len(shapes(section, "rect")) for section in sections.values()] == [9, 9, 9, 3, 3, 3, 3, 3, 0, 0, 0]
    told = ["".join(row.itertext()).strip() for row in sections["What was evaluated"].iter("tr")]
    assert told[:2] == [f"solution version{arn}", "recipeaws-user-personalization"]
    evaluation = expected(one_each(SEEN, RANKS), learned=False)
    assert len(shapes(sections["Calibration"], "circle")) == len(evaluation.calibration) == 10
    lengths = [float(str(bar.get("width"))) for bar in shapes(sections["Log-loss"], "rect")]
    losses = [evaluation.rankings[name].log_loss for name in ("model", "popularity", "random")]
    most = max(high for each in evaluation.intervals.values() for _, high in [each["log-loss"]])
    assert lengths == pytest.approx([152 * loss / most for loss in losses], abs=0.06)
    assert [len(shapes(sections[name], "path")) for name in ("Log-loss", "Coverage")] == [3, 0]  # the intervals
    assert len(list(sections["All numbers"].iter("td"))) == 14 * 4


def test_what_the_training_chose_is_told_with_the_figures_of_all_candidates(catalog: Catalog) -> None:
    arn = write(catalog)
    form = {"memory": 3.0, "rank": 0}
    candidates = [{"form": "ALS", "ndcg": 0.1, "log_loss": 7.0}, {"form": form, "ndcg": 0.25, "log_loss": 6.5}]
    record = catalog.read(Arn.parse(arn))
    for chosen, told in ((form, "memory 3.0, rank 0"), ("ALS", "ALS")):
        catalog.update(record, choice={"chosen": chosen, "candidates": candidates, "choice": "why"})
        version = evaluate(catalog, arn).version
        assert version["chosen by the training"] == told
        assert version["of the candidates"] == (
            "ALS: NDCG@25 0.1000, log-loss 7.0000; memory 3.0, rank 0: NDCG@25 0.2500, log-loss 6.5000"
        )


def test_points_that_never_came_true_lie_hollow_on_the_floor(catalog: Catalog, tmp_path: Path) -> None:
    evaluate(catalog, write(catalog, held_out=1), page=tmp_path / "evaluation.html")
    points = shapes(Page(tmp_path / "evaluation.html").sections()["Calibration"], "circle")
    hollow = [point for point in points if point.get("fill") == "#ffffff"]
    assert len(hollow) == 9  # 25 places, one of them the target
    assert {point.get("cy") for point in hollow} == {"352.0"}


def test_another_version_stands_beside_it(catalog: Catalog, tmp_path: Path) -> None:
    arn, other = write(catalog), write(catalog)
    found = evaluate(catalog, arn, beside=other, page=tmp_path / "evaluation.html")
    name = "/".join(other.split("/")[-2:])
    assert found.differences[name]["NDCG@25"] == (0, 0)
    assert found.verdict()[-1] == f"It ranks as well as {name}: NDCG@25 1.0000 against 1.0000."
    page = Page(tmp_path / "evaluation.html")
    assert f"{name}</li>" in page.text
    about = page.sections()["What was evaluated"]
    assert next("".join(row.itertext()).strip() for row in about.iter("tr")) == f"solution version{arn}{other}"
    assert found.notes == ()

    fewer = evaluate(catalog, arn, beside=write(catalog, held_out=3))
    assert "measured on different users" in fewer.notes[-1]
    assert fewer.other in fewer.peers
    assert fewer.other not in fewer.differences


def related(catalog: Catalog, recipe: str = "aws-similar-items") -> str:
    """A model of related items; its properties say how many interactions there were."""
    arn = write_version(catalog, recipe, [f"item-{row:02}" for row in range(ITEMS)], FACTORS, {}, COUNTS.tolist())
    record = catalog.read(arn)
    old = Pinned(**record.fields["model"]).open()
    lists = np.array([[row, *[-1] * 24] for row in range(ITEMS)], np.int32)  # each item itself
    entries = [*old.entries.values(), *write_item_peers(old.store, {COSINE: lists})]
    old.store.delete("manifest.json")
    pinned = finish(old.store, entries, {**old.properties, "interactions": int(COUNTS.sum())})
    catalog.update(record, model=asdict(pinned))
    return str(arn)


NEXT = "USER_ID,ITEM_ID,TIMESTAMP\n"


@pytest.mark.parametrize("recipe", ["aws-similar-items", "aws-sims"])
def test_related_items_are_asked_for_the_item_before_the_last(catalog: Catalog, tmp_path: Path, recipe: str) -> None:
    products = FACTORS @ FACTORS.T
    np.fill_diagonal(products, -np.inf)
    best = np.argsort(-products, axis=1)[:, 0]
    rows = [f"u{item},item-{best[item]:02},9\nu{item},item-{item:02},8\n" for item in range(30)]
    rows += ["u0,item-59,1\n", f"u1,item-{best[1]:02},10\n", "u40,item-01,1\n", "u41,item-01,1\nu41,unknown,2\n"]
    path = future(tmp_path, NEXT + "".join(rows))
    found = evaluate(catalog, related(catalog, recipe), interactions=path, page=tmp_path / "evaluation.html")
    model = found.rankings["model"]
    assert (found.users, model.recall, model.mrr) == (30, dict.fromkeys((5, 10, 25), 1), 1)
    assert 0 < found.rankings["popularity"].recall[25] < 1
    assert found.peers["cosine"].recall[25] == 0
    assert "the hit rate" in found.notes[0]
    assert len(found.verdict()) == 1
    assert "log-loss" not in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["calibration_error"] is None
    assert not {"Calibration", "Log-loss"} & Page(tmp_path / "evaluation.html").sections().keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("USER_ID,ITEM_ID\nu,item-01\n", "must name the columns USER_ID, ITEM_ID and TIMESTAMP"),
        (f"{NEXT}u,item-01,soon\n", "line 2 has no TIMESTAMP that is a number"),
        (f"{NEXT}u,item-01,1\nu,item-01,2\nv,item-02,3\n", "no user who came from one item"),
    ],
)
def test_a_file_that_tells_no_next_item_is_told(catalog: Catalog, tmp_path: Path, text: str, said: str) -> None:
    arn = related(catalog)
    with pytest.raises(PersonalizeSparkError, match=said):
        evaluate(catalog, arn, interactions=future(tmp_path, text))


def test_related_items_without_a_file_are_told_what_to_give(catalog: Catalog) -> None:
    arn = related(catalog)
    with pytest.raises(PersonalizeSparkError, match="aws-similar-items learns from all interactions.*give later"):
        evaluate(catalog, arn)
