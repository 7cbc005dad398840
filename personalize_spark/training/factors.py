"""What every trainer and every importer gives: all that a solution version's model is written from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.fold_in import FoldIn
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.temperature import Scale, ScaleFit


@dataclass(frozen=True)
class Choices:
    """Users, and the item that each of them chose.

    Attributes:
        vectors: float32 (H, d).
        items: int64 (H,), numbers of items.
    """

    vectors: NDArray[np.float32]
    items: NDArray[np.int64]


@dataclass(frozen=True)
class Leads:
    """What items lead to, see `scoring.sparse`; numbers of items on both sides.

    Attributes:
        items: by item, those that it leads to.
        weights: float32 (m,), parallel to their values, above 0.
        decay: float32 (K,), above 0: what a user's k-th newest item counts.
    """

    items: Ragged[np.int32]
    weights: NDArray[np.float32]
    decay: NDArray[np.float32]


@dataclass(frozen=True)
class UserSource:
    """Where the vectors of users come from: they are known, or folded in from what the users did.

    Attributes:
        rows: (user_id string, vector array<float>), a row a user; or, with `fold_in`, (user_id, item, events, newest), all
            that the users did, and `held`, see `interactions`, where the scale is to be fitted; or all of that in this process.
        count: how many users there are.
        fold_in: makes the fold-in from the items' factors, in the order in which they are written.
        choices: what the scale of known vectors is fitted to; `None`: the temperature is 1.
    """

    rows: DataFrame | LocalPairs
    count: int
    fold_in: Callable[[NDArray[np.float32]], FoldIn] | None = None
    choices: Choices | None = None


@dataclass(frozen=True)
class Factors:
    """A model, as it was learned or loaded. An item's number is its rank by the UTF-8 bytes of its id; I items.

    Attributes:
        items: the table (item_id, events) by number; events are the item's interactions. With `known`, those that are not held
            out, if any are.
        factors: float32 (I, d), by number; `None` where the recipe reads no factors.
        queries: float32 (I, d), by number: what the product with other items' factors compares; where there are users too,
            what their vectors are folded in from. `None`: the factors.
        leads: in the place of factors; `None` where the recipe reads factors or nothing.
        neighbours: by number, the numbers of the items like it, best first.
        item_peers: by name, int32 (I, 25), by number, the numbers of what a simple model has beside each item, -1 past the end.
        users: where their vectors come from; `None` where the recipe reads none.
        sample: float32 (any number, d), vectors like those that will be asked with, from which the search learns its bounds;
            `None`: the queries of the most popular items.
        popular: the items' popularity joins the exponents, see `temperature`; it becomes a last column of the factors.
        fitted: the scale, fitted to what was held out; `None`: it is still to be fitted.
        twin: the same without what is held out, by which it is measured; `None`: it has not learned that itself.
        scored: how many items of a user have a score; `None`: all.
        scale: of the scores; `None`: it is fitted to what users chose.
        properties: what the manifest says besides.
        notes: what was found and done that a person should know.
    """

    items: pa.Table
    factors: NDArray[np.float32] | None = None
    queries: NDArray[np.float32] | None = None
    leads: Leads | None = None
    neighbours: Ragged[np.int32] | None = None
    item_peers: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    users: UserSource | None = None
    sample: NDArray[np.float32] | None = None
    popular: bool = False
    fitted: ScaleFit | None = None
    twin: Factors | None = None
    scored: int | None = None
    scale: Scale | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def counts(self) -> NDArray[np.int64]:
        """int64 (I,): the interactions of each item."""
        counts: NDArray[np.int64] = self.items.column("events").to_numpy()
        return counts

    def known(self) -> NDArray[np.int64]:
        """int64 (I,): the interactions of each item that are not held out."""
        known: NDArray[np.int64] = (
            self.items.column("known").to_numpy() if "known" in self.items.column_names else self.counts()
        )
        return known

    def prior(self) -> NDArray[np.float64]:
        """float64 (I,): ``log(1 + n)`` of these."""
        prior: NDArray[np.float64] = np.log1p(self.known())
        return prior
