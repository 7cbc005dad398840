"""Upper bounds of products, and how far a float32 product may be from the exact one: why `topn` loses no item.

*Rounding.* Let ``s`` be the product of a user and an item as any float32 BLAS computes it, ``p`` the float64 one of
`products`, L the largest norm of an item. For every order of summation, with or without fused multiply-adds,

    |s - w_u . w_i| <= g |w_u| |w_i| <= g |w_u| L,    g = d 2^-24 / (1 - d 2^-24)

(Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 3.1), if nothing overflows or underflows. The error of
``p`` is below ``(log2(d) + 1) 2^-53 |w_u| |w_i|``. So ``|s - p| <= m``, m being the middle of that line and 1 % more.
If N distinct items have ``s >= t``, each of them has ``p >= t - m``; an item with ``s < t - 2 m`` has ``p < t - m``: N items are
strictly better, and it cannot be among the best N, not even by a tie.

*Scale.* Users are first multiplied by powers of two, which keeps the order of their items, so that ``|w_u| L`` is about 2^60, or at
least 2^-50 where the items are nearly all zero. So nothing overflows, and all that underflows, gradually or flushed to
zero, adds up to less than ``d 2^-124``: far inside the 1 %.

*Cauchy-Schwarz.* For every invertible B, ``w_u . w_i = (B^-1 w_u) . (B' w_i)``; so ``|B^-1 w_u| |B' w_i|`` bounds ``p`` too, and an
item whose bound is below ``t - 2 m`` need not be multiplied at all. `spread` chooses B.

*Eight bits* (`screen`, `native/search.h`). Let ``w' = Q' B^-1 w_u`` and ``x' = Q' B' w_i``, Q a fixed rotation, so that ``w'.x' = w_u . w_i``. Each is
rounded to a scale times whole numbers, ``w^ = s p`` and ``x^ = t q``; the lengths of what that takes away are measured, not
assumed. ``w'.x' - w^.x^ = (w' - w^).x^ + w'.(x' - x^)``, so, by Cauchy-Schwarz,

    |w_u . w_i - s t (p.q)| <= |w' - w^| |x^| + |w'| |x' - x^| = e

and ``p.q`` is exact: its terms are added as whole numbers of 32 bits. A block of items has one t, and in e the largest ``|x^|`` and the
largest ``|x' - x^|`` of its items. All this is computed in float64, in which no product of float32 numbers or of their lengths
overflows or underflows. Its roundings, and those of w', x' and the product of `products`, are below
``40 d 2^-53 |w'| |x'|``: 2^-33 of it for d = 2^15. `residuals` adds 2^-20 of it to e. If N distinct items have ``s t (p.q) - e >= c``,
an item with ``s t (p.q) + e < c`` has N strictly better ones, and it cannot be among the best N, not even by a tie.

The kernel holds ``s t (p.q) - e``, ``s t (p.q) + e`` and c as float32 numbers, divided by s and by the largest norm of an item. Then ``|w'|`` and ``|w^|`` are below
``128 d^1/2 + 1``, no ``|x'|`` is above 1 and no ``|x^|`` above 2: nothing overflows. What float32 rounds off such a bound is below ``2^-21 (|w^| |x^| + e)``,
and what it loses where t is below its range is less than 2^-96. The kernel adds ``2^-18 (|w^| |x^| + e) + 2^-90`` to e for that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SLACK = 2.0**-20
"""Relative; covers the float64 rounding of norms and bases."""
_LARGEST = 2.0**140
"""Above every norm of float32 vectors; a float32 bound of a norm may be infinite."""
_ROWS = 1 << 12


def norms(vectors: NDArray[np.float32], basis: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """The Euclidean norms of ``vectors @ basis``: float32 (M, d) to float64 (M,)."""
    wide = vectors.astype(np.float64)
    if basis is not None:
        wide = wide @ basis
    result: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return result


def norm_bounds(factors: NDArray[np.float32], basis: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Upper bounds of the norms of ``factors @ basis``: float32 (I, d) to float32 (I,)."""
    bounds = np.empty(len(factors), np.float32)
    for start in range(0, len(factors), _ROWS):
        part = slice(start, start + _ROWS)
        with np.errstate(over="ignore"):
            rounded = (norms(factors[part], basis) * (1 + _SLACK)).astype(np.float32)
            bounds[part] = np.nextafter(rounded, np.float32(np.inf))
    return bounds


def spread(users: NDArray[np.float32]) -> NDArray[np.float64]:
    """The basis B in which Cauchy-Schwarz is sharp for such users.

    With B = C^1/2, C the users' second moments, an item's length is its root mean square product over the users; with B = 1 it
    is the plain length. The power 3/8, between them, leaves the fewest products to compute on implicit ALS factors: see
    docs/decisions/0002-exact-top-n.md.

    Args:
        users: float32 (any number, d), finite.

    Returns:
        float64 (d, d), orthogonal columns of length 1 to 4.8, so that no bound falls below the plain length.
    """
    wide = users.astype(np.float64)
    values, vectors = np.linalg.eigh(wide.T @ wide)
    floor = max(values[-1] * 2.0**-6, np.finfo(np.float64).tiny)
    basis: NDArray[np.float64] = vectors * (np.maximum(values, floor) / floor) ** 0.375
    return basis


def dual(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """``inv(basis).T`` of a basis with orthogonal columns: what the users are multiplied by."""
    result: NDArray[np.float64] = basis / np.einsum("ij,ij->j", basis, basis)
    return result


def residuals(wide: NDArray[np.float64], near: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each block of items, upper bounds of the lengths |x^| and |x' - x^|, with room for all roundings of a product.

    Args:
        wide: float64 (B, m, d), the items x' in the turned basis.
        near: float64 (B, m, d), the same ones quantised, x^.

    Returns:
        float64 (B,), twice.
    """
    length, rest, near_length = (
        np.sqrt(np.einsum("bij,bij->bi", each, each).max(axis=1)) for each in (wide, wide - near, near)
    )
    return near_length * (1 + _SLACK), rest * (1 + _SLACK) + length * _SLACK


def finite(bound: np.float32) -> float:
    """A bound of norms as a finite number."""
    return min(float(bound), _LARGEST)


def shifts(lengths: NDArray[np.float64], item: float) -> NDArray[np.int64]:
    """Powers of two that scale each user to about 2^60 / ``item``, at most 2^100.

    Args:
        lengths: float64 (U,), the users' norms.
        item: the largest item norm.

    Returns:
        int64 (U,), for `numpy.ldexp`.
    """
    target = min(60 - int(np.frexp(item)[1]), 100)
    return target - np.frexp(lengths)[1].astype(np.int64)


def margins(lengths: NDArray[np.float64], item: float, width: int) -> NDArray[np.float64]:
    """How far a float32 product can be from the float64 one.

    Args:
        lengths: float64 (U,), the norms of the scaled users.
        item: the largest item norm.
        width: d, below 2^23.

    Returns:
        float64 (U,), in the unit of the scaled products.
    """
    unit = width * 2.0**-24
    return 1.01 * unit / (1 - unit) * lengths * item
