"""The process that serves the application: one socket, no log of addresses, no patience with idle connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from storyreel.errors import DataError

HOST = "127.0.0.1"
HEADER_SECONDS = 10.0
"""A connection that has not sent a whole request by then is closed."""
BACKLOG = 2048


class ImpatientProtocol(AutoHTTPProtocol):
    """uvicorn's own, but for connections that dribble, or send nothing: uvicorn would wait for them for ever."""

    header_seconds = HEADER_SECONDS
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def open_port(port: int, host: str = HOST) -> socket.socket:
    """A listening socket; 0: any port that is free. DataError where it cannot be had."""
    # With the protocol named, asyncio turns Nagle's algorithm off; it would hold answers back by 40 ms.
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((host, port))
        own.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        own.close()
        raise DataError(f"port {port} cannot be had: {error}. Choose another --port, or 0 for any.") from None
    return own


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server to be run on an `open_port`. It logs no requests, since their addresses may hold participants' ids."""
    config = uvicorn.Config(
        app, http=ImpatientProtocol, ws="none", log_level="critical", access_log=False, server_header=False,
        date_header=False, proxy_headers=False, timeout_keep_alive=15, timeout_graceful_shutdown=5, backlog=BACKLOG,
    )  # fmt: skip
    return uvicorn.Server(config)


def allow_many_connections() -> None:
    """Raises this process's limit on open files to what the system allows; a connection needs one."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
