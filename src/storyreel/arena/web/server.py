"""The process that serves the application: one socket, no log of addresses, no patience with idle connections."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from storyreel.arena.web.protocol import ImpatientProtocol
from storyreel.errors import DataError

HOST = "127.0.0.1"
BACKLOG = 2048


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


def settle_memory() -> None:
    """Takes what the program is made of out of the collector's rounds, which would stop all answers for a while."""
    gc.collect()
    gc.freeze()
