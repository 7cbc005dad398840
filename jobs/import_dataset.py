"""spark-submit jobs/import_dataset.py --group NAME --interactions F.csv --catalog URI: import datasets."""

from __future__ import annotations

import sys

from personalize_spark.cli.main import main

if __name__ == "__main__" and (code := main(["import", *sys.argv[1:]])):
    sys.exit(code)
