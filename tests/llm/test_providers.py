"""A provider over real HTTP: well, badly, slowly, too often, and not at all."""

import socket
import threading
import time

import pytest

from storyreel.errors import ConfigError, ServiceError
from storyreel.llm.protocol import Message, Request
from storyreel.llm.providers import ProviderModel, parse_model

SECRET = "sk-very-secret"
HELLO = Request("Be brief.", (Message("user", "Hello?"),), 100, seed=5)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def opened(server, **options):
    return ProviderModel(parse_model("openai:tiny", server if isinstance(server, str) else server.url), **options)


def test_a_reply_has_its_text_and_its_tokens(chat_server):
    chat_server.answer = lambda request: "Hello you."
    picture = b"\xff\xd8\xff not much of a picture"
    talk = (Message("user", "Hello?"), Message("model", "What?"), Message("user", "Hello!", (picture,)))
    with opened(chat_server) as model:
        reply = model.reply(Request("Be brief.", talk, 100, seed=5))
    assert (reply.text, reply.tokens_out, reply.cut) == ("Hello you.", 2, False)
    assert reply.tokens_in > 0
    (request,) = chat_server.requests
    assert request["model"] == "tiny"
    assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant", "user"]
    assert request["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert request.get("max_completion_tokens", request.get("max_tokens")) == 100
    assert request["seed"] == 5
    assert chat_server.keys == [f"Bearer {SECRET}"]


def test_a_cut_reply_is_known(chat_server):
    chat_server.finish, chat_server.answer = "length", lambda request: "Hel"
    with opened(chat_server) as model:
        assert model.reply(HELLO).cut


def test_a_rate_limit_is_waited_for_as_the_server_asks(chat_server):
    def limited(request):
        if len(chat_server.requests) < 3:
            return 429, {"Retry-After": "0.05"}, {"error": {"message": "slow down", "type": "rate_limit"}}
        return "At last."

    chat_server.answer = limited
    with opened(chat_server) as model:
        assert model.reply(HELLO).text == "At last."
    assert len(chat_server.requests) == 3


@pytest.mark.parametrize(
    ("status", "message", "line"),
    [
        (429, "slow down", r"refuses more calls for now, after 1 try \(429; it asks for 7 s\)"),
        (401, f"wrong key {SECRET}", "refuses the key in OPENAI_API_KEY"),
        (404, "no such model", "has no model tiny"),
        (400, f"bad {SECRET} thing", r"answers with error 400: bad \*\*\* thing"),
        (500, "oh dear", "answers with error 500: oh dear. Try later"),
    ],
)
def test_an_error_is_one_line_without_the_key(chat_server, status, message, line):
    chat_server.answer = lambda request: (status, {"Retry-After": "7"}, {"error": {"message": message}})
    with opened(chat_server, retries=0) as model, pytest.raises(ServiceError, match=line) as error:
        model.reply(HELLO)
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)


def test_a_server_that_is_slow_and_one_that_talks_nonsense(chat_server):
    chat_server.answer = lambda request: time.sleep(0.4)
    late = pytest.raises(ServiceError, match=r"did not answer within 0.1 s in 1 try")
    with opened(chat_server, retries=0, timeout_seconds=0.1) as model, late:
        model.reply(HELLO)
    chat_server.answer = lambda request: (200, {}, "<html>hello</html>")
    with opened(chat_server, retries=0) as model, pytest.raises(ServiceError, match="Check --base-url"):
        model.reply(HELLO)


def test_nobody_at_home():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with opened(url, retries=0) as model, pytest.raises(ServiceError, match=f"no server answers at {url}"):
        model.reply(HELLO)


def test_names_and_keys(monkeypatch):
    with pytest.raises(ConfigError, match="anthropic:NAME, openai:NAME or ollama:NAME"):
        parse_model("gpt")
    with pytest.raises(ConfigError, match="--base-url is localhost"):
        parse_model("openai:x", "localhost")
    with pytest.raises(ConfigError, match="Set ANTHROPIC_API_KEY"):
        ProviderModel(parse_model("anthropic:claude"))
    monkeypatch.delenv("OLLAMA_BASE_URL", raising=False)
    assert str(parse_model("ollama:qwen3")) == "ollama:qwen3 at http://localhost:11434/v1"
    with ProviderModel(parse_model("ollama:qwen3")):
        pass
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    with ProviderModel(parse_model("anthropic:claude")) as model:
        assert SECRET not in repr(vars(model.name))


def test_ollama_is_a_server_of_the_same_kind(chat_server, monkeypatch):
    monkeypatch.setenv("OLLAMA_BASE_URL", chat_server.url)
    chat_server.answer = lambda request: "Hello you."
    name = parse_model("ollama:tiny")
    assert name.runs_here
    assert not parse_model("ollama:big-cloud").runs_here
    with ProviderModel(name) as model:
        assert model.reply(HELLO).text == "Hello you."
    assert SECRET not in str(chat_server.keys)


def test_anthropics_messages(chat_server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    chat_server.answer = lambda request: (
        200,
        {},
        {
            "id": "1",
            "type": "message",
            "role": "assistant",
            "model": "tiny",
            "content": [{"type": "text", "text": "Hello you."}],
            "stop_reason": "max_tokens",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 3},
        },
    )
    name = parse_model("anthropic:claude-haiku-4-5", chat_server.url.removesuffix("/v1"))
    picture = Message("user", "Hello?", (b"\xff\xd8\xff",))
    with ProviderModel(name) as model:
        reply = model.reply(Request("Be brief.", (picture,), 100))
    assert (reply.text, reply.tokens_in, reply.tokens_out, reply.cut) == ("Hello you.", 7, 3, True)
    (request,) = chat_server.requests
    assert request["max_tokens"] == 100
    assert "Be brief." in str(request["system"])
    assert request["messages"][0]["content"][0]["source"]["media_type"] == "image/jpeg"


def test_calls_that_wait_can_be_stopped(chat_server):
    chat_server.answer = lambda request: time.sleep(1)
    with opened(chat_server) as model:
        threading.Timer(0.2, model.stop).start()
        with pytest.raises(ServiceError, match="the calls were stopped"):
            model.reply(HELLO)
        with pytest.raises(ServiceError, match="the calls were stopped"):
            model.reply(HELLO)
    assert len(chat_server.requests) == 1
