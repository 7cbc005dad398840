"""Items that the same users met one soon after the other.

The items of a user stand in the order in which the user last met them. For items i and j, which n_i and n_j users met,

    d_ij = sum over users who met both of w 2^-(gap / half_life)      gap: places between them, at most 64
    s_ij = d_ij / ((n_i n_j)^power + shrinkage)          or, with a `lift`,
    s_ij = d_ij / ((1 + d_i / (lift d)) (1 + d_j / (lift_to d)))          d_i: sum over j of d_ij; d: the mean of these

where w is 1 if j followed i, `backward` if j came before i, and between the two if both came at once.

The denominator corrects for popularity; with power 0.5 and without gaps it is the cosine of binary vectors, with the shrinkage
of Bell and Koren ("Lessons from the Netflix Prize Challenge", 2007). The second form is BM25's, with all that an item goes with in the
place of its users: an item of users who met much goes with much by chance. Measurements are in docs/decisions/0007-models.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812  # as all of Spark's documents do

if TYPE_CHECKING:
    from scipy.sparse import csr_array

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.spark import collect_arrow
from personalize_spark.training.row_products import row_products

KEPT = 500
"""Items that are kept for each item, those with the largest s."""
GAP = 64
_COMPANY = 50
_TOGETHER = 1 << 14
"""Items whose pairs with later ones are counted together: some 100 MiB, however many a user has."""
UNIT = 1 << 20
"""Weights are added as integers: their sum does not depend on the order."""


@dataclass(frozen=True)
class Closeness:
    """The constants of s; `half_life` in places. With `backward` 1 the direction does not count; `kept` items have an s at most."""

    half_life: float
    power: float
    shrinkage: float
    backward: float = 1.0
    lift: float = 0.0
    lift_to: float = 0.0
    kept: int = KEPT

    def divisors(self, one: Any, other: Any, mean: Any) -> Any:
        """What d is divided by, of columns or arrays: n_i, n_j, and their mean; with a lift of d_i."""
        if self.lift:
            return (1 + one / (self.lift * mean)) * (1 + other / (self.lift_to * mean))
        return (one * other) ** self.power + self.shrinkage


@dataclass(frozen=True)
class Cooccurrences:
    """For each of I items others, best first, and the `scores` of these, (m,)."""

    items: Ragged[np.int32]
    scores: NDArray[np.floating[Any]]

    def kept(self) -> csr_array:
        """All s that are kept, as a sparse float64 (I, I): row i has what i leads to."""
        from scipy.sparse import csr_array

        count = len(self.items)
        scores = self.scores.astype(np.float64)
        return csr_array((scores, self.items.values, self.items.indptr), shape=(count, count))

    def symmetric(self) -> csr_array:
        """The same, with what either item of a pair keeps."""
        kept = self.kept()
        return kept.maximum(kept.T)

    def agreeing(self, power: float) -> Cooccurrences:
        """The same lists in the same order, each s times a power of the cosine of both items' best 50, without what has no company in common.

        It takes some 40 bytes for each item of a list, beside what `row_products` takes: of 200,000 items with 100 each 1 GB.
        """
        best = self.items.place_in_row() < _COMPANY
        unit = Cooccurrences(self.items.where(best), self.scores[best]).kept()
        lengths = np.sqrt(np.maximum((unit * unit).sum(axis=1), np.finfo(np.float64).tiny))
        unit.data *= np.repeat(1 / lengths, np.diff(unit.indptr))
        cosines = row_products(unit, self.items)
        found = cosines > 0
        return Cooccurrences(self.items.where(found), self.scores[found] * cosines[found] ** power)


def cooccurrences(pairs: DataFrame, items: int, closeness: Closeness) -> Cooccurrences:
    """Count, by Spark.

    Tasks hold some 100 MiB beside the histories of a batch, and the driver some 30 bytes for each item that is kept beside another:
    of 200,000 items with 500 each 3 GB.

    Args:
        pairs: with the columns user, item and newest.
        items: how many there are.
        closeness: the constants.
    """
    history = F.sort_array(F.collect_list(F.struct("newest", "item"))).alias("history")
    histories = pairs.groupBy("user").agg(history).select("history.item", "history.newest")
    counted = histories.mapInArrow(partial(_count, closeness), "one int, other int, weight long")
    both = counted.groupBy("one", "other").agg((F.sum("weight") / UNIT).alias("weight"))
    if closeness.lift:
        sizes = counted.groupBy(F.col("one").alias("item")).agg((F.sum("weight") / UNIT).alias("size"))
        mean = collect_arrow(sizes.agg(F.avg("size").alias("mean"))).column("mean")[0].as_py()
    else:
        sizes, mean = pairs.groupBy("item").agg(F.count("*").alias("size")), None
    for side in ("one", "other"):
        both = both.join(sizes.select(F.col("item").alias(side), F.col("size").alias(f"size_{side}")), side)
    score = F.col("weight") / closeness.divisors(F.col("size_one"), F.col("size_other"), mean)
    best = Window.partitionBy("one").orderBy(F.desc("score"), "other")
    ranked = both.select("one", "other", score.alias("score")).withColumn("place", F.row_number().over(best))
    entries = F.sort_array(F.collect_list(F.struct("place", "other", "score"))).alias("entries")
    lists = ranked.where(F.col("place") <= closeness.kept).groupBy("one").agg(entries)
    table = collect_arrow(lists.select("one", "entries.other", "entries.score")).sort_by("one")
    lengths = np.zeros(items, np.int64)
    lengths[table.column("one").to_numpy()] = pc.list_value_length(table.column("other")).to_numpy()
    others, scores = (pc.list_flatten(table.column(name)).to_numpy() for name in ("other", "score"))
    return Cooccurrences(Ragged.of_lengths(lengths, others), scores)


def _count(closeness: Closeness, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The pairs of some users' items, both ways, and their weights."""
    for batch in batches:
        items, newest = (batch.column(name).flatten().to_numpy().astype(np.int64) for name in ("item", "newest"))
        users = batch.column("item").value_parent_indices().to_numpy()
        for part in _parts_of(users):
            keys, sums = [items[:0]], [items[:0]]
            for gap, first in _gaps(users, part):
                one, other, at_once = items[first], items[first + gap], newest[first] == newest[first + gap]
                keys += one << 32 | other, other << 32 | one
                sums += _weights(closeness, gap, at_once)
            found, places = np.unique(np.concatenate(keys), return_inverse=True)
            totals = np.zeros(len(found), np.int64)
            np.add.at(totals, places, np.concatenate(sums))
            columns = [(found >> 32).astype(np.int32), (found & 0xFFFFFFFF).astype(np.int32), totals]
            yield pa.RecordBatch.from_arrays([pa.array(each) for each in columns], ["one", "other", "weight"])


def _parts_of(users: NDArray[np.integer[Any]]) -> Iterator[slice]:
    """Where the first items of pairs stand that are counted together, see `gaps`."""
    for start in range(0, len(users), _TOGETHER):
        yield slice(start, min(start + _TOGETHER, len(users)))


def _gaps(users: NDArray[np.integer[Any]], part: slice) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each number of places that two items of a user lie apart, 64 at most, and where the first of them stand.

    Args:
        users: of each item the user; those of one user lie side by side, in the order in which the items were met.
        part: of these places alone.
    """
    for gap in range(1, GAP + 1):
        later = users[part.start + gap : part.stop + gap]
        first = np.flatnonzero(users[part.start : part.start + len(later)] == later)
        if not len(first):
            return
        yield gap, part.start + first


def _weights(closeness: Closeness, gap: int, at_once: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64 (n,), in units: what pairs with this gap add to the way forward and to the way back."""
    weight, back = UNIT * 0.5 ** (gap / closeness.half_life), closeness.backward
    forward, backward = (np.where(at_once, (1 + back) / 2, each) for each in (1.0, back))
    return np.rint(weight * forward).astype(np.int64), np.rint(weight * backward).astype(np.int64)
