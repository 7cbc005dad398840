"""Interactions in this process are those that the frames of `interactions` hold."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from personalize_spark.artifacts.shards import keys_of
from personalize_spark.errors import DataError
from personalize_spark.recipes import RECIPES
from personalize_spark.training.configuration import Hyperparameters
from personalize_spark.training.cooccurrence import Closeness, cooccurrences
from personalize_spark.training.interactions import (
    collect_items,
    count_known,
    count_pairs,
    known,
    number_items,
    number_pairs,
    totals,
)
from personalize_spark.training.item_models import train_item_factors, train_neighbours
from personalize_spark.training.local_cooccurrence import cooccurrences_here, followed
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.training import Training

pytestmark = pytest.mark.spark

ITEMS = ["\U0001f600", "ä", "~", "new\nline", "z", *(f"item-{i}" for i in range(20))]


@pytest.fixture
def table(spark: SparkSession) -> DataFrame:
    """Users of one to 30 events in few different seconds, so that the newest item is often one of several."""
    chance = random.Random(1)
    rows = [
        (f"üser-{user}", chance.choice(ITEMS), chance.randrange(4))
        for user in range(40)
        for _ in range(chance.choice((1, 2, 5, 30)))
    ]
    chance.shuffle(rows)
    return spark.createDataFrame(rows, "USER_ID string, ITEM_ID string, TIMESTAMP long").repartition(3)


def test_they_are_counted_numbered_and_held_out_as_frames_are(table: DataFrame) -> None:
    here, pairs = LocalPairs.read(table), count_pairs(table)
    numbered = number_items(pairs)
    frame = number_pairs(pairs, numbered)
    items = count_known(frame, collect_items(numbered))
    assert here.totals == totals(pairs)
    assert here.items.select(items.column_names).to_pylist() == items.to_pylist()
    assert here.items.column("item_id").to_pylist() == sorted(set(items.column("item_id").to_pylist()), key=str.encode)
    expected = {(row.user_id, row.item): (row.events, row.newest, row.held) for row in frame.collect()}
    names, owners = here.ids.to_pylist(), here.met.row_ids().tolist()
    columns = owners, here.met.values.tolist(), here.events.tolist(), here.newest.tolist(), here.held.tolist()
    some = {user for user, held in zip(owners, columns[-1], strict=True) if held}
    found = {
        (names[user], item): (events, newest, held if user in some else None)
        for user, item, events, newest, held in zip(*columns, strict=True)
    }
    assert found == expected
    assert 0 < len(some) < len(names)
    kept = here.known()
    assert sorted(zip(kept.users.tolist(), kept.items.tolist(), kept.events.tolist(), strict=True)) == sorted(
        (names.index(row.user_id), row.item, row.events) for row in known(frame).collect()
    )


def test_users_stand_by_key_and_their_histories_leave_out_what_is_held_out(table: DataFrame) -> None:
    here = LocalPairs.read(table)
    keys = keys_of([name.encode() for name in here.ids.to_pylist()])
    np.testing.assert_array_equal(here.keys, keys)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    part = here.part(3, 9, 5)
    assert part.column("id").to_pylist() == here.ids.to_pylist()[3:9]
    assert part.column("items").to_pylist() == [here.met.row(user).tolist() for user in range(3, 9)]
    assert set(part.column("shard").to_pylist()) == {5}


def test_of_users_who_calibrate_the_newest_tenth_of_their_items_is_held_out(table: DataFrame) -> None:
    here = LocalPairs.read(table)
    names, lengths = here.ids.to_pylist(), here.met.lengths
    known_well = sorted((name for name, met in zip(names, lengths, strict=True) if met >= 3), key=str.encode)
    histories, held = here.calibrating()
    assert [histories.items.row(place).tolist() for place in range(len(histories.items))] == [
        here.met.row(names.index(name)).tolist() for name in known_well
    ]
    most = 0
    for place, name in enumerate(known_well):
        part = slice(*histories.items.indptr[place : place + 2])
        user = slice(*here.met.indptr[names.index(name) :][:2])
        for mine, whole in ((histories.events, here.events), (histories.newest, here.newest), (held, here.held)):
            assert mine[part].tolist() == whole[user].tolist()
        times, mine = here.newest[user], held[part]
        count = max(1, len(mine) // 10)
        assert mine.sum() == count
        assert times[mine].min() >= times[~mine].max()
        most = max(most, count)
    assert most > 1
    assert not here.held[(lengths < 3)[here.met.row_ids()]].any()


def test_where_times_tell_no_order_users_have_different_items_held_out(spark: SparkSession) -> None:
    rows = [(f"u{user}", f"i{item}", 7) for user in range(200) for item in range(10)]
    here = LocalPairs.read(spark.createDataFrame(rows, "USER_ID string, ITEM_ID string, TIMESTAMP long"))
    counts = np.bincount(here.met.values[here.held], minlength=10)
    assert counts.sum() == 200
    assert counts.min() > 5
    assert counts.max() < 40


def test_no_interactions_are_an_error(table: DataFrame) -> None:
    with pytest.raises(DataError, match="import interactions"):
        LocalPairs.read(table.limit(0))


@pytest.mark.parametrize(
    "differing", [{"backward": 1.0}, {"backward": 0.3}, {"backward": 0.0}, {"lift": 1.5, "lift_to": 3.0, "kept": 3}]
)
def test_pairs_of_items_are_counted_here_as_they_are_by_frames(
    table: DataFrame, differing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personalize_spark.training.cooccurrence._TOGETHER", 16)
    monkeypatch.setattr("personalize_spark.training.local_cooccurrence._PLACES", 16)
    here, pairs = LocalPairs.read(table), count_pairs(table)
    closeness = Closeness(half_life=3.0, power=0.5, shrinkage=2.0, **differing)
    counted = cooccurrences(known(number_pairs(pairs, number_items(pairs))), here.items.num_rows, closeness)
    users = np.bincount(here.known().items, minlength=here.items.num_rows)
    found = cooccurrences_here(followed(here, 3.0), users, closeness)
    assert abs(found.kept() - counted.kept()).max() < 1e-6
    assert found.items.lengths.max() == counted.items.lengths.max() <= closeness.kept
    assert all((np.diff(found.scores[slice(*found.items.indptr[row : row + 2])]) <= 0).all() for row in range(20))


def test_models_of_items_learn_here_what_they_learn_from_frames(table: DataFrame) -> None:
    here = LocalPairs.read(table)
    frames = Training(
        RECIPES["aws-sims"], count_pairs(table), here.totals, Hyperparameters(rank=4), lambda: None, lambda frame: frame
    )
    ours = replace(frames, here=here)
    expected, found = train_neighbours(frames), train_neighbours(ours)
    assert expected.neighbours is not None
    assert found.neighbours is not None
    assert found.neighbours.values.tolist() == expected.neighbours.values.tolist()
    one, other = (train_item_factors(each).factors for each in (frames, ours))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other @ other.T, one @ one.T, atol=1e-5)
    for name, lists in expected.item_peers.items():
        np.testing.assert_array_equal(found.item_peers[name], lists)
