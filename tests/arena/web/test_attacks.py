"""Attacks on the pages, each named after its number in the list of attacks that the arena is to withstand.

The others are tested beside the code that withstands them: 8 and 9 with the ratings, 10 and 18 with the store, 2 and 12
in test_way, 7 in test_blind, slow clients and many sockets of 17 in test_server.
"""

import json
import re
import time

import pytest

from storyreel.arena.prolific import TokenRefused
from storyreel.arena.store.clock import Clock
from storyreel.arena.store.overview import RaterCounts
from storyreel.arena.store.records import Outcome, StoreUnavailable
from storyreel.arena.study import Study
from storyreel.arena.web.admin import counts
from storyreel.arena.web.bodies import MOST_BYTES
from storyreel.arena.web.guard import POLICY
from storyreel.arena.web.limits import Limiter, address_key
from storyreel.arena.web.pages import Pages
from storyreel.arena.web.texts import Texts

CODES = {outcome: f"C{number}CODE" for number, outcome in enumerate(Outcome)}
PROLIFIC = "?PROLIFIC_PID=5f0c0ffee5f0c0ffee5f0c0f&STUDY_ID=aaaa1111&SESSION_ID=bbbb2222"


def forms_of(rater):
    return {"form": rater.field("form"), "pair": rater.pair}


def test_01_a_vote_sent_again_counts_once(site):
    rater = site.rater()
    rater.watch()
    sent = {**forms_of(rater), rater.question: "left"}
    assert [rater.post("/vote", **sent).status_code for _ in range(3)] == [303] * 3
    assert len(site.store.votes()) == 1


def test_03_a_pair_of_another_rater_takes_no_vote_and_shows_no_clip(site):
    rater, thief = site.rater(), site.rater()
    rater.watch()
    thief.watch()
    for form in (rater.field("form"), thief.field("form")):
        refused = thief.post("/vote", form=form, pair=rater.pair, **{rater.question: "left"})
        assert refused.status_code == 403
    assert thief.client.get(rater.clip_paths()[0]).status_code == 404
    assert site.client().get(rater.clip_paths()[0]).status_code == 403
    assert site.store.votes() == []


@pytest.mark.parametrize("pair", ["", "0" * 32, "ttt_mlp", "1' OR '1'='1", "../../etc/passwd", "é", "x" * 5000])
def test_04_and_16_invented_pairs_and_injection_are_refused(site, pair):
    rater = site.rater()
    rater.watch()
    assert rater.post("/vote", form=rater.field("form"), pair=pair, **{rater.question: "left"}).status_code == 403
    body = {"form": rater.field("form"), "pair": pair, "left": 1.0, "right": 1.0}
    assert rater.client.post("/play", json=body).status_code in (400, 403)
    assert site.store.votes() == []


def test_05_a_vote_before_both_were_watched_is_too_early(site):
    rater = site.rater()
    assert rater.vote().status_code == 425, "before play"
    rater.play()
    early = rater.play(1.0, 1.0)
    assert not early.json()["ready"], "spoofed: a second was played in no time"
    assert early.json()["wait"] > 0.9
    site.time.now += 0.1
    assert not rater.play(1.0, 1.0).json()["ready"], "at a tenth of the length"
    assert rater.vote().status_code == 425
    site.time.now += 5
    assert not rater.play(1.0, 0.5).json()["ready"], "one clip skipped to its end"
    refused = rater.vote()
    assert refused.status_code == 425
    assert "watch both videos" in refused.text
    assert rater.play(1.0, 1.0).json()["ready"]
    assert rater.vote().status_code == 303


def test_06_forged_addresses_do_not_get_around_the_limits(make_site):
    site = make_site()
    client = site.client()
    forged = [{"X-Forwarded-For": f"10.0.0.{n}", "CF-Connecting-IP": f"10.0.0.{n}", "Forwarded": f"for=10.0.0.{n}"}
              for n in range(Limiter.ARRIVAL.burst + 1)]  # fmt: skip
    found = [client.get("/i/invitation-of-tests", headers=headers).status_code for headers in forged]
    assert found == [303] * Limiter.ARRIVAL.burst + [429]
    assert site.client("198.51.100.8").get("/i/invitation-of-tests").status_code == 303

    behind = make_site({"behind_proxy": True}).client()
    headers = [{"X-Forwarded-For": f"10.0.0.{n}, 203.0.113.9"} for n in range(Limiter.ARRIVAL.burst + 1)]
    assert [behind.get("/i/invitation-of-tests", headers=one).status_code for one in headers][-1] == 429
    other = {"X-Forwarded-For": "203.0.113.9, 203.0.113.10"}
    assert behind.get("/i/invitation-of-tests", headers=other).status_code == 303


