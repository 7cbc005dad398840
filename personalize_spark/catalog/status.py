"""The states of a resource, as the service spells them. No other module spells one."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a resource stands between its creation and its deletion; here a resource is deleted at once."""

    PENDING = "CREATE PENDING"
    IN_PROGRESS = "CREATE IN_PROGRESS"
    ACTIVE = "ACTIVE"
    FAILED = "CREATE FAILED"
    STOPPING = "CREATE STOPPING"
    STOPPED = "CREATE STOPPED"
    DELETE_PENDING = "DELETE PENDING"
    DELETE_IN_PROGRESS = "DELETE IN_PROGRESS"

    @property
    def unfinished(self) -> bool:
        """Whether somebody still works on the resource's creation."""
        return self in {Status.PENDING, Status.IN_PROGRESS}
