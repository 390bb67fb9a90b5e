"""The annotation page's keys in a real browser: Playwright with the system's Chromium."""

import importlib.util
import json
import shutil
import threading
import time

import pytest

from storyreel.data.annotation.app import HOST, make_server, open_port
from storyreel.data.annotation.desk import Desk
from storyreel.data.caption_texts import read_edited
from storyreel.data.manifest import read_rows
from storyreel.data.segments import SegmentRow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]


@pytest.fixture
def desk(captioned, tmp_path):
    """The first two of the segments have drafts; nobody has written anything."""
    ids = [row.id for row in read_rows(captioned / "segments", SegmentRow)]
    rows = [{"id": own, "text": f"Draft {place}.", "provenance": "a model"} for place, own in enumerate(ids[:2])]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    from storyreel.cli.main import main

    line = ["data", "captions", str(captioned / "segments"), str(tmp_path / "captions")]
    assert main([*line, "--from", str(tmp_path / "texts.jsonl")]) == 0
    return Desk(captioned / "segments", tmp_path / "captions", "Ada"), tmp_path / "captions", ids


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_a_person_writes_with_the_keyboard_alone(desk, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    own, captions, ids = desk
    with open_port(0) as port:
        server = make_server(own, "token", tmp_path / "clips")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        root = f"http://{HOST}:{port.getsockname()[1]}/token"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(60_000)
            complaints: list[str] = []
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{root}/segment/{ids[0]}")
            text = page.locator("#text")
            # The cursor stands behind the draft.
            expect(text).to_be_focused()
            expect(text).to_have_value("Draft 0.")
            page.keyboard.type(" A cat runs.")
            expect(page.locator("#words")).to_have_text("5 words")
            expect(page.locator("#state")).to_have_text("saved, by person: Ada, from a model")
            assert read_edited(captions)[ids[0]].text == "Draft 0. A cat runs."
            video = page.locator("#clip")
            page.keyboard.press("Control+Space")
            until(lambda: video.evaluate("clip => clip.paused"))
            page.keyboard.press("Control+Space")
            until(lambda: not video.evaluate("clip => clip.paused"))
            assert video.evaluate("clip => clip.loop")
            page.keyboard.press("Control+Enter")
            page.wait_for_url(f"**/segment/{ids[1]}")
            # Accepted as it stands.
            page.keyboard.press("Control+Enter")
            page.wait_for_url(f"**/segment/{ids[2]}")
            assert read_edited(captions)[ids[1]].text == "Draft 1."
            page.keyboard.type("Three.")
            page.keyboard.press("PageUp")
            page.wait_for_url(f"**/segment/{ids[1]}")
            assert read_edited(captions)[ids[2]].text == "Three."
            page.keyboard.press("PageDown")
            page.wait_for_url(f"**/segment/{ids[2]}")
            expect(page.locator("#text")).to_have_value("Three.")
            page.keyboard.press("Control+a")
            page.keyboard.press("Delete")
            expect(page.locator("#state")).to_have_text("not written: the draft stands")
            page.keyboard.press("Control+Home")
            page.wait_for_url("**/token/")
            expect(page.locator("header b")).to_have_text("2")
            assert set(read_edited(captions)) == set(ids[:2])
            assert complaints == []
            browser.close()
        server.should_exit = True
        thread.join()


def test_its_pages_by_the_rules_of_wcag(desk, tmp_path, wcag_faults):
    from playwright.sync_api import sync_playwright

    own, _, ids = desk
    faults = []
    with open_port(0) as port:
        server = make_server(own, "token", tmp_path / "clips")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        root = f"http://{HOST}:{port.getsockname()[1]}/token"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                page = browser.new_context(color_scheme=scheme, reduced_motion="reduce").new_page()
                for path in ("/", f"/segment/{ids[0]}", f"/segment/{ids[2]}"):
                    page.goto(root + path)
                    if path != "/":
                        assert page.evaluate("document.getElementById('clip').paused"), (
                            "reduced motion: it stands still"
                        )
                    faults += [f"{scheme}, {path}: {line}" for line in wcag_faults(page)]
            browser.close()
        server.should_exit = True
        thread.join(20)
    assert not faults, "\n".join(faults)
