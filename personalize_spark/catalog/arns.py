"""ARNs as Amazon Personalize spells them: parsed, checked and built in this one place.

    arn:PARTITION:personalize:REGION:ACCOUNT:KIND/NAME[/VERSION]

Every name is checked against the service's own pattern, so a resource part may serve as a path.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from personalize_spark.errors import InvalidInputException, quoted

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]*")
_ARN = re.compile(
    r"arn:(?P<partition>[a-z\d-]+):personalize:(?P<region>[^:/]*):(?P<account>[^:/]*):"
    rf"(?P<kind>[a-z-]+)/(?P<name>{_NAME.pattern})(?:/(?P<version>{_NAME.pattern}))?"
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

    def __post_init__(self) -> None:
        for name in (self.name, self.version):
            if name is not None and not _NAME.fullmatch(name):
                raise InvalidInputException(
                    f"{quoted(name)} is no name of a {self.noun}: use letters, digits, hyphens and underscores; the first is a "
                    "letter or a digit."
                )

    @classmethod
    def parse(cls, text: str, wanted: str | None = None) -> Arn:
        """Read an ARN.

        Args:
            text: the ARN.
            wanted: what it must be the ARN of, in words, such as `solution version`; `None` for anything.

        Raises:
            InvalidInputException: the text is not an ARN of a Personalize resource, or it is one of something else.
        """
        match = _ARN.fullmatch(text)
        if match is None:
            raise InvalidInputException(f"The ARN '{text}' is not the ARN of an Amazon Personalize resource.")
        arn = cls(**match.groupdict())
        if wanted not in {None, arn.noun}:
            raise InvalidInputException(f"The ARN '{text}' is not the ARN of a {wanted}.")
        return arn

    @classmethod
    def local(cls, kind: str, name: str, region: str | None = None) -> Arn:
        """The ARN of a resource that no other one places; `default_region` if none is given, account 0.

        Raises:
            InvalidInputException: the name is not one.
        """
        arn = cls("aws", region or default_region(), "000000000000", kind, name)
        return cls.parse(str(arn))  # the region, too, comes from outside

    def __str__(self) -> str:
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:{self.resource}"

    @property
    def noun(self) -> str:
        """What it is the ARN of, in words."""
        return "solution version" if self.kind == "solution" and self.version else self.kind.replace("-", " ")

    @property
    def resource(self) -> str:
        """The resource part, `KIND/NAME[/VERSION]`: the record of a resource lies at this path in a catalog."""
        return "/".join(part for part in (self.kind, self.name, self.version) if part)

    def sibling(self, kind: str, name: str, version: str | None = None) -> Arn:
        """Another resource of the same partition, region and account."""
        return replace(self, kind=kind, name=name, version=version)


def default_region() -> str:
    """What `AWS_REGION` or `AWS_DEFAULT_REGION` says, else us-east-1."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
