"""The report in its three forms: complete, escaped, and without what is not known."""

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from storyreel.arena.ballots import ballots
from storyreel.arena.page import report_as_page
from storyreel.arena.ratings import Report, report
from storyreel.arena.simulate import Population, simulate
from storyreel.arena.study import AXES, Study
from storyreel.arena.table import report_as_json, report_as_lines
from storyreel.arena.votes import Vote

NASTY = "<script>alert('x')</script>&\""


@pytest.fixture(scope="module")
def found() -> Report:
    study = Study((NASTY, "plain", "third"), ("one", "two", "three"), AXES[:2], votes_per_axis=8)
    population = Population({NASTY: 1000, "plain": 1050, "third": 950}, tie=-1)
    return report(ballots(simulate(study, population, 30, 0).votes, (*study.methods, "unseen"), study.axis_names))


class Tags(HTMLParser):
    """Checks that every tag that opens also closes, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "line", "circle", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(found: Report) -> None:
    page = report_as_page(found, NASTY)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert {"svg", "table", "figure"} <= tags.seen
    assert not {"script", "link", "img", "iframe"} & tags.seen
    assert not {"src", "href", "onclick", "onload"} & tags.attributes
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page
    assert "nan" not in re.sub(r"<style>.*</style>", "", page).lower().replace("dominan", "")


def test_names_are_escaped(found: Report) -> None:
    page = report_as_page(found, NASTY)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_table_has_every_method_and_no_escape_sequence(make_vote: Callable[..., Vote]) -> None:
    votes = [make_vote("a\x1b[2J", "b"), make_vote("b", "a\x1b[2J", story="two")]
    text = "\n".join(report_as_lines(report(ballots(votes, ("b", "unseen")))))
    assert "\x1b" not in text
    assert "unseen: not rated, no votes" in text
    assert "a?[2J" in text


def test_lines_show_intervals_and_state(found: Report) -> None:
    lines = report_as_lines(found)
    assert lines[0].split() == [*(axis.name for axis in AXES[:2]), "overall"]
    assert any(line.startswith("overall: provisional: not rated: unseen") for line in lines)
    row = next(line for line in lines if line.strip().startswith("plain") and "[" in line)
    low, high = map(int, re.findall(r"\[ *(\d+), *(\d+)\]", row)[0])
    plain = next(one for one in found.overall.rated if one.method == "plain")
    assert (low, high) == (round(plain.low), round(plain.high))


def test_json_holds_everything_and_null_for_what_is_not_known(found: Report) -> None:
    data = json.loads(report_as_json(found))
    assert data["methods"][0] == NASTY
    assert data["overall"]["rated"][0]["rating"] == pytest.approx(found.overall.rated[0].rating, abs=1e-9)
    assert data["overall"]["side"] is None
    assert data["axes"][0]["win_rates"][0][0] is None
    assert math.isclose(sum(data["raters"][0]["by_method"]), 0, abs_tol=1e-9)
