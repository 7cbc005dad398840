"""spark-submit jobs/train.py --group NAME --recipe NAME --solution NAME --catalog URI: train a solution version."""

from __future__ import annotations

import sys

from personalize_spark.cli.main import main

if __name__ == "__main__" and (code := main(["train", *sys.argv[1:]])):
    sys.exit(code)
