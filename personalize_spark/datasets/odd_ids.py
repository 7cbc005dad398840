"""Ids that look unlike the others: a row with a field too few or too many becomes an item called `No` or `0`.

An id looks like its kinds of characters: letters, digits, spaces, and which of `-`, `_` and others. Where nearly all ids have
one look, the others are counted and shown. Where nearly all have one length too, so are those of less than half of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from personalize_spark.errors import counted, quoted
from personalize_spark.schemas import Schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_IDS = ("USER_ID", "ITEM_ID")
_KINDS = {"letters": r"\p{L}", "digits": r"\d", "spaces": r"\s", "-": "-", "_": "_", "others": r"[^\p{L}\d\s_-]"}
_FEW, _SHARE, _SHORT = 20, 0.95, 5
_SHOWN = 3
_LOOKS = "column string, look string, length int, ids long, example string"

Look = tuple[str, int, int, str]
"""The kinds of characters, the length, how many ids have both, and one of them."""


def id_columns(schema: Schema) -> list[str]:
    """The columns of a dataset that hold ids."""
    return [name for name in _IDS if schema.has(name)]


def notes_of_ids(ids: Mapping[str, Iterable[str]]) -> list[str]:
    """What to say of different ids, by column."""
    return [note for name, each in ids.items() if (note := _note(name, _looks(pa.array(list(each), pa.string()))))]


def notes_of_rows(rows: DataFrame, schema: Schema) -> list[str]:
    """What to say of the ids in the rows of an import; of bad rows they are null."""
    from pyspark.sql import functions as F  # noqa: N812  # as everybody calls it

    names = id_columns(schema)
    pairs = F.explode(F.array(*(F.struct(F.lit(name).alias("column"), F.col(name).alias("id")) for name in names)))
    ids = rows.select(pairs.alias("pair")).select("pair.*").where("id is not null").distinct()
    looks: dict[str, dict[tuple[str, int], tuple[int, str]]] = {name: {} for name in names}
    for column, look, length, number, example in ids.mapInArrow(_looks_in_tasks, _LOOKS).collect():
        others, first = looks[column].get((look, length), (0, example))
        looks[column][look, length] = (others + number, min(first, example))
    found = {name: [(*key, *value) for key, value in each.items()] for name, each in looks.items()}
    return [note for name, each in found.items() if (note := _note(name, each))]


def _looks_in_tasks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for name in pc.unique(batch.column("column")).to_pylist():
            looks = _looks(batch.filter(pc.equal(batch.column("column"), name)).column("id"))
            rows = [(name, *look) for look in looks]
            columns = [pa.array(values) for values in zip(*rows, strict=True)]
            columns[2] = columns[2].cast(pa.int32())
            yield pa.RecordBatch.from_arrays(columns, ["column", "look", "length", "ids", "example"])


def _looks(ids: pa.Array) -> list[Look]:
    parts = [pc.if_else(pc.match_substring_regex(ids, pattern), name, None) for name, pattern in _KINDS.items()]
    look = pc.binary_join_element_wise(*parts, " ", null_handling="skip")
    table = pa.table({"look": look, "length": pc.utf8_length(ids), "id": ids})
    grouped: Any = table.group_by(["look", "length"]).aggregate([("id", "count"), ("id", "min")])
    return list(
        zip(*(grouped.column(name).to_pylist() for name in ("look", "length", "id_count", "id_min")), strict=True)
    )


def _note(column: str, looks: Sequence[Look]) -> str | None:
    """What to say of ids that look unlike the others; `None` where there are none, or where ids have no one look."""
    kinds: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for kind, length, number, _ in looks:
        kinds[kind] += number
        lengths[length] += number
    total = kinds.total()
    if total < _FEW:
        return None
    [(usual, share)], [(length, of_length)] = kinds.most_common(1), lengths.most_common(1)
    if share < _SHARE * total:
        return None
    alike = of_length >= _SHARE * total and length >= _SHORT
    odd = [each for each in looks if each[0] != usual or (alike and 2 * each[1] < length)]
    if not odd:
        return None
    shown = ", ".join(quoted(each) for each in sorted({example for *_, example in odd})[:_SHOWN])
    like = min(each[3] for each in looks if each[0] == usual and (not alike or each[1] == length))
    number = sum(each[2] for each in odd)
    return (
        f"{column}: {number:,} of {counted(total, 'id')} {'looks' if number == 1 else 'look'} unlike the others, such as {shown}; "
        f"the others look like {quoted(like)}. Rows that a missing field has shifted look so."
    )
