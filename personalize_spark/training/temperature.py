"""Scores that are probabilities: how much the products of the vectors say of what users do next, and how much the items' popularity does.

The exponent of user u and item i is ``t w_u . w_i + a log(1 + n_i)``, of the n_i interactions of the item. The temperature t > 0 and
the share a >= 0 are those under which the softmax over all items explains held-out interactions best. The mean loss
``log sum_j exp(e_uj) - e_u*``, where e_u* is the mean over what was held out of the user, is convex in both, and at t = 0, a = 1 it is that of popularity with one more interaction an
item. The search starts beside that point and only descends, so the scores never explain less than popularity does (by more than 1e-5 nats, which t > 0 costs).

Where users are lists of items, the exponent is then bent, `scoring.curve`: `fit_bend`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.curve import Curve
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.sparse import SparseItems
from personalize_spark.scoring.topn import Items, products_of
from personalize_spark.training.moments import listed_moments, moments
from personalize_spark.training.threads import all_cores

_USERS = 128
_TILE_ITEMS = 1 << 11
"""A tile of float64 products has 2 MiB."""
_LOWEST, _HIGHEST = 1e-5, 1e4
"""In units of 1 / (standard deviation of the products): below, products say nothing; above, they say everything."""
_TOLERANCE = 1e-7
"""Of the slopes, in nats."""
_BENDING, _POWER, _REACH, _ENOUGH = 800, 3.0, 12.0, 1e-6
"""So many users tell the bend; where its search starts, how far it goes, in logarithms, and when it ends."""


@dataclass(frozen=True)
class Scale:
    """How products become scores.

    Attributes:
        temperature: t > 0.
        popularity: the share a >= 0.
        bend: see `scoring.curve`; the order stays.
    """

    temperature: float
    popularity: float = 0.0
    bend: float = 0.0

    @property
    def curve(self) -> Curve:
        """How products become exponents."""
        return Curve(self.temperature, self.bend)


@dataclass(frozen=True)
class ScaleFit:
    """A fitted scale, and the mean loss in nats of the held-out interactions under it."""

    scale: Scale
    log_loss: float


Fit = Callable[[float | None], ScaleFit]
"""Fits the scale; of popularity's share and the temperature with a given ratio, if there is one."""


def fit_scale(
    users: NDArray[np.float32],
    targets: Ragged[np.int32],
    items: NDArray[np.float32],
    prior: NDArray[np.float64] | None = None,
    ratio: float | None = None,
) -> ScaleFit:
    """Fit temperature and share by maximum likelihood, in constant memory.

    Args:
        users: float32 (H, d), learned without the targets; H >= 1.
        targets: by user the rows of ``items`` that it came to next, at least one.
        items: float32 (I, d); may be a memory map.
        prior: float64 (I,), ``log(1 + n_i)``; `None`: popularity has no share, and only the temperature is fitted.
        ratio: of popularity's share to the temperature, where that is given: the order is, and only how sharp the scores are is fitted.

    Returns:
        The optimum; where the products say nothing (or are all equal) a temperature at which they hardly count.
    """
    offsets = np.zeros(len(items)) if prior is None else prior
    loss = partial(_mean_loss, users, items, offsets, _anchors(users, targets, items, offsets))
    return _least(loss, _spread(users, items), 0.0 if prior is None else ratio)


def fit_of(users: NDArray[Any], targets: Ragged[np.int32], items: Items, prior: NDArray[np.float64] | None) -> Fit:
    """The fit over either kind of item side."""
    if isinstance(items, SparseItems):
        return sparse_fit(users, targets, items, np.zeros(len(items)) if prior is None else prior)
    return partial(fit_scale, users, targets, items.factors, prior)


def sparse_fit(
    users: NDArray[np.int32], targets: Ragged[np.int32], items: SparseItems, prior: NDArray[np.float64]
) -> Fit:
    """The same for sparse items, whose own share of popularity is 0: int32 (H, K), H rows, I items, float64 (I,).

    What a user's items lead to is added up once, for fits of all ratios.
    """
    parts = _parts(users, targets, items)
    variances = [each.variances(len(items)) for each in parts]
    spread = float(np.sqrt(max(0.0, np.concatenate(variances).mean())))
    return partial(_least, partial(_straight_loss, parts, prior), spread)


def fit_bend(
    users: NDArray[np.int32],
    targets: Ragged[np.int32],
    items: SparseItems,
    prior: NDArray[np.float64],
    fit: ScaleFit,
) -> ScaleFit:
    """Bend a fitted scale, see `scoring.curve`, where that explains more than a parameter explains by chance; no order changes.

    The exponential of a product multiplies the odds with each item that leads somewhere, where in fact they are added to: a straight
    scale is a compromise between scores too high at the top and too low below.

    Args:
        users: see `sparse_fit`.
        targets: see there.
        items: see there.
        prior: see there.
        fit: what was fitted to them.
    """
    from scipy.optimize import minimize

    scale, parts = fit.scale, _parts(users, targets, items)
    if not any(len(each.products) for each in parts):
        return fit
    some = list(islice(parts, 1 + int(np.searchsorted(np.cumsum([len(each.targets) for each in parts]), _BENDING))))
    ratio = scale.popularity / scale.temperature

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, *slopes = _sparse_loss(some, prior, _bent(point, ratio), pool)
        return value, np.array(slopes)

    start = np.log([_POWER / scale.temperature, _POWER])
    bounds = [(each - _REACH, each + _REACH) for each in start.tolist()]
    with all_cores() as pool:
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": _ENOUGH})
        log_loss = _sparse_loss(parts, prior, _bent(found.x, ratio), pool)[0]
    c, g = np.exp(found.x).tolist()
    if (fit.log_loss - log_loss) * len(targets) <= 1.0:
        return fit
    return ScaleFit(Scale(g / c, ratio * g / c, 1 / g), log_loss)