def test_06_an_ipv6_network_is_one_visitor():
    assert address_key("2001:db8:1:2:aaaa::1") == address_key("2001:db8:1:2:bbbb::2") != address_key("2001:db8:1:3::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1")
    assert address_key("<script>") == address_key(None) == "unknown"


def test_a_rater_who_asks_too_often_is_slowed_down(site):
    rater = site.rater()
    found = [rater.play().status_code for _ in range(Limiter.RATER.burst + 5)]
    assert found[0] == 200
    assert found[-1] == 429
    site.time.now += 60
    assert rater.play().status_code == 200


class Tokens:
    """Answers as told, as the check of a token does."""

    def __init__(self, answer):
        self.answer = answer

    def check(self, token, arrival):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_11_a_forged_token_opens_nothing_and_says_nothing(make_site):
    site = make_site({"codes": CODES, "token_check": Tokens(TokenRefused("alg none, kid secret-kid"))})
    client = site.client()
    refused = client.get(f"/i/invitation-of-tests{PROLIFIC}&prolific_token=e30.e30.")
    assert refused.status_code == 403
    assert "secret-kid" not in refused.text
    assert "set-cookie" not in refused.headers
    assert client.get("/i/invitation-of-tests").status_code == 400
    for forged in ("a%20b", "%3Cscript%3E", "", "a" * 65):
        query = f"?PROLIFIC_PID={forged}&STUDY_ID=a&SESSION_ID=b"
        assert client.get(f"/i/invitation-of-tests{query}").status_code == 400
    assert client.get("/i/another-invitation" + PROLIFIC).status_code == 404


def test_19_an_outage_of_the_token_check_is_unknown(make_site):
    site = make_site({"codes": CODES, "token_check": Tokens("unknown")})
    rater = site.visitor()
    rater.arrive(PROLIFIC + "&prolific_token=x")
    rater.consent()
    rater.check()
    rater.judge()
    state = site.store.state(site.store.votes()[0].judge)
    assert state.checks["prolific_token"] == "unknown"
    assert state.used


@pytest.mark.parametrize(
    "path",
    [
        "/clip/../../../etc/passwd.mp4", "/clip/%2e%2e/%2e%2e/etc/passwd.mp4", "/clip/..%2f..%2fetc%2fpasswd.mp4",
        "/clip/x.mp4", "/clip/%00.mp4", "/clip/.mp4", "/static/../app.py", "/static/%2e%2e/app.py", "/static/app.py",
        "/static/..%5capp.py", "//etc/passwd", "/clip/ttt_mlp.mp4", "/clip/garden.mp4",
    ],
)  # fmt: skip
def test_13_paths_lead_nowhere_else(site, path):
    response = site.rater().client.get(path)
    assert response.status_code == 404
    assert "root:" not in response.text


def test_13_ranges(site):
    rater = site.rater()
    path = rater.clip_paths()[0]
    whole = rater.client.get(path)
    data, size = whole.content, len(whole.content)
    assert (whole.status_code, whole.headers["accept-ranges"], whole.headers["content-type"]) == (
        200,
        "bytes",
        "video/mp4",
    )
    assert rater.client.head(path).headers["content-length"] == str(size)
    for asked, part in (("0-0", data[:1]), ("10-19", data[10:20]), (f"{size - 4}-", data[-4:]), ("-5", data[-5:])):
        response = rater.client.get(path, headers={"Range": f"bytes={asked}"})
        assert (response.status_code, response.content) == (206, part)
    assert response.headers["content-range"] == f"bytes {size - 5}-{size - 1}/{size}"
    many = "bytes=" + ",".join(f"{at}-{at}" for at in range(1000))
    wrong = ["bytes=0-1,3-4", f"bytes={size}-", "bytes=5-2", "bytes=-0", "bytes=-", "items=0-1", "bytes=1e3-"]
    for asked in (many, *wrong, "bytes=" + "9" * 5000 + "-", "bytes=٣-٤".encode()):
        response = rater.client.get(path, headers={"Range": asked})
        assert (response.status_code, response.content) == (416, b"")
        assert response.headers["content-range"] == f"bytes */{size}"


