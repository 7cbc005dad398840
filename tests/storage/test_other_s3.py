"""A second S3 server, which shares no code with the first: stores keep their promises on it, and a whole job runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalize_spark import api
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.storage.location import open_store
from personalize_spark.storage.s3 import forget_clients
from personalize_spark.storage.store import Object, Store
from personalize_spark.testing.store_tests import StoreTests
from personalize_spark.testing.toy import golden_version, request
from tests.servers import free_port, new_bucket, other_s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory, clients: Path) -> Iterator[str]:
    with other_s3_server(free_port(), tmp_path_factory.mktemp("other-s3"), clients) as url:
        yield url


@pytest.fixture
def bucket(_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new bucket, by the endpoint that AWS_ENDPOINT_URL_S3 names: it wins over AWS_ENDPOINT_URL."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _server)
    forget_clients()
    yield new_bucket(f"bucket-{uuid.uuid4().hex[:12]}")
    forget_clients()


class TestOtherS3(StoreTests):
    @pytest.fixture
    def store(self, bucket: str) -> Store:
        return open_store(f"{bucket}/folder")

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "a%2e%2e/b", "e\u0301", "."])
    def test_a_name_never_leaves_the_folder(self, store: Store, name: str) -> None:
        etag = store.write(name, b"x")
        assert list(store.list()) == [Object(name, 1, etag)]


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_a_whole_job_runs(checksums: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", checksums)
    forget_clients()
    catalog, store = Catalog(f"{bucket}/catalog"), open_store(bucket)
    version = golden_version(catalog)
    store.write("in/users.json", b'{"userId":"u1"}\n' * 5_000)
    asked = request(version, f"{bucket}/in/", f"{bucket}/out/")
    report = api.run_batch_inference(catalog, asked, engine="local")
    assert report.lines == 5_000
    assert store.read("out/users.json.out").count(b'"recommendedItems"') == 5_000