def _parts(users: NDArray[np.int32], targets: Ragged[np.int32], items: SparseItems) -> list[_Sums]:
    chosen = targets.with_values(products_of(users, targets.row_ids(), items, targets.values.astype(np.int64)))

    def added(some: slice) -> list[_Sums]:
        own, wanted = chosen.part(some), targets.part(some)
        return [_Sums(found, sums, own.part(rows), wanted.part(rows)) for rows, found, sums in items.sums(users[some])]

    with all_cores() as pool:
        return [*chain.from_iterable(pool.map(added, _some(len(users))))]


def _least(loss_of: Callable[[Scale, ThreadPoolExecutor], list[float]], spread: float, given: float | None) -> ScaleFit:
    """The scale with the least loss; of those with the given ratio of share and temperature, if there is one."""
    from scipy.optimize import minimize

    unit = 1.0 / spread if spread > 0 else 1.0
    turns = np.diag([unit, 1.0]) if given is None else unit * np.array([[1.0, given]])  # a point becomes a scale

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, *slopes = loss_of(scale(point), pool)
        return value, turns @ slopes

    def scale(point: NDArray[np.float64]) -> Scale:
        return Scale(*(point @ turns).tolist())

    start = [_LOWEST, 1.0] if given is None else [1.0 / max(1.0, given * unit)]
    bounds = [(_LOWEST, _HIGHEST), (0.0, None)][: len(start)]
    if spread <= 0:
        start[0], bounds[0] = 1.0, (1.0, 1.0)
    options = {"ftol": 0.0, "gtol": _TOLERANCE}
    with all_cores() as pool:
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return ScaleFit(scale(found.x), float(found.fun))


