"""spark-submit jobs/train.py --group NAME --recipe NAME --solution NAME --catalog URI: train a solution version."""

from __future__ import annotations

from personalize_spark.cli.submit import submitted

if __name__ == "__main__":
    submitted("train")
