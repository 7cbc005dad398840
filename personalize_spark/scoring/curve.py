"""How a product becomes the exponent of a score: ``t p``, or less than that the higher p is.

    e(p) = log(1 + b t p) / b      p >= 0, b > 0
    e(p) = t p                     p < 0, or b = 0

t is the slope where nothing is known, and b the bend. The exponential of a bent e is the power ``(1 + b t p)^(1/b)``: evidence that adds up,
as counts do, adds to the odds and does not multiply them. e rises with p, so that no order depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """How products become exponents.

    Attributes:
        temperature: t > 0.
        bend: b >= 0.
    """

    temperature: float = 1.0
    bend: float = 0.0

    def exponents(self, products: NDArray[np.float64]) -> NDArray[np.float64]:
        """Float64, of any shape; -inf stays."""
        linear = self.temperature * products
        if not self.bend:
            return linear
        bent = np.log1p(self.bend * np.maximum(linear, 0.0)) / self.bend
        result: NDArray[np.float64] = bent + np.minimum(linear, 0.0)
        return result


STRAIGHT = Curve()
"""The products themselves."""
