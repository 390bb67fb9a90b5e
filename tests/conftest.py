"""A language model's server over real HTTP, answering what the test says; the rules of WCAG for a page in a browser."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class ChatServer:
    """`answer` maps a request's JSON to a text, to (status, headers, body), or raises; `requests` are those seen."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda request: "{}"
        self.finish = "stop"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                outer.keys.append(self.headers["Authorization"])
                given = outer.answer(request)
                status, headers, body = given if isinstance(given, tuple) else (200, {}, outer.completion(given))
                data = json.dumps(body).encode() if isinstance(body, dict) else body.encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True  # the client would not wait

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def completion(self, text: str) -> dict[str, Any]:
        """What OpenAI's chat completions answer; a token a word."""
        asked = sum(len(str(message["content"]).split()) for message in self.requests[-1]["messages"])
        told = len(text.split())
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": self.requests[-1]["model"],
            "choices": [{"index": 0, "finish_reason": self.finish, "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told},
        }

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def words_of(request: dict[str, Any]) -> str:
    """The last thing that the user said."""
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def asked() -> Callable[[dict[str, Any]], str]:
    return words_of


AXE = os.environ.get("STORYREEL_AXE") or Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_TARGETS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), summary, select, textarea')]
  .filter(one => one.checkVisibility({visibilityProperty: true})
    && !(one.tagName === 'A' && getComputedStyle(one).display === 'inline' && one.closest('p, li')))
  .map(one => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => 'smaller than 24 px: ' + html)"""
_FOCUS = """() => {
  const own = document.activeElement, style = getComputedStyle(own), box = own.getBoundingClientRect();
  if (own === document.body) return null;
  const line = parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== 'none';
  const order = [...document.querySelectorAll('*')].indexOf(own);
  const seen = box.bottom > 0 && box.top < innerHeight;
  const controls = own.tagName === 'VIDEO';  // the browser's own, which draw their own focus
  return {order, html: own.outerHTML.slice(0, 80), shown: controls || line && own.matches(':focus-visible') && seen};
}"""


@pytest.fixture
def wcag_faults() -> Callable[[Any], list[str]]:
    """What a page of Playwright lacks of WCAG 2.2 AA, as lines: by axe-core, and what axe leaves to others.

    That is: targets of 24 px (2.5.8), no sideways scrolling at 320 px, which is 1280 px at 400% (1.4.10), a focus that
    is seen and goes in the order of the page (2.4.3, 2.4.7, 2.4.11), nothing that keeps it (2.1.2). The test is skipped
    where axe-core's script is missing (`npm install axe-core`, or its path in STORYREEL_AXE).
    """
    if not Path(AXE).is_file():
        pytest.skip("needs axe-core: npm install axe-core, or STORYREEL_AXE=.../axe.min.js")
    script = Path(AXE).read_text(encoding="utf-8")

    def faults(page: Any) -> list[str]:
        before = page.viewport_size
        found = _axe(page, script) + page.evaluate(_TARGETS) + _focus(page)
        page.set_viewport_size({"width": 320, "height": 640})
        found += [f"at 320 px: {line}" for line in _axe(page, script) + page.evaluate(_TARGETS) + _focus(page)]
        width = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size(before)
        return found + ([f"scrolls sideways at 320 px: {width} px"] if width > 320 else [])

    return faults


def _axe(page: Any, script: str) -> list[str]:
    page.evaluate(script)
    run = {"runOnly": {"type": "tag", "values": WCAG}}
    violations = page.evaluate("async run => (await axe.run(document, run)).violations", run)
    return [f"{one['id']}: {node['html'][:100]} {node['failureSummary'][:200]}"
            for one in violations for node in one["nodes"]]  # fmt: skip


def _focus(page: Any) -> list[str]:
    """Goes through the page by the Tab key, from its beginning until the focus leaves it."""
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    faults, orders = [], []
    for _ in range(100):
        page.keyboard.press("Tab")
        now = page.evaluate(_FOCUS)
        if now is None or (orders and now["order"] == orders[0]):
            break
        if not now["shown"]:
            faults.append(f"focus is not seen: {now['html']}")
        if orders and now["order"] == orders[-1]:
            continue  # the parts of a video's own controls
        if orders and now["order"] < orders[-1]:
            faults.append(f"focus goes back: {now['html']}")
        orders.append(now["order"])
    else:
        faults.append("the focus does not leave the page")
    return faults
