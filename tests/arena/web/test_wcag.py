"""Every page of the arena by the rules of WCAG 2.2 AA, in a real browser, light and dark."""

import os
import shutil
from pathlib import Path

import pytest

from storyreel.arena.ballots import ballots
from storyreel.arena.page import report_as_page
from storyreel.arena.ratings import report
from storyreel.arena.simulate import Population, simulate
from storyreel.arena.store.clock import Clock
from storyreel.arena.store.records import Outcome, StoreUnavailable
from storyreel.arena.study import AXES, Study
from storyreel.arena.web.texts import Texts

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
CODES = {outcome: f"C{number}CODE" for number, outcome in enumerate(Outcome)}
PROLIFIC = "?PROLIFIC_PID=5f0c0ffee5f0c0ffee5f0c0f&STUDY_ID=aaaa1111&SESSION_ID=bbbb2222"
TEXTS = Texts("Which of the two cartoons do you like better?", contact="questions.about.the.study@lab.example.org")
READY = "#vote button:enabled, #vote input[type=radio]:enabled"


@pytest.fixture(params=["light", "dark"])
def page(request):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        options = {"color_scheme": request.param, "reduced_motion": "reduce"}
        page = browser.new_context(viewport={"width": 1280, "height": 800}, **options).new_page()
        page.set_default_timeout(30_000)
        yield page
        browser.close()


class Tour:
    """Looks at a page and keeps what it lacks, with the page's name; and a picture of it, if they are wanted."""

    def __init__(self, page, faults_of):
        self.page, self._faults_of, self.faults = page, faults_of, []

    def look(self, name):
        scheme = "dark" if self.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
        if folder := os.environ.get("STORYREEL_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}_{scheme}.png", full_page=True)
            self.page.set_viewport_size({"width": 320, "height": 640})
            self.page.screenshot(path=Path(folder) / f"{name}_{scheme}_320.png", full_page=True)
            self.page.set_viewport_size({"width": 1280, "height": 800})
        assert self.page.title()
        assert self.page.locator("html").get_attribute("lang") == "en"
        self.faults += [f"{name}: {line}" for line in self._faults_of(self.page)]


def click(page, name):
    page.get_by_role("button", name=name).click()


def test_the_pages_of_raters(page, make_site, serving, wcag_faults, monkeypatch):
    site = make_site({"codes": CODES, "texts": TEXTS}, axes=AXES[:1], votes_per_axis=2, ties=True)
    site.store.clock = Clock()
    tour = Tour(page, wcag_faults)
    with serving(site) as port:
        root = f"http://127.0.0.1:{port}"
        page.goto(root)
        tour.look("by_invitation")
        page.goto(f"{root}/i/{site.settings.invitation}{PROLIFIC}")
        tour.look("welcome")
        click(page, "I do not agree")
        page.get_by_role("heading", name="You do not take part").wait_for()
        tour.look("no_consent")
        click(page, "I agree now")
        page.get_by_role("heading", name="One question").wait_for()
        tour.look("check")
        click(page, "The one that is longer")
        page.get_by_role("alert").wait_for()
        tour.look("check_again")
        click(page, "The one that answers")
        page.wait_for_selector("#stage[data-loaded]")
        assert page.evaluate("document.getElementById('left').paused"), "reduced motion: nothing starts by itself"
        page.get_by_text("The story", exact=True).click()
        page.get_by_text("Keyboard", exact=True).click()
        tour.look("pair_before")
        click(page, "Play")
        page.wait_for_selector(READY)
        tour.look("pair")

        def full(*arguments, **named):
            raise StoreUnavailable("full")

        with monkeypatch.context() as patch:
            patch.setattr(site.store, "vote", full)
            page.get_by_role("button", name="Left").click()
            page.get_by_role("heading", name="could not be stored").wait_for()
            tour.look("unavailable")
        click(page, "Send again")
        page.wait_for_selector("#stage[data-loaded]")
        click(page, "Play")
        page.wait_for_selector(READY)
        page.get_by_role("button", name="About equal").click()
        page.get_by_role("heading", name="Thank you!").wait_for()
        tour.look("thanks")
        page.goto(f"{root}/nothing")
        tour.look("not_found")
    assert not tour.faults, "\n".join(tour.faults)


def test_the_pair_with_all_questions(page, make_site, serving, wcag_faults):
    site = make_site({"texts": TEXTS}, axes=AXES, all_axes_a_viewing=True, votes_per_axis=1, ties=True)
    site.store.clock = Clock()
    tour = Tour(page, wcag_faults)
    with serving(site) as port:
        page.goto(f"http://127.0.0.1:{port}/i/{site.settings.invitation}")
        click(page, "I agree, begin")
        click(page, "The one that answers")
        page.wait_for_selector("#stage[data-loaded]")
        click(page, "Play")
        page.wait_for_selector(READY)
        tour.look("pair_all_questions")
    assert not tour.faults, "\n".join(tour.faults)


def test_the_pages_of_whoever_runs_the_study(page, make_site, serving, wcag_faults, monkeypatch, tmp_path):
    site = make_site({"texts": TEXTS}, axes=AXES)
    for _ in range(3):
        rater = site.rater()
        for _ in range(4):
            rater.judge()
    tour = Tour(page, wcag_faults)
    monkeypatch.setattr(site.store, "alarms", lambda: ["30% of the 10 raters of the last hour are excluded."])
    with serving(site) as port:
        page.goto(f"http://127.0.0.1:{port}/admin")
        tour.look("enter")
        page.get_by_label("Secret").fill("wrong")
        click(page, "Open")
        page.get_by_role("alert").wait_for()
        tour.look("enter_again")
        page.goto(f"http://127.0.0.1:{port}/admin#{site.settings.admin_secret}")
        page.get_by_role("heading", name="The study so far").wait_for()
        tour.look("admin")
    assert not tour.faults, "\n".join(tour.faults)


def test_the_page_of_ratings(page, wcag_faults, tmp_path):
    study = Study(("a", "b", "a method with a long name"), tuple(f"story {at}" for at in range(9)))
    votes = simulate(study, Population(dict.fromkeys(study.methods, 1000.0), clickers=1), 12, 0).votes
    (tmp_path / "report.html").write_text(report_as_page(report(ballots(votes))), encoding="utf-8")
    tour = Tour(page, wcag_faults)
    page.goto((tmp_path / "report.html").as_uri())
    tour.look("ratings")
    assert not tour.faults, "\n".join(tour.faults)