def test_14_names_and_texts_are_escaped(make_site):
    own = Texts("<script>alert(1)</script>", "<script>alert(2)</script>", "<script>alert(3)</script>")
    site = make_site({"texts": own})
    rater = site.rater()
    assert "<b>of</b>" not in rater.page
    assert "&lt;b&gt;of&lt;/b&gt; bread &amp; butter" in rater.page
    newcomer = site.visitor()
    newcomer.arrive()
    assert all(f"&lt;script&gt;alert({n})" in newcomer.page for n in (1, 2, 3))
    assert "<script>alert" not in rater.page + newcomer.page + site.client().get("/").text
    nasty = "<img src=x onerror=alert(1)>"
    study = Study((nasty, "b"), ("s",))
    pages = Pages(site.settings)
    none = RaterCounts(0, 0, 0, 0, 0, 0)
    page = pages.page(
        "admin.html", study=study, counts=counts([], study), alarms=[nasty], playback=None, raters=none, opened=0
    )
    assert nasty.encode() not in page.body


def test_15_requests_from_other_sites_are_refused(site):
    rater = site.rater()
    rater.watch()
    sent = {**forms_of(rater), rater.question: "left"}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:8000", "", None):
        headers = {} if origin is None else {"Origin": origin}
        client = rater.client
        client.headers.pop("origin", None)
        assert client.post("/vote", data=sent, headers=headers).status_code == 403
        assert client.post("/admin", data={"secret": "admin-secret-of-tests"}, headers=headers).status_code == 403
    client.headers["Origin"] = "http://127.0.0.1:8000"
    for form in ("", "x", sent["form"][:-1]):
        assert rater.post("/vote", **(sent | {"form": form})).status_code == 403
    assert site.store.votes() == []
    assert rater.post("/vote", **sent).status_code == 303


def test_15_a_foreign_host_name_is_refused(site):
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", ""):
        assert site.client().get("/", headers={"Host": host}).status_code == 400


def test_15_every_answer_is_guarded(site):
    rater = site.rater()
    client = rater.client
    answers = [
        client.get("/"), client.get("/nothing"), client.get(rater.clip_paths()[0]), client.get("/admin"),
        client.post("/vote", data={}), client.post("/play", content=b"{"), client.get("/static/viewing.js"),
        client.get("/", headers={"Host": "evil.example"}), client.delete("/"),
    ]  # fmt: skip
    for answer in answers:
        assert answer.headers["content-security-policy"] == POLICY
        assert "frame-ancestors 'none'" in POLICY
        assert "unsafe" not in POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not {"etag", "last-modified", "server"} & set(answer.headers)
    assert "style=" not in client.get("/").text
    assert not re.search(r"\son\w+=|javascript:|<style|<script>", client.get("/").text)


def test_https_binds_cookies_to_the_host(make_site):
    site = make_site({"public_url": "https://arena.example.org"})
    client = site.client(origin="https://arena.example.org")
    response = client.get("/i/invitation-of-tests")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-storyreel=")
    assert "secure" in cookie.lower()
    assert "path=/" in cookie.lower()
    assert "max-age=31536000" in response.headers["strict-transport-security"]


