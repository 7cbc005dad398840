"""`serve`: the service over HTTP, for boto3, the AWS CLI and every other client of Amazon Personalize."""

from __future__ import annotations

import argparse

from personalize_spark.cli.arguments import (
    Commands,
    add_catalog,
    add_command,
    add_engine,
    add_session,
    catalog_of,
    options_of,
)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "serve", _serve, "Serve the API of Amazon Personalize over HTTP.")
    add_catalog(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="the port (default: 8080); 0 takes a free one")
    add_engine(parser)
    add_session(parser)
    parser.add_argument(
        "--access-keys",
        metavar="FILE",
        help="keys that requests must be signed with, in the form of ~/.aws/credentials; required unless the host is a loopback address",
    )
    parser.add_argument("--certfile", metavar="FILE", help="TLS certificate chain, PEM")
    parser.add_argument("--keyfile", metavar="FILE", help="TLS private key, PEM")
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="time that running jobs get at the end (default: 30)",
    )


def _serve(arguments: argparse.Namespace) -> None:
    from personalize_spark.server.serve import Options, serve

    options = Options(**options_of(arguments))
    serve(catalog_of(arguments), options, lambda url: print(f"Listening at {url}", flush=True))
