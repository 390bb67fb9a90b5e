"""A rater's way through the pages, from the link to the thanks."""

import re

import pytest

from storyreel.arena.store.records import Outcome, StoreUnavailable
from storyreel.arena.study import AXES
from storyreel.arena.web.sealed import SESSION_SECONDS

CODES = {outcome: f"C{number}CODE" for number, outcome in enumerate(Outcome)}
PROLIFIC = "?PROLIFIC_PID=5f0c0ffee5f0c0ffee5f0c0f&STUDY_ID=aaaa1111&SESSION_ID=bbbb2222"


def test_a_whole_study(make_site):
    site = make_site(votes_per_axis=2, axes=AXES[:2])
    rater = site.rater()
    for number in range(4):
        assert f"{number} answered" in rater.page
        assert "<video" in rater.page
        rater.judge("left" if number % 2 else "right")
    assert "Thank you!" in rater.page
    assert "Prolific" not in rater.page
    assert "<video" not in rater.page
    votes = site.store.votes()
    assert [vote.winner for vote in votes] == ["model_b", "model_a", "model_b", "model_a"]
    assert len({vote.judge for vote in votes}) == 1


def test_the_first_vote_is_the_third_click(site):
    rater = site.rater()  # two clicks: consent, and the answer to the check; the clips then start by themselves
    assert "<video" in rater.page
    rater.judge()
    assert len(site.store.votes()) == 1


def test_reload_and_crash_go_on_at_the_same_pair(site):
    rater = site.rater()
    before, names = rater.pair, rater.clip_paths()
    rater.load()
    assert (rater.pair, rater.clip_paths()) == (before, names)
    rater.watch()
    rater.load()
    assert rater.play().json()["ready"]
    assert rater.vote().status_code == 303


def test_getting_changes_nothing(site):
    rater = site.rater()
    before = site.store.state(site.store.votes()[0].judge) if site.store.votes() else rater.page
    for path in ("/", *rater.clip_paths(), "/admin", "/static/arena.css", "/robots.txt", "/favicon.ico"):
        assert rater.client.get(path).status_code < 300
    assert rater.load() == before
    for path in ("/consent", "/check", "/next", "/vote", "/play", "/stall"):
        assert rater.client.get(path).status_code == 405


def test_all_axes_a_viewing_and_ties(make_site):
    site = make_site(all_axes_a_viewing=True, ties=True, votes_per_axis=1)
    rater = site.rater()
    assert rater.page.count('type="radio"') == 6
    rater.watch()
    form = {"form": rater.field("form"), "pair": rater.pair}
    assert rater.post("/vote", **form, **{"answer-0": "tie"}).status_code == 409
    assert rater.post("/vote", **form, **{"answer-0": "tie", "answer-1": "right"}).status_code == 303
    assert "Thank you!" in rater.load()
    assert {vote.axis: vote.winner for vote in site.store.votes()} == {
        "text_following": "tie",
        "motion_naturalness": "model_b",
    }


def test_a_tie_is_no_answer_where_the_study_has_none(site):
    rater = site.rater()
    assert "About equal" not in rater.page
    rater.watch()
    assert rater.vote("tie").status_code == 409
    assert site.store.votes() == []


@pytest.fixture
def newcomer(make_site):
    def make(site, query=""):
        rater = site.visitor()
        rater.arrive(query)
        return rater

    return make


def test_the_comprehension_check_has_two_tries_and_rejects_nobody(make_site, newcomer):
    site = make_site({"codes": CODES})
    rater = newcomer(site, PROLIFIC)
    rater.consent()
    rater.check(right=False)
    assert "one more try" in rater.page
    rater.check(right=False)
    assert "will not be rejected" in rater.page
    assert CODES[Outcome.SCREENED_OUT] in rater.page
    assert rater.post("/next", form="x").status_code == 403


def test_consent_refused_and_given_after_all(make_site, newcomer):
    site = make_site({"codes": CODES})
    rater = newcomer(site, PROLIFIC)
    rater.consent(agree="no")
    assert CODES[Outcome.NO_CONSENT] in rater.page
    rater.consent()
    rater.check()
    assert "<video" in rater.page


