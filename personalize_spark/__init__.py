"""Amazon Personalize's batch inference, on your own Spark."""

__version__ = "0.1.0"
