"""What the owner of a study says in their own words, and what the admin page counts."""

import re

import pytest

from storyreel.arena.study import AXES
from storyreel.arena.web.texts import CONSENT, Texts, read_consent
from storyreel.cli.main import main
from storyreel.errors import ConfigError, DataError


def test_the_owners_words_are_on_the_pages(make_site):
    texts = Texts("Cats & <b>dogs</b>", "First line\nsecond line.\n\n\n  Another <p>aragraph.  ", "cats@example.org")
    site = make_site({"texts": texts})
    rater = site.visitor()
    rater.arrive()
    assert re.findall(r'<p class="own">([^<]*)</p>', rater.page) == [
        "First line\nsecond line.",
        "Another &lt;p&gt;aragraph.",
    ]
    assert "<h1>Cats &amp; &lt;b&gt;dogs&lt;/b&gt;</h1>" in rater.page
    assert CONSENT[:40] not in rater.page
    rater.consent()
    for page in (rater.page, site.client().get("/").text, site.client().get("/nothing").text):
        assert '<a href="mailto:cats@example.org" rel="noreferrer">cats@example.org</a>' in page


def test_without_words_of_their_own(site):
    rater = site.visitor()
    rater.arrive()
    assert "We keep your answers" in rater.page
    assert "18 or older" in rater.page
    assert "Questions?" not in rater.page


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("a.b+c@lab.example.org", "mailto:a.b+c@lab.example.org"),
        ("https://lab.example.org/arena?x=1", "https://lab.example.org/arena?x=1"),
        ("Ann, room 7", ""),
        ("javascript:alert(1)", ""),
        ("http://lab.example.org", ""),
        ("https://lab.example.org/ x", ""),
        ("a@b.org?subject=x", ""),
    ],
)
def test_only_addresses_become_links(contact, link):
    assert Texts(contact=contact).contact_link == link


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"title": "x" * 101}, "--title is 101 characters long"),
        ({"title": " "}, "--title is empty"),
        ({"consent": "\n \n"}, "--consent is empty"),
        ({"contact": "a\nb"}, "--contact holds characters"),
        ({"consent": "a\x1bb"}, "--consent holds characters"),
    ],
)
def test_words_that_cannot_be_shown_are_refused(texts, told):
    with pytest.raises(ConfigError, match=told):
        Texts(**texts)


def test_consent_from_a_file(tmp_path):
    file = tmp_path / "consent.txt"
    file.write_bytes(b"\xef\xbb\xbfOne\tline.\r\n\r\nTwo.")
    assert Texts(consent=read_consent(file)).paragraphs == ["One line.", "Two."]
    file.write_bytes(b"\xff")
    with pytest.raises(DataError, match="UTF-8"):
        read_consent(file)


def test_a_consent_that_is_not_there_is_one_line(drawn, tmp_path, capsys):
    for method in ("one", "two"):
        drawn(tmp_path / "videos" / method / "story.mp4", 1)
    given = ["--videos", str(tmp_path / "videos"), "--work", str(tmp_path / "work"), "--consent", str(tmp_path / "no")]
    assert main(["arena", "serve", *given]) == 1
    error = capsys.readouterr().err
    assert "no cannot be read" in error
    assert error.count("\n") == 1


def row(page, name):
    return re.findall(rf'<tr><th scope="row">{name}</th>(.*?)</tr>', page)[0].replace("<td>", "").split("</td>")[:-1]


def test_the_admin_page_counts_raters_by_state_and_votes_by_cell(make_site):
    site = make_site(axes=AXES[:2], votes_per_axis=1)
    for _ in range(2):
        site.visitor().arrive()
    refusing, failing, going_on, finished, excluded = (site.visitor() for _ in range(5))
    for rater in (refusing, failing, going_on, finished, excluded):
        rater.arrive()
        rater.consent(agree="no" if rater is refusing else "yes")
    for _ in range(2):
        failing.check(right=False)
    for rater, votes in ((going_on, 1), (finished, 2), (excluded, 1)):
        rater.check()
        for _ in range(votes):
            rater.judge()
    out = site.store.votes()[-1]
    site.store.exclude(out.judge, "seen to click without looking")
    admin = site.client()
    admin.post("/admin", data={"secret": site.settings.admin_secret})
    page = admin.get("/admin").text
    names = ("Opened the link since this start of the server", "Answered whether they take part", "Consented", "Voted",
             "Finished", "Turned away by device or instructions", "Excluded by a check or a person")  # fmt: skip
    assert [row(page, name) for name in names] == [["7"], ["5"], ["4"], ["3"], ["1"], ["1"], ["1"]]
    assert row(page, "Used in ratings") == ["3"]
    cells = [row(page, f"{first} and {second}") for first, second in (
        ("ttt_mlp", "mamba_two"), ("ttt_mlp", "sliding_window"), ("mamba_two", "sliding_window"))]  # fmt: skip
    votes = site.store.votes()
    for at, axis in enumerate(site.study.axis_names):
        assert sum(int(cell[at]) for cell in cells) == sum(vote.axis == axis for vote in votes)
    pair = {out.model_a, out.model_b}
    own = next(cell for cell, names in zip(cells, ({"ttt_mlp", "mamba_two"}, {"ttt_mlp", "sliding_window"},
               {"mamba_two", "sliding_window"}), strict=True) if names == pair)  # fmt: skip
    assert int(own[site.study.axis_names.index(out.axis)]) >= 1
