"""The driver's look at its tasks."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest

from personalize_spark.errors import StorageError
from personalize_spark.job import attempts
from personalize_spark.job.attempts import Ledger
from personalize_spark.job.task import Piece
from personalize_spark.storage.location import open_store


def test_an_error_does_not_end_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_WATCH_SECONDS", 0.01)
    ledger, looks = Ledger(open_store(f"file://{tmp_path}"), []), 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StorageError("for once")

    with attempts._watched(ledger, watch):
        ledger.staging.write("manifests/one.json", orjson.dumps([vars(Piece("000000/000000", "pieces/p"))]))
        deadline = time.monotonic() + 20
        while looks < 3 or not ledger.pieces:
            assert time.monotonic() < deadline
            time.sleep(0.01)
