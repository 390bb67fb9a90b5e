"""Blindness (attack 7): nothing that a rater gets before the vote tells which method made a clip."""

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from storyreel.arena.clips.boxes import boxes, without_pictures
from storyreel.arena.study import Gold
from storyreel.arena.web.sealed import Sealer
from storyreel.arena.web.viewing import Hall

RATERS, PAIRS = 4, 5
GOLD = Gold("garden", "known_better", "known_worse")


class Look:
    """Everything that one side of one served pair shows: what was asked for it, and what came back."""

    def __init__(self, method, story, url, response):
        self.method, self.story, self.url, self.body = method, story, url, response.content
        self.headers = tuple(sorted(response.headers.items()))


def crawl(site):
    """(texts of pages, addresses, headers and scripts; looks at clips), of several raters over several pairs."""
    texts, looks = [], []
    for _ in range(RATERS):
        rater = site.rater()
        for _ in range(PAIRS):
            texts.append(rater.page)
            assert not re.search(r"repeat|mirror", rater.page)
            if "<video" not in rater.page:
                break
            texts += [f"{name}: {value}" for name, value in rater.client.get("/").headers.items()]
            texts += re.findall(r'(?:src|href|action)="([^"]*)"', rater.page)
            texts += [rater.client.get(url).text for url in re.findall(r'src="(/[^"]*)"', rater.page)]
            served = site.store.serve(_rater_of(site, rater)).served
            for url, method in zip(rater.clip_paths(), (served.left, served.right), strict=True):
                texts.append(url)
                looks.append(Look(method, served.story, url, rater.client.get(url)))
                partial = rater.client.get(url, headers={"Range": "bytes=0-99"})
                texts.append(str(sorted(partial.headers.items())))
            texts += [str(rater.play().json()), str(dict(rater.client.cookies))]
            rater.judge()
    return texts, looks


def _rater_of(site, rater):
    cookie = rater.client.cookies[site.settings.cookie("storyreel")]
    session = Sealer(site.settings.key, site.time).unseal(cookie)
    assert session is not None
    return session.rater


def secrets_of(site):
    """Whatever stands for a method or its files: names, kinds of pair, hashes and paths of clips."""
    names = {method for method, _ in site.clips}
    for (method, story), clip in site.clips.items():
        data = clip.path.read_bytes()
        names |= {clip.path.stem, clip.path.parent.name, str(clip.path), f"{method}/{story}"}
        names |= {hashlib.new(kind, data).hexdigest() for kind in ("md5", "sha1", "sha256")}
        names |= {hashlib.new(kind, method.encode()).hexdigest() for kind in ("md5", "sha1", "sha256")}
    return names | {"gold", "propensity"}


def leaks(site):
    """Every way by which a crawl of the site tells a method, as lines."""
    texts, looks = crawl(site)
    found = []
    everything = "\n".join(texts).lower()
    for name in secrets_of(site):
        if name.lower() in everything:
            found.append(f"a text holds {name!r}")
    for look in looks:
        raw = look.body + "\n".join(f"{name}: {value}" for name, value in look.headers).encode()
        found += [f"a clip holds {name!r}" for name in secrets_of(site) if name.encode() in raw]
    urls = Counter(look.url for look in looks)
    found += [f"the address {url} comes twice" for url, count in urls.items() if count > 1]
    by_story = defaultdict(list)
    for look in looks:
        by_story[look.story].append(look)
    for story, own in by_story.items():
        for what, of in (
            ("headers", lambda look: look.headers),
            ("size", lambda look: len(look.body)),
            ("container", lambda look: without_pictures(look.body)),
            ("boxes", lambda look: tuple(boxes(look.body))),
        ):
            if len({of(look) for look in own}) > 1:
                found.append(f"the {what} of {story}'s clips differ")
    found += _statistical(looks)
    return found


def _statistical(looks):
    """Letters of addresses that are the same for all clips of a method, though every name should be new."""
    names = [re.sub(r"^/clip/|\.mp4$", "", look.url) for look in looks]
    found = []
    for place in range(min(map(len, names))):
        of_method = defaultdict(set)
        for look, name in zip(looks, names, strict=True):
            of_method[look.method].add(name[place])
        enough = [method for method in of_method if sum(look.method == method for look in looks) >= 5]
        if any(len(of_method[method]) == 1 for method in enough):
            found.append(f"place {place} of the names of clips tells a method")
    return found


def test_nothing_tells_a_method(make_site):
    site = make_site(repeat_after=2)
    assert leaks(site) == []


def test_hidden_checks_look_like_all_others(make_site):
    site = make_site(gold=(GOLD,), gold_every=2)
    assert leaks(site) == []
    votes = site.store.votes()
    assert {vote.kind for vote in votes} == {"pair", "gold"}


def test_scripts_have_no_source_map_and_nobody_sees_ratings_before_the_end(site):
    """With ratings before and after one vote whoever gave it would know what it was for."""
    rater = site.rater()
    scripts = re.findall(r'src="(/[^"]*)"', rater.page)
    assert scripts
    for path in scripts:
        assert "sourceMappingURL" not in rater.client.get(path).text
        assert rater.client.get(f"{path}.map").status_code == 404
    rater.judge()
    for path in ("/ratings", "/report", "/leaderboard", "/admin/report.html", "/admin/ratings"):
        assert rater.client.get(path).status_code == 404
    admin = site.client()
    admin.post("/admin", data={"secret": site.settings.admin_secret})
    before = admin.get("/admin").text
    assert not re.search(r"\b(Elo|wins?|won|rating \d|1000)\b", before)


def named_by_method(monkeypatch, site):
    hall = Hall.open

    def open_pair(self, pair):
        names = hall(self, pair)
        served = pair.served
        named = dict(zip((served.left, served.right), names.values(), strict=True))
        self._open[served.rater] = named
        return named

    monkeypatch.setattr(Hall, "open", open_pair)


def marked_by_method(monkeypatch, site):
    hall = Hall.open

    def open_pair(self, pair):
        names = hall(self, pair)
        methods = (pair.served.left, pair.served.right)
        marked = {
            hashlib.sha256(method.encode()).hexdigest()[:1].upper() + name: clip
            for method, (name, clip) in zip(methods, names.items(), strict=True)
        }
        self._open[pair.served.rater] = marked
        return marked

    monkeypatch.setattr(Hall, "open", open_pair)


def given_files(monkeypatch, site):
    """Clips as they were before they were made alike: a comment, sizes and indexes of their own."""
    for (method, story), clip in list(site.clips.items()):
        path = site.folder / f"{method}-{story}.mp4"
        data = clip.path.read_bytes()
        path.write_bytes(data + (12 + len(method)).to_bytes(4, "big") + b"free" + b"note" + method.encode())
        site.shown[method, story] = replace(clip, path=path, size=path.stat().st_size)


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (named_by_method, "a text holds 'ttt_mlp'"),
        (marked_by_method, "place 0 of the names of clips tells a method"),
        (given_files, "the size of .*'s clips differ"),
    ],
)
def test_the_scanner_finds_a_planted_leak(make_site, monkeypatch, plant, told):
    site = make_site()
    plant(monkeypatch, site)
    assert any(re.match(told, line) for line in leaks(site))
