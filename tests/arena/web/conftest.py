"""A small study behind the real application and the real store, with a clock that the test sets."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from storyreel.arena.clips.library import Clip, prepare
from storyreel.arena.store import Store
from storyreel.arena.store.clock import Clock
from storyreel.arena.study import AXES, Gold, Study
from storyreel.arena.web.app import make_app
from storyreel.arena.web.comprehension import QUESTION, RIGHT
from storyreel.arena.web.hosting import clips_hash
from storyreel.arena.web.server import make_server, open_port
from storyreel.arena.web.settings import Settings

METHODS = ("ttt_mlp", "mamba_two", "sliding_window")
STORIES = ("garden", "kitchen")
GOLD = Gold("garden", "known_better", "known_worse")
SECONDS = 1.0
ORIGIN = "http://127.0.0.1:8000"
INVITATION, ADMIN_SECRET = "invitation-of-tests", "admin-secret-of-tests"


@pytest.fixture(scope="session")
def arena_clips(drawn: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Clip]:
    folder = tmp_path_factory.mktemp("arena")
    videos = {
        (method, story): drawn(
            folder / method / f"{story}.mp4", SECONDS, seed=3 * at + place, noise=12 * at, comment=f"made by {method}"
        )
        for at, method in enumerate((*METHODS, GOLD.better, GOLD.worse))
        for place, story in enumerate(STORIES)
    }
    return prepare(videos, folder / "clips")


class Time:
    """Seconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """The application over a store; `client` makes browsers that share nothing."""

    def __init__(
        self, folder: Path, clips: dict[tuple[str, str], Clip], settings: dict[str, Any], **study: Any
    ) -> None:
        self.time, self.folder = Time(), folder
        self.clips, self.shown = clips, dict(clips)
        self.study = Study(**{"methods": METHODS, "stories": STORIES, "axes": AXES[:2]} | study)
        self.store = Store.open(
            folder / "arena.sqlite", self.study, clips_hash=clips_hash(clips), seed=1, key=b"k" * 32,
            clip_seconds={name: clip.seconds for name, clip in clips.items()},
        )  # fmt: skip
        self.store.clock = Clock(wall=self.time, monotonic=self.time)
        own = {"key": b"p" * 32, "invitation": INVITATION, "admin_secret": ADMIN_SECRET} | settings
        self.settings = Settings(**own)
        boards = dict.fromkeys(self.study.stories, "A story <b>of</b> bread & butter.")
        self.app = make_app(self.store, self.study, self.shown, self.settings, storyboards=boards)

    def client(self, address: str = "198.51.100.7", origin: str = ORIGIN) -> TestClient:
        return TestClient(
            self.app, base_url=origin, headers={"Origin": origin}, follow_redirects=False, client=(address, 1234)
        )

    def visitor(self, **options: str) -> Rater:
        """Somebody who has not come in yet."""
        return Rater(self, self.client(**options))

    def rater(self, **options: str) -> Rater:
        """A rater before the first pair."""
        rater = self.visitor(**options)
        rater.arrive()
        rater.consent()
        rater.check()
        return rater


class Rater:
    """What a rater's browser does, step by step; the page before them is `page`."""

    def __init__(self, site: Site, client: TestClient) -> None:
        self.site, self.client = site, client
        self.page = ""

    def load(self) -> str:
        response = self.client.get("/")
        assert response.status_code == 200, response.text
        self.page = response.text
        return self.page

    def post(self, path: str, **fields: str) -> Any:
        return self.client.post(path, data=fields)

    def field(self, name: str) -> str:
        return re.findall(rf'name="{name}" value="([^"]*)"', self.page)[0]

    def arrive(self, query: str = "") -> Any:
        response = self.client.get(f"/i/{INVITATION}{query}")
        self.load()
        return response

    def consent(self, agree: str = "yes", plays: str = "yes") -> Any:
        response = self.post("/consent", form=self.field("form"), agree=agree, plays=plays)
        self.load()
        return response

    def check(self, right: bool = True) -> Any:
        assert QUESTION in self.page
        answers = dict(reversed(pair) for pair in re.findall(r'name="answer" value="(\d)">([^<]*)<', self.page))
        chosen = answers[RIGHT] if right else next(at for text, at in answers.items() if text != RIGHT)
        response = self.post("/check", form=self.field("form"), answer=chosen)
        self.load()
        return response

    @property
    def pair(self) -> str:
        return self.field("pair")

    @property
    def question(self) -> str:
        return re.findall(r'name="(answer-\d)"', self.page)[0]

    def clip_paths(self) -> list[str]:
        return re.findall(r'data-from="([^"]*)"', self.page)

    def play(self, left: float = 0.0, right: float = 0.0, **more: Any) -> Any:
        body = {"form": self.field("form"), "pair": self.pair, "left": left, "right": right} | more
        return self.client.post("/play", json=body)

    def watch(self) -> None:
        """Plays both clips to their end, in their own time."""
        assert self.play().status_code == 200
        self.site.time.now += SECONDS
        assert self.play(SECONDS, SECONDS).json()["ready"]

    def vote(self, answer: str = "left") -> Any:
        return self.post("/vote", form=self.field("form"), pair=self.pair, **{self.question: answer})

    def judge(self, answer: str = "left") -> None:
        self.watch()
        response = self.vote(answer)
        assert (response.status_code, response.headers["location"]) == (303, "/"), response.text
        self.load()


@pytest.fixture
def make_site(tmp_path: Path, arena_clips: dict[tuple[str, str], Clip]) -> Iterator[Callable[..., Site]]:
    opened: list[Site] = []

    def make(
        settings: dict[str, Any] | None = None, clips: Any = None, folder: Path | None = None, **study: Any
    ) -> Site:
        folder = (folder or tmp_path) / f"site{len(opened)}"
        folder.mkdir()
        opened.append(Site(folder, clips or arena_clips, settings or {}, **study))
        return opened[-1]

    yield make
    for site in opened:
        site.store.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@contextmanager
def served(site: Site) -> Iterator[int]:
    """The port of a real server of the site, in a thread."""
    with open_port(0) as own:
        server = make_server(site.app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield own.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture
def serving() -> Callable[[Site], AbstractContextManager[int]]:
    return served