def test_a_device_that_cannot_play_is_told_so(make_site, newcomer):
    site = make_site({"codes": CODES})
    for plays in ("no", "unknown"):
        rater = newcomer(site, PROLIFIC)
        rater.consent(plays=plays)
        assert CODES[Outcome.INCOMPATIBLE_DEVICE] in rater.page


def test_prolific_in_and_out(make_site, newcomer):
    site = make_site({"codes": CODES}, votes_per_axis=1, axes=AXES[:1])
    rater = newcomer(site)
    assert "by invitation" in rater.page, "without its parameters the link opens nothing"
    response = rater.arrive(PROLIFIC)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert response.headers["referrer-policy"] == "no-referrer"
    cookie = response.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    rater.consent()
    rater.check()
    assert not re.search("|".join(CODES.values()), rater.page)
    rater.judge()
    assert f"https://app.prolific.com/submissions/complete?cc={CODES[Outcome.COMPLETED]}" in rater.page
    vote = site.store.votes()[0]
    everything = rater.page + cookie + str(dict(rater.client.cookies)) + vote.model_dump_json()
    assert "5f0c0ffee5f0c0ffee5f0c0f" not in everything

    again = newcomer(site, PROLIFIC.replace("bbbb2222", "cccc3333"))
    again.consent()
    assert "Thank you!" in again.page, "12: the same participant in another session is the same rater"


def test_completion_is_shown_only_when_the_last_vote_is_durable(make_site, newcomer, monkeypatch):
    site = make_site({"codes": CODES}, votes_per_axis=1, axes=AXES[:1])
    rater = newcomer(site, PROLIFIC)
    rater.consent()
    rater.check()
    rater.watch()

    def full(*arguments, **named):
        raise StoreUnavailable("The disk is full at /secret/place.")

    with monkeypatch.context() as patch:
        patch.setattr(site.store, "vote", full)
        refused = rater.vote()
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert "could not be stored" in refused.text
    assert "/secret/place" not in refused.text
    assert "CODE" not in refused.text + rater.load()
    sent_again = dict(re.findall(r'name="([^"]*)" value="([^"]*)"', refused.text))
    assert rater.post("/vote", **sent_again).status_code == 303
    assert CODES[Outcome.COMPLETED] in rater.load()
    assert rater.post("/vote", **sent_again).status_code == 303
    assert len(site.store.votes()) == 1


def test_a_pair_that_stalls_gives_way_to_another_and_comes_again(site):
    rater = site.rater()
    first, names = rater.pair, rater.clip_paths()
    assert rater.client.post("/stall", json={"form": rater.field("form"), "pair": first}).status_code == 200
    assert rater.client.get(names[0]).status_code == 404
    rater.load()
    assert rater.pair != first
    rater.judge()
    rater.load()
    seen = {rater.pair}
    rater.judge()
    seen.add(rater.pair)
    assert first in seen


def test_two_tabs(site):
    rater = site.rater()
    other_tab = rater.page
    rater.judge("left")
    going_on = rater.page
    rater.page = other_tab
    assert rater.play(1, 1).status_code == 404
    assert rater.vote("left").status_code == 303
    refused = rater.vote("right")
    assert refused.status_code == 409
    assert "cannot be changed" in refused.text
    assert rater.load() == going_on
    assert [vote.winner for vote in site.store.votes()] == ["model_a"]


def test_a_session_ends_after_a_week(site):
    rater = site.rater()
    site.time.now += SESSION_SECONDS - 10
    assert "<video" in rater.load()
    site.time.now += 20
    assert "by invitation" in rater.load()


def test_the_admin_page(site):
    rater = site.rater()
    rater.judge()
    admin = site.client()
    assert "secret" in admin.get("/admin").text
    assert admin.get("/admin/votes.jsonl").status_code == 404
    assert admin.post("/admin", data={"secret": "wrong"}).status_code == 403
    entered = admin.post("/admin", data={"secret": "admin-secret-of-tests"})
    assert entered.status_code == 303
    assert "samesite=strict" in entered.headers["set-cookie"].lower()
    page = admin.get("/admin").text
    assert "No alarms" in page
    assert all(method in page for method in site.study.methods)
    assert '"judge"' in admin.get("/admin/votes.jsonl").text
    assert admin.get("/admin/votes.csv").text.startswith("model_a,")
    assert rater.client.get("/admin/votes.csv").status_code == 404
