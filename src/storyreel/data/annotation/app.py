"""The annotation page: every segment loops beside its draft, for a person to write or correct.

All addresses begin with a token that only the person who started the page knows. It answers on this machine alone,
shows nothing of other sites and runs no script but its own.
"""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from storyreel.data.annotation.clips import copy_clip
from storyreel.data.annotation.desk import Desk, Place
from storyreel.data.caption_texts import read_texts
from storyreel.errors import DataError, OutputError

HOST = "127.0.0.1"
MOST_BYTES = 64 * 2**20
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
Handler = Callable[[Request], Awaitable[Response]]


class AnnotationApp:
    """The page over a desk. `asgi` is the application; `clips` a folder for the segments' copies."""

    def __init__(self, desk: Desk, token: str, clips: Path) -> None:
        self._desk, self._token, self._clips = desk, token, clips
        self._templates = Environment(
            loader=PackageLoader("storyreel.data.annotation"), autoescape=True, undefined=StrictUndefined
        )
        routes = (
            ("/", self._overview, "GET"),
            ("/segment/{id}", self._segment, "GET"),
            ("/segment/{id}", self._save_form, "POST"),
            ("/segment/{id}", self._save, "PUT"),
            ("/clip/{id}.mp4", self._clip, "GET"),
            ("/thumb/{id}.jpg", self._thumb, "GET"),
            ("/texts/{film}.vtt", self._vtt, "GET"),
            ("/texts", self._take_in, "PUT"),
            ("/static/{name}", self._static, "GET"),
        )
        self.asgi = Starlette(
            routes=[Route("/{token}" + path, self._guarded(handler), methods=[verb]) for path, handler, verb in routes],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)],
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not secrets.compare_digest(request.path_params["token"].encode(), self._token.encode()):
                raise HTTPException(404, headers=HEADERS)
            origin = request.headers.get("origin")
            if request.method != "GET" and origin not in (None, f"http://{request.headers['host']}"):
                raise HTTPException(403, "this page takes texts from itself alone", headers=HEADERS)
            try:
                response = await handler(request)
            except (DataError, OutputError) as error:
                response = JSONResponse({"error": str(error)}, 400)
            response.headers.update(HEADERS)
            return response

        return guarded

    async def _overview(self, request: Request) -> Response:
        films = {film: [(place, self._desk.edited(place.row.id), self._desk.text(place.row.id)) for place in places]
                 for film, places in self._desk.films.items()}  # fmt: skip
        return self._page("overview.html", films=films, written=self._desk.written(), all=len(self._desk.places))

    async def _segment(self, request: Request) -> Response:
        place = self._place(request)
        desk = self._desk
        before = desk.text(place.row.follows) if place.row.follows else None
        return self._page(
            "segment.html",
            place=place,
            edited=desk.edited(place.row.id),
            draft=desk.drafts.get(place.row.id),
            before=before,
            number=list(desk.places).index(place.row.id) + 1,
            all=len(desk.places),
            written=desk.written(),
        )

    async def _save(self, request: Request) -> Response:
        place = self._place(request)
        text = await _body(request)
        given = await run_in_threadpool(self._desk.write, place.row.id, text, "accept" in request.query_params)
        return JSONResponse(
            {"by": given.provenance if given else None, "words": len(text.split()), "written": self._desk.written()}
        )

    async def _save_form(self, request: Request) -> Response:
        place = self._place(request)
        fields = parse_qs(await _body(request), keep_blank_values=True)
        text = fields.get("text", [""])[0]
        await run_in_threadpool(self._desk.write, place.row.id, text, "accept" in fields)
        return RedirectResponse(f"/{self._token}/segment/{place.after or place.row.id}", 303)

    async def _clip(self, request: Request) -> Response:
        place = self._place(request)
        path = self._clips / f"{place.row.id}.mp4"
        if not path.exists():
            await run_in_threadpool(copy_clip, self._desk.segments, place.row, path)
        return FileResponse(path, media_type="video/mp4")

    async def _thumb(self, request: Request) -> Response:
        return FileResponse(self._desk.segments / self._place(request).row.thumb, media_type="image/jpeg")

    async def _vtt(self, request: Request) -> Response:
        film = request.path_params["film"]
        if film not in self._desk.films:
            raise HTTPException(404, headers=HEADERS)
        headers = {"Content-Disposition": f'attachment; filename="{film}.vtt"'}
        return PlainTextResponse(self._desk.vtt(film), media_type="text/vtt", headers=headers)

    async def _take_in(self, request: Request) -> Response:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "texts"
            path.write_text(await _body(request), encoding="utf-8")
            try:
                texts = await run_in_threadpool(read_texts, path)
            except DataError as error:
                raise DataError(str(error).replace(str(path), "the file")) from None
            texts = {own: given for own, given in texts.items() if own}
        return JSONResponse({"taken": await run_in_threadpool(self._desk.take_in, texts), "texts": len(texts)})

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404, headers=HEADERS)
        return FileResponse(Path(__file__).parent / "static" / name, media_type=STATIC[name])

    def _place(self, request: Request) -> Place:
        place = self._desk.places.get(request.path_params["id"])
        if place is None:
            raise HTTPException(404, headers=HEADERS)
        return place

    def _page(self, template: str, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(root=f"/{self._token}", **values))


async def _body(request: Request) -> str:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise HTTPException(413, headers=HEADERS)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DataError("the text is not UTF-8. Save it as UTF-8.") from None


def open_port(port: int) -> socket.socket:
    """A listening socket on this machine alone; 0: any port that is free. DataError where it is taken."""
    # With the protocol named, asyncio turns Nagle's algorithm off; it would hold answers back by 40 ms.
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((HOST, port))
        own.listen()
    except (OSError, OverflowError) as error:
        own.close()
        raise DataError(f"port {port} cannot be had: {error}. Choose another --port, or 0 for any.") from None
    return own


def make_server(desk: Desk, token: str, clips: Path) -> uvicorn.Server:
    """A server of the page that writes no log, since addresses hold the token; run it on an `open_port`."""
    app = AnnotationApp(desk, token, clips)
    config = uvicorn.Config(
        app.asgi, log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False
    )
    return uvicorn.Server(config)
