"""Interactions in this process, where they fit in its memory: what `interactions` does by frames, by numpy.

Users stand by (key, id), the order of the shards, so that a shard is a part of them; items by the UTF-8 bytes of their ids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from personalize_spark.artifacts.shards import keys_of
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.spark import collect_arrow
from personalize_spark.training.alternating import Pairs
from personalize_spark.training.fold_in import Histories
from personalize_spark.training.interactions import HELD_PART, MIN_ITEMS, Totals, no_interactions, sampled_keys, tie


@dataclass(frozen=True)
class LocalPairs:
    """All that U users did: n pairs of a user and an item.

    Attributes:
        totals: their sums.
        items: the table of `interactions.count_known`.
        ids: of users, strings (U,).
        keys: uint32 (U,), the CRC-32 of each id.
        met: by user the items, ascending.
        events: float32 (n,), how often.
        newest: int64 (n,), when last.
        held: bool (n,), whether it is held out.
    """

    totals: Totals
    items: pa.Table
    ids: pa.Array
    keys: NDArray[np.uint32]
    met: Ragged[np.int32]
    events: NDArray[np.float32]
    newest: NDArray[np.int64]
    held: NDArray[np.bool_]

    @classmethod
    def read(cls, table: DataFrame) -> LocalPairs:
        """From the frame of `interactions.read_events`.

        Raises:
            DataError: there is nothing to learn from.
        """
        rows = collect_arrow(table.select("USER_ID", "ITEM_ID", "TIMESTAMP"))
        if not rows.num_rows:
            raise no_interactions()
        users, of_users = _numbered(rows.column("USER_ID"), by_key=True)
        items, of_items = _numbered(rows.column("ITEM_ID"), by_key=False)
        times = rows.column("TIMESTAMP").to_numpy()
        del rows  # its strings are most of what is in memory by now
        totals = Totals(len(times), len(users), int((np.bincount(of_users) >= 2).sum()))
        pairs = of_users.astype(np.int64) * len(items) + of_items
        order = np.argsort(pairs)
        pairs = pairs[order]
        starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        newest, events = np.maximum.reduceat(times[order], starts), np.diff(starts, append=len(times))
        owners, met_items = np.divmod(pairs[starts], len(items))
        met = Ragged.of_lengths(np.bincount(owners, minlength=len(users)), met_items.astype(np.int32))
        keys = keys_of(users.cast(pa.binary()).to_pylist())
        counts, held = np.bincount(of_items), _held(met, newest, keys)
        known = counts - np.bincount(met.values[held], events[held], len(items)).astype(np.int64)
        table_of_items = {
            "item": np.arange(len(items), dtype=np.int32),
            "item_id": items,
            "events": counts,
            "known": known,
        }
        return cls(totals, pa.table(table_of_items), users, keys, met, events.astype(np.float32), newest, held)

    def with_nothing_held_out(self) -> LocalPairs:
        """The same for models that learn from all of it."""
        return replace(self, held=np.zeros_like(self.held), items=self.items.drop_columns(["known"]))

    def known(self) -> Pairs:
        """Those that are not held out."""
        kept = ~self.held
        owners = np.repeat(np.arange(len(self.ids), dtype=np.int32), self.met.lengths)
        return Pairs(owners[kept], self.met.values[kept], self.events[kept], (len(self.ids), self.items.num_rows))

    def known_in_order(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Int (n,) each: users, items and times of those that are not held out, in the order in which each user met the items."""
        kept = np.flatnonzero(~self.held)
        owners = self.met.row_ids()[kept]
        order = np.lexsort((self.met.values[kept], self.newest[kept], owners))
        places = kept[order]
        return owners[order], self.met.values[places], self.newest[places]

    def calibrating(self) -> tuple[Histories, NDArray[np.bool_]]:
        """All that the users that calibrate the scores did, by the bytes of their ids and numbers of items; and what of it is held out."""
        users = np.flatnonzero(np.bincount(self.met.row_ids()[self.held], minlength=len(self.ids)))
        users = users[pc.sort_indices(self.ids.take(pa.array(users)).cast(pa.binary())).to_numpy()]
        places = self.met.positions(users)
        items, kept = places.with_values(self.met.values[places.values]), places.values
        return Histories(items, self.events[kept], self.newest[kept]), self.held[kept]

    def part(self, start: int, stop: int, shard: int) -> pa.RecordBatch:
        """(shard, key, id, items, events, newest) of some users, one behind the other."""
        columns = {
            "shard": pa.array(np.full(stop - start, shard, np.int32)),
            "key": pa.array(self.keys[start:stop].astype(np.int64)),
            "id": self.ids.slice(start, stop - start),
        }
        pairs = slice(int(self.met.indptr[start]), int(self.met.indptr[stop]))
        ends = pa.array((self.met.indptr[start : stop + 1] - self.met.indptr[start]).astype(np.int32))
        values: dict[str, NDArray[Any]] = {"items": self.met.values, "events": self.events, "newest": self.newest}
        lists = {name: pa.ListArray.from_arrays(ends, pa.array(column[pairs])) for name, column in values.items()}
        return pa.RecordBatch.from_pydict(columns | lists)


def _numbered(column: pa.ChunkedArray, *, by_key: bool) -> tuple[pa.Array, NDArray[np.int32]]:
    """The different ids by their bytes, or by their key and then these; and int32 (n,), the place of each row's id."""
    chunks = column.dictionary_encode().chunks  # they share the last one's dictionary
    ids = chunks[-1].dictionary
    raw = ids.cast(pa.binary())
    columns = {"key": keys_of(raw.to_pylist())} if by_key else {}
    order = pc.sort_indices(pa.table({**columns, "id": raw}), [(name, "ascending") for name in (*columns, "id")])
    places = np.empty(len(ids), np.int32)
    places[order.to_numpy()] = np.arange(len(ids), dtype=np.int32)
    return ids.take(order), places[np.concatenate([chunk.indices.to_numpy() for chunk in chunks])]


def _held(met: Ragged[np.int32], newest: NDArray[np.int64], keys: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """See `interactions.number_pairs`."""
    held, eligible = np.zeros(len(newest), bool), met.lengths >= MIN_ITEMS
    for user in np.flatnonzero(eligible & (keys < sampled_keys(int(eligible.sum())))).tolist():
        first, end = met.indptr[user : user + 2]
        ties = tie(met.values[first:end].astype(np.int64), keys[user].astype(np.int64))
        in_order = np.lexsort((ties, newest[first:end]))
        held[first + in_order[-max(1, len(in_order) // HELD_PART) :]] = True
    return held
