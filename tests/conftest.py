"""A language model's server for tests: OpenAI's chat completions over real HTTP, answering what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
