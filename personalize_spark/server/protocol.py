"""HTTP/1.1 as uvicorn has it, with the service's body where a request is none, and a limit of time for a request's head."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from personalize_spark.service.handler import Reply

HEAD_SECONDS = 20.0


class Protocol(H11Protocol):
    """One connection."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio has it; the first head must come in time."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """As asyncio has it; so must the head of each other request, from its first byte on."""
        self._expect_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()

    def on_response_complete(self) -> None:
        """As uvicorn has it; what came behind the request is the head of the next one."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._forget_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with an error as the service spells it."""
        reply = Reply.error("SerializationException", msg)
        headers = [*reply.headers.items(), ("Connection", "close")]
        start = h11.Response(status_code=reply.status, headers=headers, reason=b"Bad Request")
        for event in (start, h11.Data(data=reply.body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect_head(self) -> None:
        if self._head is None and self.conn.their_state is h11.IDLE:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
