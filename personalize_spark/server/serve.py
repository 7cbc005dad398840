"""The server: a socket, uvicorn, and the application."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import EnvironmentProblem, InvalidInputException
from personalize_spark.server.app import App
from personalize_spark.server.sigv4 import read_keys
from personalize_spark.service.handler import Handler
from personalize_spark.service.work import Background, Compute


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        host: the address to listen at.
        port: 0 takes any that is free.
        engine: of batch inference jobs.
        access_keys: a file of access keys; see `sigv4.read_keys`.
        certfile: of TLS, PEM; `keyfile` belongs to it.
        grace: seconds that running work gets at the end.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    engine: Literal["spark", "local"] = "spark"
    access_keys: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    grace: float = 30.0


def serve(catalog: Catalog, options: Options, listening: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Args:
        catalog: holds all resources.
        options: how to serve.
        listening: is called with the server's URL when it listens.

    Raises:
        InvalidInputException: a host that other machines reach needs access keys.
        DataError: there are none in the file.
        EnvironmentProblem: uvicorn is not installed, the address is taken, or Spark cannot start.
    """
    try:
        import uvicorn

        from personalize_spark.server.protocol import Protocol
    except ImportError as error:
        raise EnvironmentProblem("uvicorn is not installed: pip install 'personalize-spark[serve]'.") from error
    local = _is_loopback(options.host)
    if not local and options.access_keys is None:
        raise InvalidInputException(
            f"Other machines reach {options.host}: give --access-keys FILE, or listen at 127.0.0.1."
        )
    keys = None if options.access_keys is None else read_keys(options.access_keys)
    compute = Compute(options.engine)
    if options.engine == "spark":
        compute.session()  # here, as a session starts in the main thread only with all that it sets
    background = Background(catalog, compute)
    app = App(Handler(catalog, background, remote=not local), background, keys, options.grace)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Protocol,
        ws="none",
        timeout_graceful_shutdown=10,
        ssl_certfile=options.certfile,
        ssl_keyfile=options.keyfile,
    )
    with _listen(options.host, options.port) as listener, contextlib.suppress(KeyboardInterrupt):
        scheme = "https" if options.certfile else "http"
        host = f"[{options.host}]" if ":" in options.host else options.host
        listening(f"{scheme}://{host}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run([listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise EnvironmentProblem(f"{host}:{port} cannot be listened at: {error.strerror}.") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
