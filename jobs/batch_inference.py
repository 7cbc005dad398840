"""spark-submit jobs/batch_inference.py --request request.json --catalog URI: create a batch inference job and wait."""

from __future__ import annotations

import sys

from personalize_spark.cli.main import main

if __name__ == "__main__" and (code := main(["run", *sys.argv[1:]])):
    sys.exit(code)
