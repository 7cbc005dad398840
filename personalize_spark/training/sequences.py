"""What a user's newest items lead to.

The lists of `cooccurrence`, in which what follows counts more than what came before, are the model: a user is the list of the newest
items, and what these say of an item, the newest one loudest, is added up when a line is answered, see `scoring.sparse`. The items'
popularity joins it, see `temperature`.

A training may choose among other forms (`solutions.tuning`): lists that look back as far as ahead, or only at what is near; longer
memories of users; and the lists factorised, ``s = U diag(l) V'``: a user's vector adds up the rows of U of the newest items
(`fold_in.RecentFoldIn`), an item's factors are its row of ``V diag(l)``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TypeVar

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from personalize_spark.errors import DataError
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.training.cooccurrence import KEPT, Closeness, Cooccurrences, cooccurrences
from personalize_spark.training.factors import Factors, Leads, UserSource
from personalize_spark.training.fold_in import NewestFoldIn, RecentFoldIn
from personalize_spark.training.interactions import known
from personalize_spark.training.local_cooccurrence import cooccurrences_here, followed
from personalize_spark.training.local_pairs import LocalPairs
from personalize_spark.training.lsa import singular
from personalize_spark.training.training import Training

K = TypeVar("K")
V = TypeVar("V")

_log = logging.getLogger(__name__)

_CLOSENESS = Closeness(half_life=10.0, power=0.5, shrinkage=5.0, backward=0.3)
_MEMORIES, _MOST, _TERMS = 10, 100, 25_000
"""Items of a user that count: those that count at least 2^-10 of the newest one, at most 100, and no more than have so many terms."""


@dataclass(frozen=True)
class SequenceForm:
    """What a candidate is.

    Attributes:
        memory: after how many items of a user one counts half.
        half_life: of a pair, in places between its items.
        backward: what came before counts so much of what followed.
        rank: of the factors; 0: the lists as they are.
        lift: of the closeness; 0: its power and shrinkage.
        lift_to: the same, of the items in a list.
        agreement: the power of the agreement of two items' lists that counts.
        kept: items in a list.
    """

    memory: float = 3.0
    half_life: float = _CLOSENESS.half_life
    backward: float = _CLOSENESS.backward
    rank: int = 0
    lift: float = 0.0
    lift_to: float = 0.0
    agreement: float = 0.0
    kept: int = KEPT


_LONG = SequenceForm(memory=50.0, backward=1.0, lift=1.0, kept=100)
IN_GENERAL = replace(_LONG, lift_to=2.0, agreement=0.8)
"""What a user likes, whatever came first: what goes together more often than chance explains, in the same company."""
BROAD = replace(_LONG, lift_to=4.0, agreement=0.3)
"""The same where much that is popular belongs to it."""


def forms(rank: int) -> list[SequenceForm]:
    """The candidates, the most promising ones first: three that differ, and then all; `rank` is that of the lowest factors."""
    kinds = [SequenceForm(3.0, *each) for each in product((10.0, 5.0, 20.0), (0.3, 1.0), (0, 4 * rank, rank))]
    ordered = sorted(kinds, key=lambda form: (form.backward, form.rank and 1 / form.rank))
    everything = [replace(form, memory=memory) for memory in (3.0, 1.5, 10.0) for form in ordered]
    return list(dict.fromkeys([SequenceForm(), IN_GENERAL, BROAD, *everything]))


def train_sequences(training: Training) -> Factors:
    """Count what follows what."""
    return next(train_forms(training, [SequenceForm()]))


def train_forms(
    training: Training, wanted: list[SequenceForm], source: tuple[pa.Table, DataFrame | LocalPairs] | None = None
) -> Iterator[Factors]:
    """A model of each form that there is one of, one after the other; those that count alike share their counts.

    Args:
        training: the training.
        wanted: the forms.
        source: what is learned from in the place of the training's.
    """
    items, pairs = source or training.source
    count = _counter(pairs, items.num_rows, [_closeness(form) for form in wanted])
    for form in wanted:
        base = Factors(
            items,
            popular=True,
            scored=training.recipe.scored,
            properties={"hyperparameters": asdict(training.hyperparameters), "form": asdict(form)},
        )
        users = UserSource(pairs, training.totals.users)
        try:
            factors = (_factorised if form.rank else _lists)(base, users, form, count(_closeness(form)))
        except DataError as error:
            _log.warning("A candidate is left out. %s", error)
        else:
            yield factors
            del factors  # whoever wants it has it


def _closeness(form: SequenceForm) -> Closeness:
    shared = {name: getattr(form, name) for name in ("half_life", "backward", "lift", "lift_to", "kept")}
    return replace(_CLOSENESS, **shared)


def _counter(
    pairs: DataFrame | LocalPairs, items: int, wanted: list[Closeness]
) -> Callable[[Closeness], Cooccurrences]:
    """Counts, and keeps what it has counted for as long as it is wanted."""
    if not isinstance(pairs, LocalPairs):
        return _cached_while_wanted(lambda closeness: cooccurrences(known(pairs), items, closeness), wanted)
    counted = [closeness.half_life for closeness in dict.fromkeys(wanted)]
    weights = _cached_while_wanted(lambda half_life: followed(pairs, half_life), counted)
    users = np.bincount(pairs.known().items, minlength=items)
    return _cached_while_wanted(
        lambda closeness: cooccurrences_here(weights(closeness.half_life), users, closeness), wanted
    )


def _cached_while_wanted(make: Callable[[K], V], wanted: list[K]) -> Callable[[K], V]:
    """Makes each value once; `wanted` names those of all calls."""
    left, cached = Counter(wanted), dict[K, V]()

    def get(key: K) -> V:
        value = cached.pop(key) if key in cached else make(key)
        left[key] -= 1
        if left[key]:
            cached[key] = value
        return value

    return get


def popularity_alone(training: Training) -> Factors:
    """The simplest model of this kind: nothing leads anywhere."""
    items, pairs = training.source
    nothing = Cooccurrences(Ragged(np.zeros(items.num_rows + 1, np.int64), np.empty(0, np.int32)), np.empty(0))
    base = Factors(items, popular=True, scored=training.recipe.scored, properties={"form": "popularity"})
    return _lists(base, UserSource(pairs, training.totals.users), SequenceForm(), nothing)


def _lists(base: Factors, users: UserSource, form: SequenceForm, counted: Cooccurrences) -> Factors:
    newest = min(_MOST, round(_MEMORIES * form.memory), _TERMS // form.kept)
    decay = (0.5 ** (np.arange(newest) / form.memory)).astype(np.float32)
    counted = counted.agreeing(form.agreement) if form.agreement else counted
    leads = Leads(counted.items, counted.scores.astype(np.float32, copy=False), decay)
    return replace(base, leads=leads, users=replace(users, fold_in=lambda _: NewestFoldIn(newest)))


def _factorised(base: Factors, users: UserSource, form: SequenceForm, counted: Cooccurrences) -> Factors:
    left, values, right = singular(counted.kept(), form.rank)
    factors, queries = (right * values).astype(np.float32), left.astype(np.float32)
    return replace(
        base, factors=factors, queries=queries, users=replace(users, fold_in=lambda _: RecentFoldIn(form.memory))
    )
