"""What describe and list operations show of records, and how lists are paged."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from personalize_spark.catalog.catalog import Catalog, Fields, Record
from personalize_spark.errors import InvalidNextTokenException

_PAGE = 100


def shown(record: Record, names: Iterable[str]) -> Fields:
    """The named fields of a record, as far as it has them, in this order."""
    return {name: record.fields[name] for name in names if name in record.fields}


def page_of(records: Iterable[Record], params: Mapping[str, Any]) -> tuple[Sequence[Record], Fields]:
    """The page that `nextToken` and `maxResults` ask for, the newest first, and the `nextToken` if there is more.

    Raises:
        InvalidNextTokenException: the token is not one that a list operation returned.
    """
    ordered = sorted(records, key=_age)
    if "nextToken" in params:
        last = _untoken(params["nextToken"])
        ordered = [record for record in ordered if _age(record) > last]
    page = ordered[: params.get("maxResults", _PAGE)]
    if len(page) == len(ordered):
        return page, {}
    return page, {"nextToken": base64.urlsafe_b64encode(orjson.dumps(_age(page[-1]))).decode()}


def page_of_kind(catalog: Catalog, kind: str, params: Mapping[str, Any], owner: str) -> tuple[Sequence[Record], Fields]:
    """As `page_of`, of the resources of one kind, or of those that belong to what the parameters name.

    Args:
        catalog: holds them.
        kind: as in their ARNs.
        params: of the list operation.
        owner: the parameter, and the field of a record, that names whom it belongs to, such as `datasetGroupArn`.
    """
    wanted = params.get(owner)
    return page_of((each for each in catalog.list(kind) if wanted in (None, each.fields.get(owner))), params)


def _age(record: Record) -> tuple[float, str]:
    """Ascending from the newest."""
    return -record.fields["creationDateTime"], str(record.arn)


def _untoken(token: str) -> tuple[float, str]:
    try:
        age, arn = orjson.loads(base64.urlsafe_b64decode(token))
        return float(age), str(arn)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidNextTokenException("The nextToken is not one that this operation returned.") from error
