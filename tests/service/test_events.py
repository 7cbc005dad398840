"""Events, items and users that are put, by boto3's own clients in process; filters see events at once, without Spark."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import personalize_spark as ps
from personalize_spark.artifacts.artifact import Pinned, finish, write_column, write_table
from personalize_spark.artifacts.shards import USERS, Shards, keys_of, shard_name, shards_of
from personalize_spark.catalog.arns import Arn
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.datasets import waiting_events
from personalize_spark.datasets.puts import PUT, Puts
from personalize_spark.errors import AccessDenied
from personalize_spark.schemas import Schema
from personalize_spark.service.filters import create_filter
from personalize_spark.testing.toy import GOLDEN, golden_version, request
from tests.service.test_datasets import AVRO, Service

INTERACTIONS: dict[str, Any] = {
    **AVRO,
    "fields": [
        *AVRO["fields"],
        {"name": "EVENT_TYPE", "type": ["null", "string"]},
        {"name": "EVENT_VALUE", "type": ["null", "float"]},
        {"name": "IMPRESSION", "type": ["null", "string"]},
        {"name": "NUMBER_OF_CLICKS", "type": ["null", "int"]},
    ],
}
FILMS: dict[str, Any] = {
    "type": "record",
    "name": "Items",
    "fields": [{"name": "ITEM_ID", "type": "string"}, {"name": "GENRES", "type": "string", "categorical": True}],
}
SHARDS = 2


def put_view(catalog: Catalog, group: Arn) -> Pinned:
    """A view as an import makes it: u1 has clicked `a`, u2 nothing; the users lie in two shards."""
    store = catalog.store.at("views/shop/1")
    ids = [each.encode() for each in GOLDEN]
    columns = {
        "id": pa.array(ids, pa.binary()),
        "creation_timestamp": np.full(4, 86_400),
        "dated": np.ones(4, np.bool_),
        "interactions": np.array([4, 3, 2, 1]),
        "impressions": np.zeros(4, np.int64),
    }
    entries = [write_table(store, "items", pa.RecordBatch.from_pydict(columns))]
    lists = {"history_items": pa.int32(), "history_events": pa.int16(), "history_times": pa.int64()}
    schema = pa.schema(
        [("key", pa.uint32()), ("id", pa.binary()), *((name, pa.list_(kind)) for name, kind in lists.items())]
    ).append(pa.field("AGE", pa.int64()))
    users = sorted(((int(key), name) for key, name in zip(keys_of([b"u1", b"u2"]), [b"u1", b"u2"], strict=True)))
    for shard in range(SHARDS):
        rows = [
            {"key": key, "id": name, **{each: [{"history_times": 10}.get(each, 0)] * (name == b"u1") for each in lists}}
            for key, name in users
            if shards_of(np.array([key], np.uint32), SHARDS)[0] == shard
        ]
        entries.append(write_table(store, shard_name(USERS, shard), pa.RecordBatch.from_pylist(rows, schema)))
    entries += [write_column(store, "items/PRICE", np.ones(4, np.int64))]
    avro = Schema.read(INTERACTIONS).avro()
    properties = {"schemas": {"Interactions": avro}, "eventTypes": ["click"], "items": 4, "latestTimestamp": 10}
    return finish(store, entries, {**properties, "users": 2, "datasetGroupArn": str(group)})


class World:
    """A group with a view, an event tracker and a solution version, and clients of the three services."""

    def __init__(self, folder: Path) -> None:
        self.catalog = Catalog(folder)
        self.service = Service(self.catalog)
        group = self.service("CreateDatasetGroup", name="shop")["datasetGroupArn"]
        self.group = Arn.parse(group)
        self.datasets = {}
        for avro in (INTERACTIONS, FILMS):
            kind = avro["name"]
            schema = self.service("CreateSchema", name=kind, schema=json.dumps(avro))["schemaArn"]
            asked = {"datasetGroupArn": group, "schemaArn": schema, "name": kind, "datasetType": kind}
            self.datasets[kind] = self.service("CreateDataset", **asked)["datasetArn"]
        self.catalog.update(self.catalog.read(self.group), view=asdict(put_view(self.catalog, self.group)))
        self.version = golden_version(self.catalog)
        self.catalog.update(self.catalog.read(self.version), datasetGroupArn=group)
        expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "watch")'
        asked = {"name": "met", "datasetGroupArn": group, "filterExpression": expression}
        self.filter = create_filter(self.catalog, asked)["filterArn"]
        self.tracker = self.service("CreateEventTracker", name="clicks", datasetGroupArn=group)
        self.events = ps.client(self.catalog, "personalize-events", engine="local")
        self.runtime = ps.client(self.catalog, "personalize-runtime", engine="local")

    def put(self, *events: dict[str, Any], user: str = "u1") -> None:
        self.events.put_events(
            trackingId=self.tracker["trackingId"], userId=user, sessionId="s", eventList=list(events)
        )

    def waiting(self, dataset: str = "Interactions") -> list[dict[str, Any]]:
        puts = Puts(self.catalog, self.group, dataset)
        return puts.rows(puts.names())

    def view(self) -> Any:
        return Pinned(**self.catalog.read(self.group).fields["view"]).open()

    def recommended(self, user: str = "u1") -> list[str]:
        asked = {"campaignArn": str(self.version), "userId": user, "filterArn": self.filter}
        return sorted(each["itemId"] for each in self.runtime.get_recommendations(**asked)["itemList"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One for all that is refused, and so changes nothing."""
    return World(tmp_path_factory.mktemp("untouched"))


