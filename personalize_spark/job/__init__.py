"""A batch inference job, carried by Spark: planned on the driver, run by tasks, published by the driver."""
