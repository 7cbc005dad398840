"""boto3 clients of Amazon Personalize that are answered in this process: no socket, no account, no credentials."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from personalize_spark.catalog.arns import default_region
from personalize_spark.catalog.catalog import Catalog
from personalize_spark.service.handler import Handler
from personalize_spark.service.work import Background, Compute
from personalize_spark.storage.location import Place

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.loaders import Loader
    from pyspark.sql import SparkSession

_NOWHERE = "https://personalize-spark.invalid"
"""The endpoint: whatever the environment says of endpoints, nothing is sent to one."""


def client(
    catalog: Catalog | Place,
    service: Literal["personalize", "personalize-events", "personalize-runtime"] = "personalize",
    *,
    engine: Literal["spark", "local"] = "spark",
    spark: SparkSession | None = None,
    region_name: str | None = None,
) -> Any:
    """A boto3 client whose service is a catalog: of `personalize`, or of what feeds it events and tries its models.

    Paginators, `client.exceptions`, times and the checks of parameters are boto3's own. Create operations answer at once;
    imports, trainings and batch inference jobs then run in threads of this process, four at a time. At the end of the
    process, what has not ended becomes CREATE FAILED. Other clients are not touched.

    Args:
        catalog: the catalog, or where it is.
        service: as boto3 names it.
        engine: of batch inference jobs: `local` runs them in processes of this machine. Importing and training need Spark with either.
        spark: the session, used as it is; it needs Delta to import and to train. If left out, one is opened when it is first needed.
        region_name: of the client and of new ARNs; if left out, `AWS_REGION` or `AWS_DEFAULT_REGION`, else us-east-1.

    Returns:
        The client, of the class that `boto3.client("personalize")` gives.
    """
    import boto3
    import botocore.session

    region = region_name or default_region()
    opened = Catalog(catalog, region)
    # a session of its own, without the user's profile: neither takes anything from the other
    core = botocore.session.Session({"profile": (None, None, None, None)})
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    made = boto3.session.Session(botocore_session=core).client(
        service,
        region_name=region,
        endpoint_url=_NOWHERE,
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106  # requests are signed with something, and nobody looks
    )
    handler = Handler(opened, Background(opened, Compute(engine, spark)))

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        return _answer(handler, request)

    made.meta.events.register(f"before-send.{service}", send)
    # an answer from this process would be the same the next time, and a retry waits
    made.meta.events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")
    return made


@cache
def _loader(path: str | None) -> Loader:
    """What reads botocore's descriptions of services, and keeps them: that takes longer than all else of a client."""
    from botocore.loaders import create_loader

    return create_loader(path)


class _Raw:
    """A body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Iterator[bytes]:
        """All of it, once."""
        yield self._body


def _answer(handler: Handler, request: AWSPreparedRequest) -> AWSResponse:
    from botocore.awsrequest import AWSResponse

    target, body = request.headers.get("X-Amz-Target"), request.body
    assert isinstance(body, bytes)  # noqa: S101  # a body of JSON is never a stream
    if target is None:
        reply = handler.reply_at(urlsplit(request.url).path, body)
    else:
        reply = handler.reply(target if isinstance(target, str) else target.decode(), body)
    return AWSResponse(request.url, reply.status, cast("Any", reply.headers), _Raw(reply.body))
