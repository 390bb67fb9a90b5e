"""Requests that are not carried out, as pages (or as JSON where a script asked): what happened and what to do."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from storyreel.arena.store.records import PairRefused, StepRefused, StoreUnavailable, TooEarly
from storyreel.arena.web.pages import Pages

TITLES = {
    400: "This request cannot be read",
    403: "This page is out of date",
    404: "There is nothing here",
    405: "This cannot be done here",
    408: "The connection is too slow",
    413: "This is too much",
    415: "This request cannot be read",
    429: "Too many requests",
}
SCRIPTS = frozenset({"/play", "/stall"})
RETRY_SECONDS = 5.0


class Refusals:
    """Handlers of exceptions. What they say is written here or in the store, and holds nothing of the inside."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = TITLES.get(error.status_code, "This does not work")
        response = self._say(request, error.status_code, title, "Go back to the study; nothing that you did is lost.")
        response.headers.update(error.headers or {})
        return response

    async def store(self, request: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, PairRefused) else 425 if isinstance(error, TooEarly) else 409
        title = (
            "Not yet" if status == 425 else "This step is over" if isinstance(error, StepRefused) else "Let us go on"
        )
        wait = error.wait_seconds if isinstance(error, TooEarly) else 0.0
        return self._say(request, status, title, str(error), wait_seconds=wait)

    async def unavailable(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, StoreUnavailable)
        again: list[tuple[str, str]] = []
        if request.url.path == "/vote":
            again = list(request.state.form.items())
        if request.url.path in SCRIPTS:
            response: Response = JSONResponse({"error": "unavailable"}, 503)
        else:
            response = self._pages.page("unavailable.html", 503, again=again, path=request.url.path)
        response.headers["Retry-After"] = f"{RETRY_SECONDS:.0f}"
        return response

    async def token(self, request: Request, error: Exception) -> Response:
        return self._say(
            request, 403, "This link cannot be used", "Please open the study from its page on Prolific once more."
        )

    def failure(self) -> Response:
        """For what nobody foresaw."""
        return self._pages.message(500, "Something went wrong", "It was noted. Go back to the study in a moment.")

    def _say(self, request: Request, status: int, title: str, line: str, wait_seconds: float = 0.0) -> Response:
        if request.url.path in SCRIPTS:
            return JSONResponse({"error": title, "wait": round(wait_seconds, 3)}, status)
        return self._pages.message(status, title, line, wait_seconds=wait_seconds)
