"""The kernel of another kind of machine, held against numpy: python -m tests.scoring.emulated_kernel EMULATOR PROGRAM.

`bin/check-dist` compiles `emulated_kernel.c` for aarch64 and runs this with qemu, a processor with and one without dot products.
"""

from __future__ import annotations

import ctypes
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.scoring.kernel import Kernel
from personalize_spark.scoring.ragged import Ragged
from personalize_spark.scoring.softmax import log_normaliser
from personalize_spark.scoring.topn import ItemMatrix
from personalize_spark.training.fold_in import gram
from personalize_spark.training.moments import moments
from personalize_spark.training.solver import solve_rows
from tests.scoring.test_kernel import adversarial, by_numpy, sorted_items
from tests.training.test_solver import WEIGHTS, by_lapack
from tests.training.test_solver import drawn as systems

_SHAPES = ((64, 700, 25), (5, 1500, 7), (33, 63, 200))
_KINDS = ("normal", "equal norms", "huge spread", "copies", "denormals")


class Emulated:
    """In place of the library: each call is a run of the program; its answers are kept by level.

    Args:
        command: how to run the program.
        sizes: of the arrays that a task points to, in bytes, by its fields' names.
    """

    def __init__(self, command: list[str], sizes: dict[str, int]) -> None:
        self.command, self.sizes, self.answers = command, sizes, dict[str, bytes]()

    def kernel_search(self, _: int, reference: object) -> int:
        """As of the library."""
        return self._run("search", reference, "best", "products")

    def kernel_solve(self, _: int, reference: object) -> int:
        """As of the library."""
        return self._run("solve", reference, "solved")

    def kernel_moments(self, _: int, reference: object) -> int:
        """As of the library."""
        return self._run("moments", reference, "moments")

    def _run(self, what: str, reference: object, *filled: str) -> int:
        task = reference._obj  # type: ignore[attr-defined]  # of ctypes.byref
        sent = b"".join(self._field(name, getattr(task, name), kind) for name, kind in task._fields_)
        done = subprocess.run([*self.command, what], input=sent, capture_output=True, check=True).stdout
        length = 16 + sum(self.sizes[name] for name in filled)
        for start in range(0, len(done), length):
            self.answers[done[start : start + 16].decode().strip()] = done[start + 16 : start + length]
        return 0

    def _field(self, name: str, value: Any, kind: type) -> bytes:
        if kind is ctypes.c_int64:
            return struct.pack("<qq", 8, value or 0)
        if kind is ctypes.c_double:
            return struct.pack("<qd", 8, value)
        if value is None:
            return struct.pack("<q", -1)
        return struct.pack("<q", self.sizes[name]) + ctypes.string_at(value, self.sizes[name])


def cases() -> Iterator[tuple[NDArray[np.float32], ItemMatrix, int, NDArray[np.bool_], Ragged[np.int32]]]:
    """Users, items, n, a filter and exclusions, of every kind and shape."""
    for seed, kind in enumerate(_KINDS):
        for width, items, n in _SHAPES:
            rng = np.random.default_rng(seed)
            users = adversarial(rng, kind, 15, width)
            users = users[users.any(axis=1)]
            counts = rng.integers(0, min(items, 300), len(users))
            excluded = Ragged.of_lengths(counts, rng.integers(0, items, int(counts.sum())).astype(np.int32))
            yield (
                users,
                sorted_items(adversarial(rng, kind, items, width), seed, None),
                n,
                rng.random(items) < 0.7,
                excluded,
            )


def solved(command: list[str]) -> Iterator[str]:
    """Levels that solve ALS's equations as LAPACK does.

    Raises:
        AssertionError: one does not.
    """
    for seed, rank in enumerate((1, 9, 64)):
        factors, met, events = systems(seed, rank)
        sizes = {
            "factors": factors.nbytes,
            "gram": 8 * rank * rank,
            "starts": met.indptr.nbytes,
            "met": met.values.nbytes,
        }
        sizes |= {"events": events.nbytes, "solved": 4 * rank * len(met)}
        library = Emulated(command, sizes)
        native = Kernel(library, 0, "emulated")  # type: ignore[arg-type]
        solve_rows(native, factors, gram(factors), met, events, WEIGHTS)
        expected = by_lapack(factors, met, events)
        for level, answer in library.answers.items():
            found = np.frombuffer(answer, np.float32).reshape(expected.shape)
            apart = np.linalg.norm(found - expected, axis=1)
            assert (apart <= 1e-4 * np.linalg.norm(expected, axis=1)).all(), f"{level} differs from LAPACK"
            yield level


def summed(command: list[str]) -> Iterator[str]:
    """Levels whose sums over all items are numpy's.

    Raises:
        AssertionError: some are not.
    """
    for seed, rank in enumerate((1, 9, 64)):
        rng = np.random.default_rng(seed)
        users, items = (rng.standard_normal((count, rank)).astype(np.float32) for count in (20, 1000))
        sizes = {"items": items.nbytes, "prior": 8 * len(items), "users": users.nbytes}
        sizes |= {"anchors": 16 * len(users), "moments": 24 * len(users)}
        library = Emulated(command, sizes)
        moments(Kernel(library, 0, "emulated"), users, items, (2.5, 0.0))  # type: ignore[arg-type]
        for level, answer in library.answers.items():
            found = np.frombuffer(answer).reshape(len(users), 3)[:, 0]
            np.testing.assert_allclose(found, log_normaliser(users, items, 2.5), rtol=1e-14, err_msg=level)
            yield level


def main(command: list[str]) -> int:
    """Run all cases; returns 1 if a level answered other bytes than numpy."""
    levels = set[str]()
    for users, items, n, included, excluded in cases():
        if items.screen is None:
            continue
        best = np.full((len(users), n), -1, np.int32), np.full((len(users), n), -np.inf)
        sizes = {
            "rows": items.screen.rows.nbytes,
            "blocks": items.screen.blocks.nbytes,
            "norms": 4 * len(items.factors),
            "factors": items.factors.nbytes,
            "ranks": 4 * len(items.factors),
            "included": 8 * -(-len(included) // 64),
            "users": users.nbytes,
            "turned": 8 * users.size,
            "excluded_starts": 8 * (len(users) + 1),
            "excluded": 4 * len(excluded.values),
            "best": best[0].nbytes,
            "products": best[1].nbytes,
        }
        library = Emulated(command, sizes)
        Kernel(library, 0, "emulated").top_n(users, items, best, included, excluded)  # type: ignore[arg-type]
        expected = by_numpy(users, items, n, included, excluded)
        for level, answer in library.answers.items():
            levels.add(level)
            if answer != expected.items.astype(np.int32).tobytes() + expected.products.tobytes():
                print(f"{level} differs from numpy", file=sys.stderr)
                return 1
    assert {*solved(command)} == levels == {*summed(command)}
    print(f"The same bytes as numpy, and the same models up to the last digits: {', '.join(sorted(levels))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