def event(item: str, when: int = 20, kind: str = "click", **more: Any) -> dict[str, Any]:
    return {"itemId": item, "sentAt": dt.datetime.fromtimestamp(when, dt.UTC), "eventType": kind, **more}


def test_an_event_is_kept_as_a_row_of_its_dataset(world: World) -> None:
    more: dict[str, Any] = {
        "eventValue": 2.5,
        "impression": ["a", "b"],
        "properties": json.dumps({"numberOfClicks": 3}),
    }
    world.put(event("b", eventId="e1", **more), event("c"))
    first, second = world.waiting()
    if first["ITEM_ID"] == "c":
        first, second = second, first
    assert first == {
        "USER_ID": "u1",
        "ITEM_ID": "b",
        "TIMESTAMP": 20,
        "EVENT_TYPE": "click",
        "EVENT_VALUE": 2.5,
        "IMPRESSION": "a|b",
        "NUMBER_OF_CLICKS": 3,
        PUT: "e1",
    }
    assert len(second[PUT]) == 36


def test_an_event_counts_once_and_the_first_time(world: World) -> None:
    world.put(event("b", eventId="e1"))
    world.put(event("c", eventId="e1"), event("d", eventId="e2"))
    assert {row["ITEM_ID"]: row[PUT] for row in world.waiting()} == {"b": "e1", "d": "e2"}


def test_the_next_answer_sees_what_was_put(world: World) -> None:
    assert world.recommended() == ["b", "c", "d"]
    world.put(event("b"), event("c", kind="watch"), event("new"))
    world.put(event("d"), user="somebody new")
    assert world.recommended() == ["d"]
    assert world.recommended("somebody new") == ["a", "b", "c"]
    assert world.recommended("u2") == ["a", "b", "c", "d"]
    view = world.view()
    assert (view.properties["eventTypes"], view.properties["users"]) == (["click", "watch"], 3)
    [found] = Shards(view, USERS).find([b"u1"])
    row = found.table.slice(int(found.rows[0]), 1).to_pylist()[0]
    assert row["history_items"] == [1, 2, 0]
    assert row["history_times"] == [20, 20, 10]
    assert len(world.waiting()) == 4  # they wait for Spark all the same
    pinned = view.sha256
    assert world.recommended() == ["d"]
    assert world.view().sha256 == pinned  # nothing new, no new view


def test_a_history_keeps_the_newest(world: World) -> None:
    view, store = world.view(), world.catalog.store.at("views/shop/short")
    entries = waiting_events._copied(view, store, view.entries.values())
    short = finish(store, entries, {**view.properties, waiting_events.KEPT: 2})
    world.catalog.update(world.catalog.read(world.group), view=asdict(short))
    world.put(event("b", 21), event("c", 22), event("d", 5))
    assert world.recommended() == ["a", "d"]


def test_a_view_is_copied_whole_though_a_list_is_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    there = type(world.catalog.store).list
    monkeypatch.setattr(type(world.catalog.store), "list", lambda store, prefix="": list(there(store, prefix))[:1])
    world.put(event("b"))
    assert world.recommended() == ["c", "d"]
    monkeypatch.undo()
    view = world.view()
    assert {*view.entries} == {each.name for each in view.store.list()} - {"manifest.json"}


