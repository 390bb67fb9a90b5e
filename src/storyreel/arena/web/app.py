"""The whole application: pages for raters and for whoever runs the study, behind one guard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from storyreel.arena.clips.library import Clip
from storyreel.arena.prolific import TokenRefused
from storyreel.arena.store import Store
from storyreel.arena.store.records import StoreRefusal, StoreUnavailable
from storyreel.arena.study import Study
from storyreel.arena.web.admin import Admin
from storyreel.arena.web.guard import Guard, log
from storyreel.arena.web.limits import Limiter
from storyreel.arena.web.pages import Pages
from storyreel.arena.web.refusals import Refusals
from storyreel.arena.web.sealed import Clock, Sealer
from storyreel.arena.web.settings import Settings
from storyreel.arena.web.steps import Steps
from storyreel.arena.web.viewing import Hall

SCRIPTS = ("clips.js", "enter.js", "sync.js", "viewing.js", "welcome.js")
STATIC = {"arena.css": "text/css", **dict.fromkeys(SCRIPTS, "text/javascript")}
IDLE_SECONDS = 3600.0
SWEEP_SECONDS = 60.0


def make_app(
    store: Store,
    study: Study,
    clips: Mapping[tuple[str, str], Clip],
    settings: Settings,
    *,
    storyboards: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> ASGIApp:
    """The ASGI application. `clips` by (method, story), gold ones included; `storyboards`: text by story.

    `clock` (seconds since 1970) dates cookies and fills rate limits; unless given it is the store's, which never goes
    back. The time of viewings is the store's in any case.
    """
    clock = clock or (lambda: store.clock.now())
    sealer, limiter, pages = Sealer(settings.key, clock), Limiter(clock), Pages(settings)
    steps = Steps(store, Hall(study, clips, storyboards or {}, sealer), pages, sealer, limiter, settings)
    admin = Admin(store, study, pages, sealer, limiter, settings, steps.playback, lambda: steps.arrivals)
    refusals = Refusals(pages)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(store))
        yield
        sweeper.cancel()

    app = Starlette(
        routes=[
            *steps.routes, *admin.routes, Route("/static/{name}", _static), Route("/robots.txt", _robots),
            Route("/favicon.ico", _no_icon),
        ],
        exception_handlers={
            HTTPException: refusals.http, StoreRefusal: refusals.store, StoreUnavailable: refusals.unavailable,
            TokenRefused: refusals.token,
        },
        lifespan=lifespan,
    )  # fmt: skip
    return Guard(app, settings, limiter, refusals.failure)


async def _sweep(store: Store) -> None:
    """Gives the pairs of raters who left to others."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await run_in_threadpool(store.release_idle, IDLE_SECONDS)
        except StoreUnavailable as error:
            log.warning("pairs of raters who left are still theirs: %s", error)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    return Response(files("storyreel.arena.web").joinpath("static", name).read_bytes(), media_type=STATIC[name])


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)


async def _robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")
