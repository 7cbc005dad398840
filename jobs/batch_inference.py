"""spark-submit jobs/batch_inference.py --request request.json --catalog URI: create a batch inference job and wait."""

from __future__ import annotations

from personalize_spark.cli.submit import submitted

if __name__ == "__main__":
    submitted("run")
