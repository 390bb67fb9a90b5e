"""The rater's way: invitation, consent, comprehension check, pairs, thanks. GET shows where a rater is; POST goes on.

Everything is at "/", so that a reload, a crash or a second tab comes back to the same step.
"""

from __future__ import annotations

import secrets
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from storyreel.arena.completion import completion_url
from storyreel.arena.store import Store
from storyreel.arena.store.records import COMPREHENSION_TRIES, OpenPair, Outcome, RaterState
from storyreel.arena.votes import Winner
from storyreel.arena.web import comprehension
from storyreel.arena.web.arrival import arrive
from storyreel.arena.web.bodies import Played, Stalled, read_form, read_json
from storyreel.arena.web.limits import Limit, Limiter
from storyreel.arena.web.media import ClipResponse
from storyreel.arena.web.pages import Pages
from storyreel.arena.web.playback import Playback
from storyreel.arena.web.sealed import SESSION_SECONDS, Sealer, Session
from storyreel.arena.web.settings import Settings
from storyreel.arena.web.turns import Turns
from storyreel.arena.web.viewing import Hall, Viewing

COOKIE = "storyreel"
HOME = "/"


class Steps:
    """Handlers of everything that raters may ask for."""

    def __init__(
        self, store: Store, hall: Hall, pages: Pages, sealer: Sealer, limiter: Limiter, settings: Settings
    ) -> None:
        self._store, self._hall, self._pages = store, hall, pages
        self._sealer, self._limiter, self._settings = sealer, limiter, settings
        self.playback, self._turns = Playback(), Turns(store)
        self.arrivals = 0
        # They are tried in this order, so what is asked most often comes first.
        self.routes = [
            Route("/play", self._play, methods=["POST"]),
            Route("/clip/{name}.mp4", self._clip, methods=["GET"]),
            Route("/vote", self._vote, methods=["POST"]),
            Route(HOME, self._home, methods=["GET"]),
            Route("/i/{invitation}", self._arrive, methods=["GET"]),
            Route("/consent", self._consent, methods=["POST"]),
            Route("/check", self._check, methods=["POST"]),
            Route("/next", self._next, methods=["POST"]),
            Route("/stall", self._stall, methods=["POST"]),
        ]

    async def _arrive(self, request: Request) -> Response:
        given = request.path_params["invitation"]
        if not secrets.compare_digest(given.encode(), self._settings.invitation.encode()):
            raise HTTPException(404)
        self._slow_down(f"arrival {request.state.address}", Limiter.ARRIVAL)
        settings, known = self._settings, self._session(request)
        session = await run_in_threadpool(
            arrive, request.query_params, self._sealer, known,
            prolific=settings.codes is not None, check=settings.token_check,
        )  # fmt: skip
        self.arrivals += session is not known
        response = RedirectResponse(HOME, 303)
        response.headers["Referrer-Policy"] = "no-referrer"
        self._keep(response, session)
        return response

    async def _home(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return self._pages.message(200, "This study is by invitation", "Please open the link that you were given.")
        if not session.rater:
            return self._page("welcome.html", session, "consent")
        ahead = self._hall.ahead(session.rater)
        if ahead is not None:
            return self._pair(session, ahead)
        state = await self._turns.lightly(self._store.state, session.rater)
        return await self._step(session, state)

    async def _step(self, session: Session, state: RaterState) -> Response:
        if state.outcome is not None:
            return self._goodbye(session, state)
        if state.consent is None:
            return self._page("welcome.html", session, "consent")
        if state.comprehension == "open":
            answers = comprehension.options(self._sealer.shuffle_seed(state.rater))
            tries = COMPREHENSION_TRIES - state.comprehension_tries
            return self._page(
                "check.html", session, "check", question=comprehension.QUESTION, answers=answers, tries=tries
            )
        pair = await self._turns.lightly(self._store.serve, state.rater) if state.has_open_pair else None
        if pair is None:
            return self._page("next.html", session, "next")
        return self._pair(session, self._hall.viewing(pair, state.viewings_done))

    def _pair(self, session: Session, view: Viewing) -> Response:
        return self._page("pair.html", session, f"pair {view.pair}", view=view)

    def _goodbye(self, session: Session, state: RaterState) -> Response:
        codes, outcome = self._settings.codes, state.outcome
        code, link = "", ""
        if codes is not None and outcome is not None and state.source == "prolific":
            code, link = codes[outcome], completion_url(outcome, codes)
        again = outcome in (Outcome.NO_CONSENT, Outcome.INCOMPATIBLE_DEVICE)
        return self._page("done.html", session, "consent", state=state, code=code, link=link, again=again)

    async def _consent(self, request: Request) -> Response:
        session = self._visitor(request)
        fields = await read_form(request, ("form", "agree", "plays"))
        self._check_form(session, "consent", fields)
        if fields.get("agree") not in ("yes", "no") or fields.get("plays") not in ("yes", "no", "unknown"):
            raise HTTPException(400)
        admitted = await self._turns(self._admit, session, fields["agree"] == "yes", fields["plays"] == "yes")
        response = RedirectResponse(HOME, 303)
        self._keep(response, admitted)
        return response

    def _admit(self, session: Session, agrees: bool, plays: bool) -> Session:
        store, rater = self._store, session.rater
        if not rater:
            identity = f"prolific:{session.identity}" if session.source == "prolific" else session.identity
            rater = store.admit(identity, session.source).rater
            if session.token is not None:
                store.note_check(rater, "prolific_token", session.token)
        store.consent(rater, agrees)
        if agrees:
            store.device(rater, plays)
        # A name of its own after admission: what was known before it opens nothing.
        return session.model_copy(update={"rater": rater, "nonce": secrets.token_urlsafe(16)})

    async def _check(self, request: Request) -> Response:
        session = self._rater(request)
        fields = await read_form(request, ("form", "answer"))
        self._check_form(session, "check", fields)
        right = comprehension.is_right(self._sealer.shuffle_seed(session.rater), fields.get("answer", ""))
        if right is None:
            raise HTTPException(400)
        state = await self._turns(self._store.comprehension, session.rater, right)
        if state.may_rate:
            await self._serve(session.rater)
        return RedirectResponse(HOME, 303)

    async def _next(self, request: Request) -> Response:
        session = self._rater(request)
        self._check_form(session, "next", await read_form(request, ("form",)))
        await self._serve(session.rater)
        return RedirectResponse(HOME, 303)

    async def _vote(self, request: Request) -> Response:
        session = self._rater(request)
        fields = await read_form(request, ("form", "pair", *self._hall.fields()))
        pair = fields.get("pair", "")
        self._check_form(session, f"pair {pair}", fields)
        answers = self._hall.answers(fields)
        if answers is None:
            raise HTTPException(400)
        request.state.form = fields
        following = await self._turns(self._vote_and_serve, pair, session.rater, answers)
        self._hall.voted(session.rater, pair, following)
        return RedirectResponse(HOME, 303)

    def _vote_and_serve(self, pair: str, rater: str, answers: dict[str, Winner]) -> OpenPair | None:
        self._store.vote(pair, rater, answers)
        return self._store.serve(rater)

    async def _play(self, request: Request) -> Response:
        session = self._rater(request)
        played = await read_json(request, Played)
        self._check_form(session, f"pair {played.pair}", {"form": played.form})
        progress = await self._turns.lightly(
            self._store.play, played.pair, session.rater, played.left, played.right, stalls=played.stalls
        )
        self.playback.note(played)
        return JSONResponse({"ready": progress.ready, "wait": round(progress.wait_seconds, 3)})

    async def _stall(self, request: Request) -> Response:
        session = self._rater(request)
        stalled = await read_json(request, Stalled)
        self._check_form(session, f"pair {stalled.pair}", {"form": stalled.form})
        await self._turns.lightly(self._store.stalled, stalled.pair, session.rater)
        self._hall.close(session.rater)
        await self._serve(session.rater)
        return JSONResponse({})

    async def _clip(self, request: Request) -> Response:
        session = self._rater(request)
        name = request.path_params["name"]
        clip = self._hall.clip(session.rater, name)
        if clip is None:
            pair = await self._turns.lightly(self._open_pair, session.rater)
            clip = self._hall.open(pair).get(name) if pair else None
        if clip is None:
            raise HTTPException(404)
        return ClipResponse(clip.path, clip.size)

    def _open_pair(self, rater: str) -> OpenPair | None:
        return self._store.serve(rater) if self._store.state(rater).has_open_pair else None

    async def _serve(self, rater: str) -> None:
        """Has the next pair ready, so that showing it changes nothing."""
        await self._turns.lightly(self._store.serve, rater)

    def _session(self, request: Request) -> Session | None:
        return self._sealer.unseal(request.cookies.get(self._settings.cookie(COOKIE)))

    def _visitor(self, request: Request) -> Session:
        session = self._session(request)
        if session is None:
            raise HTTPException(403)
        self._slow_down(f"rater {session.rater or session.identity}", Limiter.RATER)
        return session

    def _rater(self, request: Request) -> Session:
        session = self._visitor(request)
        if not session.rater:
            raise HTTPException(403)
        return session

    def _slow_down(self, key: str, limit: Limit) -> None:
        wait = self._limiter.wait_seconds(key, limit)
        if wait:
            raise HTTPException(429, headers={"Retry-After": f"{wait:.0f}"})

    def _check_form(self, session: Session, purpose: str, fields: dict[str, str]) -> None:
        if not secrets.compare_digest(
            fields.get("form", "").encode(), self._sealer.form_token(session, purpose).encode()
        ):
            raise HTTPException(403)

    def _page(self, template: str, session: Session, purpose: str, **values: Any) -> Response:
        return self._pages.page(template, form=self._sealer.form_token(session, purpose), **values)

    def _keep(self, response: Response, session: Session) -> None:
        response.set_cookie(
            self._settings.cookie(COOKIE), self._sealer.seal(session), max_age=SESSION_SECONDS, path="/",
            secure=self._settings.secure, httponly=True, samesite="lax",
        )  # fmt: skip
