"""ARNs as Amazon Personalize spells them: parsed, checked and built in this one place.

    arn:PARTITION:personalize:REGION:ACCOUNT:KIND/NAME[/VERSION]

Every name is checked against the service's own pattern, so a resource part may serve as a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from personalize_spark.errors import InvalidInputException

_ARN = re.compile(
    r"arn:(?P<partition>[a-z\d-]+):personalize:(?P<region>[^:/]*):(?P<account>[^:/]*):"
    r"(?P<kind>[a-z-]+)/(?P<name>[a-zA-Z0-9][a-zA-Z0-9\-_]*)(?:/(?P<version>[a-zA-Z0-9][a-zA-Z0-9\-_]*))?"
)


@dataclass(frozen=True)
class Arn:
    """One resource; `version` is set for a solution version and, as the dataset type, for a dataset."""

    partition: str
    region: str
    account: str
    kind: str
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Read an ARN.

        Raises:
            InvalidInputException: the text is not an ARN of a Personalize resource.
        """
        match = _ARN.fullmatch(text)
        if match is None:
            raise InvalidInputException(f"The ARN '{text}' is not the ARN of an Amazon Personalize resource.")
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:{self.resource}"

    @property
    def resource(self) -> str:
        """The resource part, `KIND/NAME[/VERSION]`: the record of a resource lies at this path in a catalog."""
        return "/".join(part for part in (self.kind, self.name, self.version) if part)

    def sibling(self, kind: str, name: str, version: str | None = None) -> Arn:
        """Another resource of the same partition, region and account."""
        return replace(self, kind=kind, name=name, version=version)