@dataclass(frozen=True)
class _Sums:
    """Of some users the items whose products are not 0, and these products; and the targets' own products, and the targets."""

    items: Ragged[np.int32]
    products: NDArray[np.float64]
    chosen: Ragged[np.float64]
    targets: Ragged[np.int32]

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """int64 (m,): the place of the user of each product."""
        return self.items.row_ids()

    @cached_property
    def filled(self) -> NDArray[np.int64]:
        """int64 (u,): the places of the users who have products."""
        return np.flatnonzero(self.items.lengths)

    def by_user(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Float64 (h,): the sums of what is parallel to the products."""
        sums = np.zeros(len(self.items))
        sums[self.filled] = np.add.reduceat(values, self.items.indptr[self.filled])
        return sums

    def variances(self, count: int) -> NDArray[np.float64]:
        """Float64 (h,): of each user's products with all items, of which there are so many."""
        return self.by_user(self.products**2) / count - (self.by_user(self.products) / count) ** 2


class _Shape(Protocol):
    """Exponents, and their slopes in two parameters, of what items sum up to for users and of the logarithms of popularity, alike in shape."""

    def __call__(
        self, sums: NDArray[np.float64], prior: NDArray[np.float64], /
    ) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Float64 (m,) each."""


def _linear(scale: Scale) -> _Shape:
    """``t s + a p``, by t and a."""
    return lambda sums, prior: (scale.temperature * sums + scale.popularity * prior, (sums, prior))


def _bent(point: NDArray[np.float64], ratio: float) -> _Shape:
    """``g log(1 + v / c)``, v = s + ratio p, by log c and log g: the curve of the temperature g / c and the bend 1 / g."""
    c, g = np.exp(point).tolist()

    def shape(
        sums: NDArray[np.float64], prior: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        values = (sums + ratio * prior) / c
        more = 1 + values
        # log1p takes four times as long; its digits of what is tiny are lost in the sums of exponentials
        exponents = g * np.log(more)
        return exponents, (-g * values / more, exponents)

    return shape


def _straight_loss(
    parts: list[_Sums], prior: NDArray[np.float64], scale: Scale, pool: ThreadPoolExecutor
) -> list[float]:
    """The mean loss and its slopes in temperature and share."""
    native, base, weights = kernel(), scale.popularity * prior, (scale.temperature, scale.popularity)
    if native is None:
        return _sparse_loss(parts, prior, _linear(scale), pool)
    rest = np.exp(base - base.max())

    def of_part(part: _Sums) -> NDArray[np.float64]:
        chosen = np.stack([part.chosen.means(), part.targets.with_values(prior[part.targets.values]).means()], axis=1)
        found = listed_moments(native, part.items, part.products, weights, prior, rest)
        gaps: NDArray[np.float64] = (found - np.column_stack([chosen @ weights, chosen])).sum(axis=0)
        return gaps

    return _mean(pool.map(of_part, parts), parts)


def _sparse_loss(
    parts: list[_Sums], prior: NDArray[np.float64], shape: _Shape, pool: ThreadPoolExecutor
) -> list[float]:
    """The mean loss and its slopes: that of popularity, corrected by the products that are not 0."""
    of_all, slopes_of_all = shape(np.zeros(len(prior)), prior)
    highest = of_all.max()
    rest = np.exp(of_all - highest)

    def of_part(part: _Sums) -> NDArray[np.float64]:
        items, rows = part.items.values, part.rows
        # np.take lets other threads go on, which an index does not
        exponents, slopes = shape(part.products, prior.take(items))
        chosen, slopes_of_chosen = shape(part.chosen.values, prior[part.targets.values])
        peaks = np.full(len(part.items), highest)
        peaks[part.filled] = np.maximum(highest, np.maximum.reduceat(exponents, part.items.indptr[part.filled]))
        shift = np.exp(highest - peaks)
        weights, without = np.exp(exponents - peaks.take(rows)), rest.take(items) * shift.take(rows)
        sums = rest.sum() * shift + part.by_user(weights - without)
        found = [(peaks + np.log(sums) - part.targets.with_values(chosen).means()).sum()]
        for own, general, of_chosen in zip(slopes, slopes_of_all, slopes_of_chosen, strict=True):
            means = (rest @ general * shift + part.by_user(own * weights - general.take(items) * without)) / sums
            found.append((means - part.targets.with_values(of_chosen).means()).sum())
        return np.array(found)

    return _mean(pool.map(of_part, parts), parts)


def _mean(sums: Iterable[NDArray[np.float64]], parts: list[_Sums]) -> list[float]:
    """Of what was added up over the users of each part."""
    mean: list[float] = (sum(sums, np.zeros(3)) / sum(len(each.targets) for each in parts)).tolist()
    return mean


def _spread(users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
    """The root of the mean over users of the variance of their products."""
    centre, width = items.mean(axis=0, dtype=np.float64), items.shape[1]
    of_items = np.zeros((width, width))
    for tile in _tiles(items):
        of_items += (tile - centre).T @ (tile - centre)
    wide = users.astype(np.float64)
    return float(np.sqrt(max(0.0, np.sum((wide.T @ wide) * of_items) / len(users) / len(items))))


def _mean_loss(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    prior: NDArray[np.float64],
    anchors: NDArray[np.float64],
    scale: Scale,
    pool: ThreadPoolExecutor,
) -> list[float]:
    """The mean loss and its slopes in temperature and share."""
    if (native := kernel()) is not None:
        weights = scale.temperature, scale.popularity
        means = moments(native, users, items, weights, prior, anchors, pool).mean(axis=0)
    else:
        blocks = ((users[rows].astype(np.float64), anchors[rows]) for rows in _some(len(users)))
        total = sum(_block(*block, items, prior, scale) for block in blocks)
        means = total / len(users)
    found: list[float] = means.tolist()
    return found


def _anchors(
    users: NDArray[np.float32], targets: Ragged[np.int32], items: NDArray[np.float32], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Float64 (H, 2): of each user the means over its targets of their products and of the logarithms of their popularity."""
    products = np.empty(len(targets.values))
    owners = targets.row_ids()
    for rows in _some(len(products)):
        some = users[owners[rows]], items[targets.values[rows]]
        products[rows] = np.einsum("ij,ij->i", *(each.astype(np.float64) for each in some))
    return np.stack([targets.with_values(each).means() for each in (products, prior[targets.values])], axis=1)


def _block(
    users: NDArray[np.float64],
    anchors: NDArray[np.float64],
    items: NDArray[np.float32],
    prior: NDArray[np.float64],
    scale: Scale,
) -> NDArray[np.float64]:
    """Float64 (3,): loss and slopes, summed over some users."""
    peak, sums, start = np.full(len(users), -np.inf), np.zeros((3, len(users))), 0
    for tile in _tiles(items):
        # relative to the chosen item: what is large and alike in the products takes no digits away
        gaps = users @ tile.T - anchors[:, :1]
        lead = prior[start : start + len(tile)] - anchors[:, 1:]
        exponents = scale.temperature * gaps + scale.popularity * lead
        higher = np.maximum(peak, exponents.max(axis=1))
        weights = np.exp(exponents - higher[:, None])
        sums *= np.exp(peak - higher)
        sums += weights.sum(axis=1), np.einsum("ij,ij->i", weights, gaps), np.einsum("ij,ij->i", weights, lead)
        peak, start = higher, start + len(tile)
    slopes = sums[1:] / sums[0]
    return np.array([(peak + np.log(sums[0])).sum(), *slopes.sum(axis=1)])


def _some(users: int) -> Iterator[slice]:
    """All of so many, some at a time."""
    for start in range(0, users, _USERS):
        yield slice(start, start + _USERS)


def _tiles(items: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(items), _TILE_ITEMS):
        yield items[start : start + _TILE_ITEMS].astype(np.float64)
