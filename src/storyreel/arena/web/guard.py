"""What every request passes on its way in, and every response on its way out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyreel.arena.web.limits import Limiter, address_key
from storyreel.arena.web.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # Not "no-referrer": with it browsers send "Origin: null" with forms of our own pages, which could be anybody's.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
HSTS = "max-age=31536000"
READS = frozenset({"GET", "HEAD"})
log = logging.getLogger("storyreel.arena")


class Guard:
    """Wraps the application: hosts, origins, rates, headers, errors that say nothing of the inside."""

    def __init__(self, app: ASGIApp, settings: Settings, limiter: Limiter, failure: Callable[[], Response]) -> None:
        self._app, self._settings, self._limiter, self._failure = app, settings, limiter, failure
        headers = HEADERS | ({"Strict-Transport-Security": HSTS} if settings.secure else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        scope["state"]["address"] = self._address(scope, headers)
        begun = False

        async def guarded_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = list(message.get("headers", ()))
                given = {name.lower() for name, _ in own}
                own += [header for header in self._headers if header[0] not in given]
                message["headers"] = own
            await send(message)

        refused = self._refusal(scope, headers)
        try:
            await (refused or self._app)(scope, receive, guarded_send)
        except Exception as error:
            if not isinstance(error, ConnectionError):
                # Neither the address nor the body: they may hold a participant's id.
                log.error("a request failed: %s", type(error).__name__, exc_info=error)
            if not begun:
                await self._failure()(scope, receive, guarded_send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or (_hostname(hosts[0]) not in self._settings.hosts):
            return PlainTextResponse("Unknown host.", 400)
        if scope["method"] not in READS and headers.get("origin") != self._origin(hosts[0]):
            return PlainTextResponse("This request did not come from the study's own page.", 403)
        wait = self._limiter.wait_seconds(f"address {scope['state']['address']}", Limiter.ADDRESS)
        if wait:
            return PlainTextResponse("Too many requests. Wait a little.", 429, {"Retry-After": f"{wait:.0f}"})
        return None

    def _origin(self, host: str) -> str:
        """What browsers send as the origin of pages at `host`."""
        public = self._settings.public_url.rstrip("/")
        return public if _hostname(host) == _hostname(public.partition("//")[2]) else f"http://{host}"

    def _address(self, scope: Scope, headers: Headers) -> str:
        """The peer's address or, behind a proxy of one's own, the one that this proxy added last."""
        client = scope.get("client")
        if self._settings.behind_proxy:
            forwarded = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2]
            return address_key(forwarded)
        return address_key(client[0] if client else None)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