def test_16_bodies_are_small_and_of_known_shape(site):
    rater = site.rater()
    rater.play()
    form, pair = rater.field("form"), rater.pair
    good = {"form": form, "pair": pair, "left": 0.5, "right": 0.5}
    post = rater.client.post
    for change in ({"winner": "left"}, {"weight": 9}, {"left": -1}, {"left": "0.5"}, {"left": None}, {"left": 1e9},
                   {"stalls": 1.5}, {"drift": [0]}, {"pair": 7}):  # fmt: skip
        assert post("/play", json=good | change).status_code == 400, change
    for value in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = json.dumps(good).replace("0.5", value)
        assert post("/play", content=text, headers={"Content-Type": "application/json"}).status_code == 400
    assert post("/play", content=json.dumps(good), headers={"Content-Type": "text/plain"}).status_code == 415
    huge = b'{"form": "' + b"x" * 10_000_000 + b'"}'
    assert post("/play", content=huge, headers={"Content-Type": "application/json"}).status_code == 413
    chunks = (b"x" * 1000 for _ in range(MOST_BYTES))
    assert post("/play", content=chunks, headers={"Content-Type": "application/json"}).status_code == 413
    deep = b"[" * 15_000
    assert post("/play", content=deep, headers={"Content-Type": "application/json"}).status_code == 400
    for extra in ({"winner": "ttt_mlp"}, {"weight": "9"}, {"model_a": "x"}):
        assert rater.post("/vote", form=form, pair=pair, **{rater.question: "left"}, **extra).status_code == 400
    twice = f"form={form}&pair={pair}&{rater.question}=left&{rater.question}=right"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for text in (twice, "&" * 100, "a", "=" * 9, "form=%ff", "\xff"):
        assert post("/vote", content=text.encode("latin-1"), headers=headers).status_code == 400, text
    assert rater.vote("ttt_mlp").status_code == 400
    assert rater.play(0.5, 0.5).status_code == 200


def test_17_a_full_disk_is_said_clearly_and_passes(site, monkeypatch):
    rater = site.rater()

    def full(*arguments, **named):
        raise StoreUnavailable("database or disk is full: /somewhere/arena.sqlite")

    with monkeypatch.context() as patch:
        for name in ("state", "serve", "play", "stalled"):
            patch.setattr(site.store, name, full)
        home, play = rater.client.get("/"), rater.play()
        stall = rater.client.post("/stall", json=forms_of(rater))
    assert [home.status_code, play.status_code, stall.status_code] == [503] * 3
    assert "Nothing that was stored before is lost" in home.text
    assert "arena.sqlite" not in home.text + play.text + stall.text
    assert rater.play().status_code == 200


def test_17_a_clock_set_back_neither_opens_nor_shuts(site, monkeypatch):
    site.store.clock = Clock()
    rater = site.rater()
    rater.play()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert "<video" in rater.load()
    assert not rater.play(1.0, 1.0).json()["ready"]
    assert rater.vote().status_code == 425
    assert site.client().get("/i/invitation-of-tests").status_code == 303


def test_20_secrets_stay_out_of_logs_addresses_and_errors(make_site, caplog, monkeypatch):
    site = make_site({"codes": CODES})
    rater = site.visitor()
    rater.arrive(PROLIFIC)
    assert "PROLIFIC" not in rater.page
    assert "PROLIFIC_PID" not in str(rater.client.get("/").url)

    def broken(*arguments, **named):
        raise RuntimeError("the inside")

    monkeypatch.setattr(site.store, "admit", broken)
    response = rater.post("/consent", form=rater.field("form"), agree="yes", plays="yes")
    assert response.status_code == 500
    assert "the inside" not in response.text
    assert "Traceback" not in response.text
    assert "5f0c0ffee" not in caplog.text
    assert "admin-secret" not in caplog.text + repr(site.settings)
    assert "invitation-of-tests" not in repr(site.settings)


def test_20_the_admin_secret_cannot_be_tried_often(site):
    client = site.client()
    found = [client.post("/admin", data={"secret": str(guess)}).status_code for guess in range(7)]
    assert found == [403] * Limiter.ADMIN.burst + [429] * 2
    for cookie in ("x", "", "WyJhIl0.x.y"):
        client.cookies.set("storyreel-admin", cookie)
        assert client.get("/admin/votes.jsonl").status_code == 404


def test_forged_session_cookies_open_nothing(site):
    rater = site.rater()
    cookie = rater.client.cookies["storyreel"]
    for forged in ("", "x", cookie[:-2] + "AA", cookie.replace(".", "", 1), "é".encode().hex(), cookie + "." + cookie):
        client = site.client()
        client.cookies.set("storyreel", forged)
        assert "by invitation" in client.get("/").text
        assert client.post("/vote", data=forms_of(rater)).status_code == 403
