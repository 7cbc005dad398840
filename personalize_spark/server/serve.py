"""The server: a socket, uvicorn, and the application."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from personalize_spark.catalog.catalog import Catalog
from personalize_spark.errors import DataError, EnvironmentProblem, InvalidInputException, reason_of
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
        InvalidInputException: a host that other machines reach needs access keys; a key of TLS needs its certificate.
        DataError: there are none in the file, or the files of TLS are not a certificate and its key.
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
    _check_tls(options)
    _listen(options.host, options.port).close()  # a session takes seconds to start: first what can be wrong
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


def _check_tls(options: Options) -> None:
    if options.certfile is None:
        if options.keyfile is not None:
            raise InvalidInputException("--keyfile needs the certificate of the key: give --certfile FILE, too.")
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(options.certfile, options.keyfile)
    except OSError as error:
        files = " and ".join(filter(None, (options.certfile, options.keyfile)))
        raise DataError(
            f"{files}: no certificate of TLS with its private key, in PEM ({reason_of(error)}). "
            "--certfile has the certificate; the key is in it, too, or in --keyfile."
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise EnvironmentProblem(f"{host}:{port} cannot be listened at: {error.strerror}.") from error
    except OverflowError as error:
        raise InvalidInputException(f"{port} is no port: give one from 0, any that is free, to 65535.") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
