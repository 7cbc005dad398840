"""Neighbours, factors and words of items; what lies behind each is in docs/recipes.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from personalize_spark.errors import DataError
from personalize_spark.training.cooccurrence import Closeness, Cooccurrences, cooccurrences
from personalize_spark.training.factors import Factors
from personalize_spark.training.interactions import collect_items, number_items
from personalize_spark.training.local_cooccurrence import cooccurrences_here, followed
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.lsa import embed, factors_of, tf_idf
from personalize_spark.training.peers import item_peer_lists
from personalize_spark.training.training import Training

_CLOSENESS = Closeness(half_life=20.0, power=0.3, shrinkage=5.0)
_NEXT = replace(_CLOSENESS, backward=0.7)
_TAG_SHARE, _TAG_WEIGHT = 4, 0.3
_MAX_TAGS, _MAX_WORDS = 20_000, 4_096


def train_neighbours(training: Training) -> Factors:
    """For each item the items that the same users met soon after it, or before it, which counts less."""
    items, pairs, met = _met(training, _NEXT)
    peers = item_peer_lists(pairs, np.arange(items.num_rows), items.num_rows)
    return Factors(items, neighbours=met.items, item_peers=peers)


def train_item_factors(training: Training) -> Factors:
    """Factors of what `train_neighbours` counts, whatever the direction, and the items' categories."""
    learned, pairs, met = _met(training, _CLOSENESS)
    rank = training.hyperparameters.rank
    values, vectors = factors_of(met.symmetric(), 2 * rank - rank // _TAG_SHARE)
    factors = vectors * np.sqrt(values)
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    scale = np.sqrt(np.mean(np.sqrt(lengths[lengths > 0]))) if len(values) else 1.0
    factors = factors / np.maximum(lengths, np.finfo(float).tiny) ** 0.75 / scale
    metadata = training.metadata()
    items = _all_items(learned, [] if metadata is None else metadata.ids)
    wide = np.zeros((items.num_rows, factors.shape[1] + rank // _TAG_SHARE), np.float32)
    places = _places(items, learned.column("item_id").to_pylist())
    wide[places, : factors.shape[1]] = factors
    if metadata is not None:
        tags = embed(tf_idf(list(metadata.tags()), _MAX_TAGS), rank // _TAG_SHARE)
        wide[_places(items, metadata.ids), factors.shape[1] :] = np.sqrt(_TAG_WEIGHT) * tags
    peers = item_peer_lists(pairs, places, items.num_rows)
    return Factors(items, wide, queries=wide, item_peers=peers)


def train_words(training: Training) -> Factors:
    """The words of the items' names and texts.

    Raises:
        DataError: no item is described.
    """
    metadata = training.metadata()
    if metadata is None or not metadata.has_text:
        raise DataError('aws-semantic-similarity needs an Items dataset with a field that is "textual": true.')
    words = tf_idf(list(metadata.words()), _MAX_WORDS)
    vectors = embed(words, max(1, training.hyperparameters.rank - 2))
    described = np.flatnonzero(vectors.any(axis=1))
    if not len(described):
        raise DataError(
            "aws-semantic-similarity finds no word that some items have and others have not, so the texts cannot tell which items are similar."
        )
    learned = collect_items(number_items(training.pairs))
    everything = _all_items(learned, metadata.ids)
    items = everything.take(pa.array(_places(everything, metadata.ids)[described]))
    created = metadata.created()
    counts = items.column("events").to_numpy()
    columns = [_percentiles(counts), _percentiles(np.zeros(len(counts)) if created is None else created[described])]
    factors = np.column_stack([vectors[described], *columns]).astype(np.float32)
    queries = factors.copy()
    queries[:, -2:] = 0
    return Factors(items, factors, queries=queries)


def _met(training: Training, closeness: Closeness) -> tuple[pa.Table, DataFrame | LocalPairs, Cooccurrences]:
    """The items, the pairs, none of which is held out, and what was counted of them."""
    items, pairs = training.source
    if isinstance(pairs, LocalPairs):
        pairs = pairs.with_nothing_held_out()
        users = np.bincount(pairs.met.values, minlength=items.num_rows)
        return items, pairs, cooccurrences_here(followed(pairs, closeness.half_life), users, closeness)
    return items, pairs, cooccurrences(pairs.select("user", "item", "newest"), items.num_rows, closeness)


def _all_items(learned: pa.Table, ids: Sequence[str]) -> pa.Table:
    """(item_id, events) of the items of both datasets, by ascending id; 0 events where nobody has met an item."""
    others = pa.array(ids, pa.string())
    new = pc.filter(others, pc.invert(pc.is_in(others, learned.column("item_id"))))
    rows = pa.table({"item_id": new, "events": pa.array(np.zeros(len(new), np.int64))})
    both = pa.concat_tables([learned.select(["item_id", "events"]), rows])
    key = both.column("item_id").cast(pa.binary())
    return both.append_column("key", key).sort_by("key").drop_columns(["key"])


def _places(items: pa.Table, ids: Sequence[str]) -> NDArray[np.int64]:
    """int64 (n,): the row of each id."""
    found: NDArray[np.int64] = pc.index_in(
        pa.array(ids, pa.string()), items.column("item_id").combine_chunks()
    ).to_numpy()
    return found.astype(np.int64)


def _percentiles(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Float64 (n,) in [0, 1]: the share of the others that are smaller; one outlier does not press all others together."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values) / max(1, len(values) - 1)
