"""spark-submit jobs/serve.py --catalog URI: serve the API of Amazon Personalize over HTTP."""

from __future__ import annotations

from personalize_spark.cli.submit import submitted

if __name__ == "__main__":
    submitted("serve")
