"""The page of whoever runs the study: counts, alarms and the votes as files, for those who know the secret."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from storyreel.arena.store import Store
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote, dump_votes, votes_as_csv
from storyreel.arena.web.bodies import read_form
from storyreel.arena.web.limits import Limiter
from storyreel.arena.web.pages import Pages
from storyreel.arena.web.playback import Playback
from storyreel.arena.web.sealed import ADMIN_SECONDS, Sealer
from storyreel.arena.web.settings import Settings

COOKIE = "storyreel-admin"
PATH = "/admin"


class Admin:
    """Handlers of the admin page."""

    def __init__(
        self, store: Store, study: Study, pages: Pages, sealer: Sealer, limiter: Limiter, settings: Settings,
        playback: Playback, arrivals: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store, self._study, self._pages = store, study, pages
        self._sealer, self._limiter, self._settings, self._playback = sealer, limiter, settings, playback
        self._arrivals = arrivals
        self.routes = [
            Route(PATH, self._overview, methods=["GET"]),
            Route(PATH, self._enter, methods=["POST"]),
            Route(f"{PATH}/votes.jsonl", self._jsonl, methods=["GET"]),
            Route(f"{PATH}/votes.csv", self._csv, methods=["GET"]),
        ]

    async def _overview(self, request: Request) -> Response:
        if not self._known(request):
            return self._pages.page("enter.html", wrong=False)
        votes = await run_in_threadpool(self._store.votes)
        alarms = await run_in_threadpool(self._store.alarms)
        raters = await run_in_threadpool(self._store.rater_counts)
        return self._pages.page(
            "admin.html", study=self._study, counts=counts(votes, self._study), alarms=alarms,
            playback=self._playback.figures(), raters=raters, opened=self._arrivals(),
        )  # fmt: skip

    async def _enter(self, request: Request) -> Response:
        wait = self._limiter.wait_seconds(f"admin {request.state.address}", Limiter.ADMIN)
        if wait:
            raise HTTPException(429, headers={"Retry-After": f"{wait:.0f}"})
        fields = await read_form(request, ("secret",))
        given = fields.get("secret", "").encode()
        if not secrets.compare_digest(given, self._settings.admin_secret.encode()):
            return self._pages.page("enter.html", 403, wrong=True)
        response = RedirectResponse(PATH, 303)
        response.set_cookie(
            self._settings.cookie(COOKIE), self._sealer.seal_admin(), max_age=ADMIN_SECONDS, path="/",
            secure=self._settings.secure, httponly=True, samesite="strict",
        )  # fmt: skip
        return response

    async def _jsonl(self, request: Request) -> Response:
        return _file(dump_votes(await self._votes(request)), "votes.jsonl", "application/jsonl")

    async def _csv(self, request: Request) -> Response:
        return _file(votes_as_csv(await self._votes(request)), "votes.csv", "text/csv")

    async def _votes(self, request: Request) -> list[Vote]:
        if not self._known(request):
            raise HTTPException(404)
        return await run_in_threadpool(self._store.votes)

    def _known(self, request: Request) -> bool:
        return self._sealer.is_admin(request.cookies.get(self._settings.cookie(COOKIE)))


@dataclass(frozen=True)
class VoteCounts:
    """`methods`: votes in which each took part; `cells`: by two methods, then by axis in the study's order.

    Checks (hidden pairs, repeats) are only in `checks`, and votes that are not used in all but `used`.
    """

    votes: int
    used: int
    checks: int
    axes: dict[str, int]
    methods: dict[str, int]
    cells: dict[tuple[str, str], list[int]]


def counts(votes: Sequence[Vote], study: Study) -> VoteCounts:
    own = [vote for vote in votes if vote.kind == "pair"]
    methods = Counter(name for vote in own for name in (vote.model_a, vote.model_b))
    axes = Counter(vote.axis for vote in own)
    cells = Counter((frozenset((vote.model_a, vote.model_b)), vote.axis) for vote in own)
    pairs = [(study.methods[first], study.methods[second]) for first, second in study.method_pairs]
    return VoteCounts(
        votes=len(own),
        used=sum(vote.used for vote in own),
        checks=len(votes) - len(own),
        axes={axis: axes[axis] for axis in study.axis_names},
        methods={method: methods[method] for method in study.methods},
        cells={pair: [cells[frozenset(pair), axis] for axis in study.axis_names] for pair in pairs},
    )


def _file(text: str, name: str, kind: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=kind, headers=headers)
