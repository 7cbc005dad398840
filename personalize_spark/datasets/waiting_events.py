"""Events that wait for Spark count for filters at once: the view is copied, and the shards of their users are written anew.

What an import would change besides, such as the counts of items, new items and attributes, waits for the import.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from personalize_spark.artifacts.artifact import Artifact, Entry, Pinned, finish, write_table
from personalize_spark.artifacts.shards import USERS, Shards, keys_of, shard_name
from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.datasets.puts import Puts
from personalize_spark.errors import ObjectNotFound, ResourceInUseException, StorageError
from personalize_spark.schemas import EVENT_TYPE, INTERACTIONS
from personalize_spark.storage.store import Store

HISTORY = 100
"""Newest interactions per user and event type that filters see, unless an import has said otherwise: the service's quota."""
KEPT = "filterHistory"
"""How many they are, in the record of a dataset group and in the properties of a view."""
_SEEN = "puts"
"""The property of a view that names the files of events that it has."""
_COPIERS, _ATTEMPTS = 16, 3
_PARTS = ("times", "items", "events")

Event = tuple[int, int, int]
"""The time, the row of the item, the number of the event type."""

_log = logging.getLogger(__name__)


def see_waiting_events(catalog: Catalog, group: Record) -> Record:
    """The dataset group with a view that has all events that were put, as far as they are of items that the view knows."""
    for _ in range(_ATTEMPTS):
        try:
            _see(catalog, group)
        except (ObjectNotFound, ResourceInUseException):  # somebody takes them in at this moment
            group = catalog.read(group.arn)
        except StorageError as error:
            _log.warning("Filters do not see what was put into %s: %s", group.arn, error.message)
            break
        else:
            break
    return group


def _see(catalog: Catalog, group: Record) -> None:
    puts = Puts(catalog, group.arn, INTERACTIONS)
    if "view" not in group.fields or not (names := puts.names()):
        return
    view = Pinned(**group.fields["view"]).open()
    if new := sorted({*names} - {*view.properties.get(_SEEN, ())}):
        store = catalog.store.at(f"views/{group.arn.name}/{secrets.token_hex(4)}")
        pinned = _with_events(view, puts.rows(new), store, {_SEEN: names})
        catalog.update(group, view=asdict(pinned))


def _with_events(view: Artifact, rows: Sequence[Fields], store: Store, seen: Fields) -> Pinned:
    types: list[str] = view.properties["eventTypes"]
    types = [*types, *sorted({row.get(EVENT_TYPE) or "" for row in rows} - {*types})]
    events = _by_user(rows, view.table("items").column("id"), types)
    users = list(events)
    written, added, most = [], 0, view.properties.get(KEPT, HISTORY)
    for shard, positions in Shards(view, USERS).split(users):
        table = view.table(shard_name(USERS, shard))
        changed = _changed(table, {users[each]: events[users[each]] for each in positions.tolist()}, most)
        added += changed.num_rows - table.num_rows
        written.append(write_table(store, shard_name(USERS, shard), changed))
    there = {entry.name for entry in written}
    entries = [*written, *_copied(view, store, (each for name, each in view.entries.items() if name not in there))]
    counts = {"users": view.properties["users"] + added}
    return finish(store, entries, {**view.properties, **counts, **seen, "eventTypes": types})


def _by_user(rows: Sequence[Fields], items: pa.Array, types: Sequence[str]) -> Mapping[bytes, list[Event]]:
    """The events of items of the view, by the id of their user."""
    found = pc.index_in(pa.array([row["ITEM_ID"].encode() for row in rows], pa.binary()), items).to_pylist()
    codes = {name: code for code, name in enumerate(types)}
    events: dict[bytes, list[Event]] = defaultdict(list)
    for row, item in zip(rows, found, strict=True):
        if item is not None:
            events[row["USER_ID"].encode()].append((row["TIMESTAMP"], item, codes[row.get(EVENT_TYPE) or ""]))
    return events


def _changed(table: pa.RecordBatch, events: Mapping[bytes, list[Event]], most: int) -> pa.RecordBatch:
    """A shard in which the histories of users have more events; a new user has no attributes."""
    wanted = pa.array(list(events), pa.binary())
    old = pc.is_in(table.column("id"), wanted)
    known = {row["id"]: row for row in table.filter(old).to_pylist()}
    keys = keys_of(list(events)).tolist()
    rows = [
        {**known.get(user, {}), "key": key, "id": user, **_history(known.get(user), new, most)}
        for key, (user, new) in zip(keys, events.items(), strict=True)
    ]
    batches = [table.filter(pc.invert(old)), pa.RecordBatch.from_pylist(rows, table.schema)]
    whole = pa.Table.from_batches(batches).sort_by([("key", "ascending"), ("id", "ascending")]).combine_chunks()
    [batch] = whole.to_batches()
    return batch


def _history(row: Fields | None, new: list[Event], most: int) -> Fields:
    """The newest of each event type, so many at most, the newest first, ties by item, as an import has them."""
    old = list(zip(*(row[f"history_{part}"] for part in _PARTS), strict=True)) if row else []
    kept, of_type = [], Counter[int]()
    for event in sorted([*old, *new], key=lambda event: (-event[0], *event[1:])):
        of_type[event[2]] += 1
        if of_type[event[2]] <= most:
            kept.append(event)
    return {f"history_{part}": [event[place] for event in kept] for place, part in enumerate(_PARTS)}


def _copied(view: Artifact, store: Store, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Files of a view in another one; the storage copies them, but for those that its list does not show yet."""
    there = {each.name: each for each in view.store.list()}

    def copy(entry: Entry) -> Entry:
        if found := there.get(entry.name):
            store.compose(entry.name, view.store, [found])
        else:
            store.write(entry.name, view.store.read(entry.name))
        return entry

    with ThreadPoolExecutor(_COPIERS) as copiers:
        yield from copiers.map(copy, entries)
