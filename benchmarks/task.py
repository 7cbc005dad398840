"""What a task spends on a line, part by part: one thread, real factors of rank 64, the processor's time.

    python -m benchmarks.task

Lists of 25, and ranked lists of 100 items. Each part is timed alone over the blocks that a job would cut, and `whole` is `answer`: what is
in the caches differs, so the parts do not quite add up to it. All are the least of several rounds, in microseconds a line.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.endtoend import N, generate
from benchmarks.factors import RANK
from benchmarks.machine import machine
from benchmarks.topn import THREADS
from personalize_spark.answer import answer
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.job.job import Job
from personalize_spark.job.prepared import Prepared
from personalize_spark.job.task import keep_memory
from personalize_spark.recipes import RECIPES
from personalize_spark.recommendations import render
from personalize_spark.records import ids_of, parse
from personalize_spark.scoring.kernel import kernel
from personalize_spark.scoring.selection import EVERYTHING
from personalize_spark.scoring.topn import top_n
from personalize_spark.service.batch_inference_jobs import check_batch_inference_job

RESULTS = Path(__file__).parent / "results"
ITEMS, LINES, ROUNDS = (10_000, 50_000), 100_000, 9
RANKED, RANKED_LINES = 100, 20_000


def main() -> None:
    """Time the parts and write the results."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.task"], os.environ | dict.fromkeys(THREADS, "1"))  # noqa: S606
    native = kernel()
    about = {"machine": machine(), "kernel": "numpy" if native is None else native.name, "rank": RANK}
    result = about | {"results": N, "ranked": RANKED, "items": {items: measured(items) for items in ITEMS}}
    (RESULTS / "task.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measured(items: int) -> dict[str, Any]:
    """Microseconds a line, by part: of lists, and of ranked lists."""
    keep_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, LINES, items)
        request = json.loads((folder / "request-all.json").read_text()) | {"jobName": "timed"}
        catalog = Catalog(f"file://{folder}/catalog")
        prepared = Prepared(Job.of(check_batch_inference_job(catalog, request).create(catalog)))
        lists = (folder / "in" / "users.json").read_bytes().splitlines()
        random = np.random.default_rng(7)
        ranked = [
            b'{"userId": "%d", "itemList": [%b]}' % (user, b", ".join(b'"%d"' % item for item in chosen))
            for user, chosen in enumerate(random.integers(0, items, (RANKED_LINES, RANKED)).tolist())
        ]
        return {"lists": _lists(prepared, lists), "ranked lists": _ranked(prepared, ranked)}


def _lists(prepared: Prepared, lines: Sequence[bytes]) -> dict[str, float]:
    model, settings, recipe = prepared.model, prepared.job.settings, prepared.recipe
    matrix, users = model.sides()
    asked = [_Block(lines[first : first + prepared.block], recipe.required) for first in _starts(prepared, lines)]
    for block in asked:
        block.found = users.lookup(block.ids)
        block.answers = recipe.recommend(model, block.records.objects, settings, EVERYTHING)
    return _timed(
        len(lines),
        asked,
        {
            "parse": lambda block: parse(block.lines, recipe.required),
            "look up": lambda block: users.lookup(block.ids),
            "top N": lambda block: top_n(block.found.vectors, matrix, N),
            "write": lambda block: render(block.records, block.answers, model.item_ids_json),
            "whole": lambda block: prepared.answer_lines(block.lines),
        },
    )


def _ranked(prepared: Prepared, lines: Sequence[bytes]) -> dict[str, float]:
    model, settings, recipe = prepared.model, prepared.job.settings, RECIPES["aws-personalized-ranking"]
    asked = [_Block(lines[first : first + prepared.block], recipe.required) for first in _starts(prepared, lines)]
    for block in asked:
        block.answers = recipe.recommend(model, block.records.objects, settings, EVERYTHING)
    return _timed(
        len(lines),
        asked,
        {
            "parse": lambda block: parse(block.lines, recipe.required),
            "write": lambda block: render(block.records, block.answers, model.item_ids_json),
            "whole": lambda block: answer(recipe, model, settings, block.lines),
        },
    )


class _Block:
    """Lines that are answered together, and what the parts before have made of them."""

    found: Any
    answers: Any

    def __init__(self, lines: Sequence[bytes], required: Sequence[str]) -> None:
        self.lines, self.records = lines, parse(lines, required)
        self.ids = ids_of(self.records.objects, required[0])


def _starts(prepared: Prepared, lines: Sequence[bytes]) -> range:
    return range(0, len(lines), prepared.block)


def _timed(lines: int, blocks: Sequence[_Block], parts: dict[str, Callable[[_Block], object]]) -> dict[str, float]:
    least = dict.fromkeys(parts, float("inf"))
    for _ in range(ROUNDS):
        for name, part in parts.items():
            started = time.process_time()
            for block in blocks:
                part(block)
            least[name] = min(least[name], time.process_time() - started)
    return {name: round(seconds / lines * 1e6, 2) for name, seconds in least.items()}


if __name__ == "__main__":
    main()
