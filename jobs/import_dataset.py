"""spark-submit jobs/import_dataset.py --group NAME --interactions F.csv --catalog URI: import datasets."""

from __future__ import annotations

from personalize_spark.cli.submit import submitted

if __name__ == "__main__":
    submitted("import")