def test_who_makes_a_view_meanwhile_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(event("b"))
    made, group = waiting_events._with_events, world.catalog.read(world.group)

    def slow(*given: Any) -> Pinned:
        pinned = made(*given)
        monkeypatch.setattr(waiting_events, "_with_events", made)
        world.catalog.update(world.catalog.read(world.group), marked="by an import")
        return pinned

    monkeypatch.setattr(waiting_events, "_with_events", slow)
    now = waiting_events.see_waiting_events(world.catalog, group)
    assert now.fields["marked"] == "by an import"
    assert world.recommended() == ["c", "d"]


def test_what_cannot_be_read_keeps_no_job_from_its_view(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(*_: Any) -> Pinned:
        raise AccessDenied("You may not write there.")

    world.put(event("b"))
    monkeypatch.setattr(waiting_events, "_with_events", denied)
    assert world.recommended() == ["b", "c", "d"]
    assert "You may not write there." in caplog.text


@pytest.mark.slow
def test_a_job_sees_what_was_put_before_it(world: World, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"userId":"u1"}\n')
    world.put(event("b"))
    asked = request(world.version, f"file://{tmp_path}/in.json", f"file://{tmp_path}/out/", filterArn=world.filter)
    ps.run_batch_inference(world.catalog, asked, engine="local")
    answer = json.loads((tmp_path / "out" / "in.json.out").read_text())
    assert sorted(answer["output"]["recommendedItems"]) == ["c", "d"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"itemId": None}, r"eventList\[0\]: ITEM_ID is missing"),
        ({"properties": '{"clicks":1}'}, "has no field for 'clicks'"),
        ({"properties": '{"numberOfClicks":"many"}'}, "NUMBER_OF_CLICKS is 'many', which is not of type int"),
        ({"properties": "{"}, "is not valid JSON"),
        ({"properties": "[]"}, "must be a JSON object"),
        ({"properties": '{"numberOfClicks":{}}'}, "must be a text, a number"),
        ({"recommendationId": "RID-1"}, "has no RECOMMENDATION_ID"),
        ({"metricAttribution": {"eventAttributionSource": "x"}}, "metricAttribution is not supported"),
        ({"itemId": "x" * 257}, "less than or equal to 256"),
    ],
)
def test_what_is_no_row_is_refused(untouched: World, change: dict[str, Any], said: str) -> None:
    given = {name: value for name, value in {**event("a"), **change}.items() if value is not None}
    with pytest.raises(untouched.events.exceptions.InvalidInputException, match=said):
        untouched.put(given)
    assert untouched.waiting() == []


def test_who_puts_must_be_known(world: World) -> None:
    refused = world.events.exceptions.InvalidInputException
    with pytest.raises(refused, match="no event tracker with the trackingId 'x'"):
        world.events.put_events(trackingId="x", userId="u1", sessionId="s", eventList=[event("a")])
    asked = {"trackingId": world.tracker["trackingId"], "sessionId": "s", "eventList": [event("a")]}
    with pytest.raises(refused, match="userId is required"):
        world.events.put_events(**asked)


def test_items_are_put_and_the_last_counts(world: World) -> None:
    films = world.datasets["Items"]
    for genres in ("drama", "comedy"):
        world.events.put_items(datasetArn=films, items=[{"itemId": "a", "properties": json.dumps({"genres": genres})}])
    assert world.waiting("Items") == [{"ITEM_ID": "a", "GENRES": "comedy", PUT: "a"}]
    known = world.events.exceptions
    with pytest.raises(known.InvalidInputException, match=r"items\[0\]: GENRES is missing"):
        world.events.put_items(datasetArn=films, items=[{"itemId": "a"}])
    with pytest.raises(known.InvalidInputException, match="is the dataset Items, not Users"):
        world.events.put_users(datasetArn=films, users=[{"userId": "a"}])
    with pytest.raises(known.ResourceNotFoundException) as caught:
        world.events.put_users(datasetArn=films.replace("ITEMS", "USERS"), users=[{"userId": "a"}])
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    world.service("DeleteDataset", datasetArn=films)
    assert world.waiting("Items") == []
