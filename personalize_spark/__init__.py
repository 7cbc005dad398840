"""Amazon Personalize's batch inference, on your own Spark."""

from __future__ import annotations

__version__ = "0.1.0"
