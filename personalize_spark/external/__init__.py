"""Models from anywhere: factors that something else has learned become a solution version."""

from __future__ import annotations
