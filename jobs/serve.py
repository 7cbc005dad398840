"""spark-submit jobs/serve.py --catalog URI: serve the API of Amazon Personalize over HTTP."""

from __future__ import annotations

import sys

from personalize_spark.cli.main import main

if __name__ == "__main__" and (code := main(["serve", *sys.argv[1:]])):
    sys.exit(code)
