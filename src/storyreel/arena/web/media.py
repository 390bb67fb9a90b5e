"""Clips by HTTP range (RFC 9110, 14): one range a request, and no header that could tell one clip from another."""

from __future__ import annotations

import os
import re
from io import FileIO
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK_BYTES = 256 * 1024
TYPE = "video/mp4"


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(first, end) of the bytes asked for, or None for all of them. ValueError: HTTP 416, also for many ranges.

    >>> asked_range("bytes=2-", 10), asked_range("bytes=-3", 10), asked_range("bytes=0-99", 10), asked_range(None, 10)
    ((2, 10), (7, 10), (0, 10), None)
    """
    if header is None:
        return None
    found = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", header.strip(), re.ASCII) if len(header) < 60 else None
    if found is None or found.group(0).endswith("=-"):
        raise ValueError(header[:60])
    first, last = found[1], found[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise ValueError(header)
    return start, end


class ClipResponse(Response):
    """A clip's bytes, as many as the request asks for. `size` is that of the file."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__()
        self._path, self._size = path, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            asked = asked_range(Headers(scope=scope).get("range"), self._size)
        except ValueError:
            refused = Response(status_code=416, headers={"Content-Range": f"bytes */{self._size}"})
            return await refused(scope, receive, send)
        start, end = asked or (0, self._size)
        headers = {"content-type": TYPE, "content-length": str(end - start), "accept-ranges": "bytes"}
        if asked:
            headers["content-range"] = f"bytes {start}-{end - 1}/{self._size}"
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        with FileIO(self._path) as file:
            part = b"" if scope["method"] == "HEAD" else await self._read(file, start, end)
            await send({"type": "http.response.start", "status": 206 if asked else 200, "headers": raw})
            while part:
                start += len(part)
                await send({"type": "http.response.body", "body": part, "more_body": start < end})
                part = await self._read(file, start, end) if start < end else b""
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})

    async def _read(self, file: FileIO, start: int, end: int) -> bytes:
        size = min(CHUNK_BYTES, end - start)
        part = _at_once(file, start, size) or await run_in_threadpool(_from_disk, file, start, size)
        if not part:
            raise OSError(f"{self._path} is shorter than it was")
        return part


def _at_once(file: FileIO, start: int, size: int) -> bytes:
    """The bytes if they are in memory, else none: a thread, which then has to wait for them, takes 0.2 ms or more."""
    if not hasattr(os, "RWF_NOWAIT"):
        return b""
    room = bytearray(size)
    try:
        found = os.preadv(file.fileno(), [room], start, os.RWF_NOWAIT)
    except OSError:
        # They are on the disk alone, or the file system cannot tell.
        return b""
    return bytes(room) if found == size else b""


def _from_disk(file: FileIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
