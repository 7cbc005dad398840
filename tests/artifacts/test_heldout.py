"""What a training held out, on disk and by other rows of the items."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from personalize_spark.artifacts.artifact import Artifact, finish
from personalize_spark.artifacts.heldout import HeldOut, Ranking, read_held_out, read_known, write_held_out
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.storage.location import open_store


def test_what_was_held_out_comes_back(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    lists = Ragged(np.array([0, 2, 3]), np.array([4, 5, 6], np.int32))
    seen = Ragged(np.array([0, 0, 1]), np.array([7], np.int32))
    places = np.arange(50).reshape(2, 25)
    losses, seen_shares = np.array([1.0, 2.5, 0.5]), np.array([0.25, 0.0])
    ranking = Ranking(places.astype(np.int32), places / 50, losses, seen_shares)
    known = np.arange(8)
    finish(store, write_held_out(store, HeldOut(lists, seen, ranking), known), {})
    columns = {path.name: np.load(path).dtype.name for path in tmp_path.glob("*.npy")}
    assert columns == {
        "heldout.known.npy": "int64",
        "heldout.targets.indptr.npy": "int64",
        "heldout.targets.values.npy": "int32",
        "heldout.seen.indptr.npy": "int64",
        "heldout.seen.values.npy": "int32",
        "heldout.lists.npy": "int32",
        "heldout.chances.npy": "float64",
        "heldout.losses.npy": "float64",
        "heldout.seenshares.npy": "float64",
    }
    found = read_held_out(Artifact(store))
    assert found is not None
    np.testing.assert_equal(asdict(found.ranking), asdict(ranking))
    assert read_known(Artifact(store)).tolist() == known.tolist()
    assert (found.targets.values.tolist(), found.targets.indptr.tolist()) == ([4, 5, 6], [0, 2, 3])
    assert (found.seen.values.tolist(), found.seen.indptr.tolist()) == ([7], [0, 0, 1])


def test_what_was_said_is_the_same_by_other_rows_of_the_items() -> None:
    places, ends = np.zeros((2, 3)), np.zeros(2)
    said = Ranking(np.array([[0, 2, -1], [1, -1, -1]], np.int32), places, ends, ends)
    ragged = Ragged(np.array([0, 1, 2]), np.array([1, 0], np.int32))
    found = HeldOut(ragged, Ragged(ragged.indptr, np.array([2, 2], np.int32)), said).renumbered(
        np.array([7, 5, 6], np.int32)
    )
    assert found.ranking.lists.tolist() == [[7, 6, -1], [5, -1, -1]]
    assert (found.targets.values.tolist(), found.seen.values.tolist()) == ([5, 7], [6, 6])
