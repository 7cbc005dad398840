"""The users that a model is measured by are the same whether frames tell them or this process; the measures are tested with what is written."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from pyspark.sql import DataFrame

from personalize_spark.solutions.judging import calibrating
from personalize_spark.training.interactions import count_pairs, number_items, number_pairs
from personalize_spark.training.local_pairs import LocalPairs
from tests.training.test_local_pairs import table

pytestmark = pytest.mark.spark

__all__ = ["table"]  # the fixture


def test_frames_tell_the_same_of_users_who_calibrate(table: DataFrame) -> None:
    pairs = count_pairs(table)
    frame = number_pairs(pairs, number_items(pairs))
    (histories, targets), found = calibrating(LocalPairs.read(table)), calibrating(frame)
    np.testing.assert_equal(asdict(found[0]), asdict(histories))
    np.testing.assert_equal(asdict(found[1]), asdict(targets))
