"""Recommendations for the rows of a table, on Databricks's serverless compute or on a cluster in standard (shared) access mode.

It is a notebook's cell or a Python task. Its tasks have no storage of their own, so this process reads the model, and Spark carries it
to them. They need the package: on serverless compute a dependency of the environment, on a cluster a library of it,
/Volumes/main/recs/dist/personalize_spark-0.1.0-py3-none-manylinux2014_x86_64.whl.
"""

from __future__ import annotations

from pyspark.sql import SparkSession

import personalize_spark as ps

CATALOG = "/Volumes/main/recs/catalog"  # a copy: reading needs no hard links, which /Volumes lacks
SOLUTION_VERSION = "arn:aws:personalize:us-east-1:111122223333:solution/home/1a2b3c4d"

session = SparkSession.builder.getOrCreate()  # the one that Databricks has begun
visitors = session.table("main.recs.visitors").withColumnRenamed("user_id", "userId")
answers = ps.recommend(
    visitors,
    catalog=CATALOG,
    solution_version=SOLUTION_VERSION,
    num_results=25,
    ship_model=True,  # the tasks cannot read the catalog
)
answers.write.mode("overwrite").saveAsTable(
    "main.recs.homepage"
)  # the visitors' columns, recommendedItems, scores and error
