"""Language models of Anthropic, of any OpenAI-compatible server and of Ollama, through pydantic-ai (extra "llm")."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from storyreel.errors import ConfigError, ServiceError, refusal
from storyreel.llm.protocol import Message, Reply, Request
from storyreel.wording import counted

if TYPE_CHECKING:
    from pydantic_ai.exceptions import AgentRunError, ModelAPIError
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model

RETRIES = 4
"""How often a provider's library tries again after a rate limit (as Retry-After says), a timeout, a server's error."""
TIMEOUT_SECONDS = 120.0
OLLAMA = "http://localhost:11434/v1"
MOST_OF_A_MESSAGE = 200
STOPPED = "the calls were stopped. The same line goes on."


@dataclass(frozen=True)
class ModelName:
    """PROVIDER:NAME, and the server where that is not the provider's own."""

    provider: str
    model: str
    base_url: str | None = None

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" + (f" at {self.base_url}" if self.base_url else "")

    @property
    def runs_here(self) -> bool:
        """Whether it is an Ollama of this machine, which costs nothing; its cloud models go through it too."""
        host = urlsplit(self.base_url or "").hostname
        return self.provider == "ollama" and host in ("localhost", "127.0.0.1", "::1") and "cloud" not in self.model

    @property
    def key_variable(self) -> str:
        """The environment variable with the key."""
        return {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "ollama": "OLLAMA_API_KEY"}[self.provider]


def parse_model(text: str, base_url: str | None = None) -> ModelName:
    """The model of "anthropic:NAME", "openai:NAME" or "ollama:NAME"; ConfigError for anything else."""
    provider, colon, model = text.partition(":")
    if not colon or not model or provider not in ("anthropic", "openai", "ollama"):
        limit = "it must be anthropic:NAME, openai:NAME or ollama:NAME"
        raise ConfigError(refusal("the model", text, limit, "openai:NAME with --base-url is any compatible server"))
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise ConfigError(refusal("--base-url", base_url, "it must begin with http", "Try http://localhost:8000/v1"))
    if base_url is None:
        base_url = os.environ.get(f"{provider.upper()}_BASE_URL") or (OLLAMA if provider == "ollama" else None)
    return ModelName(provider, model, base_url)


class ProviderModel:
    """A `LanguageModel` behind a provider's API. A context manager; its calls run on one event loop in a thread.

    The key is read from the environment, goes to the provider's library alone, and is struck from every message.
    """

    def __init__(self, name: ModelName, *, timeout_seconds: float = TIMEOUT_SECONDS, retries: int = RETRIES) -> None:
        self.name, self._timeout_seconds, self._retries = name, timeout_seconds, retries
        self._key = os.environ.get(name.key_variable, "")
        if not self._key and name.base_url is None:
            raise ConfigError(f"{name} needs a key. Set {name.key_variable} in the environment.")
        self._model, self._client = self._open()
        self._waiting: set[Future[Reply]] = set()
        self._stopped = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def reply(self, request: Request) -> Reply:
        """The model's reply. ServiceError, one line, where the provider gives none."""
        from pydantic_ai.exceptions import AgentRunError, ModelAPIError

        if self._stopped:
            raise ServiceError(STOPPED)
        future = asyncio.run_coroutine_threadsafe(self._ask(request), self._loop)
        self._waiting.add(future)
        try:
            return future.result()
        except CancelledError:
            raise ServiceError(STOPPED) from None
        except ModelAPIError as error:
            raise ServiceError(self._without_key(self._told(error))) from None
        except AgentRunError as error:
            raise ServiceError(self._without_key(self._nonsense(error))) from None
        except KeyboardInterrupt:
            future.cancel()
            raise
        finally:
            self._waiting.discard(future)

    def stop(self) -> None:
        """Ends every call that waits, from any thread, and lets none begin."""
        self._stopped = True
        for future in list(self._waiting):
            future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _open(self) -> tuple[Model, Any]:
        options: dict[str, Any] = {"timeout": self._timeout_seconds, "max_retries": self._retries}
        if self.name.provider == "anthropic":
            from anthropic import AsyncAnthropic
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            client = AsyncAnthropic(api_key=self._key or "none", base_url=self.name.base_url, **options)
            return AnthropicModel(self.name.model, provider=AnthropicProvider(anthropic_client=client)), client
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.ollama import OllamaProvider
        from pydantic_ai.providers.openai import OpenAIProvider

        client = AsyncOpenAI(api_key=self._key or "none", base_url=self.name.base_url, **options)
        kind = OllamaProvider if self.name.provider == "ollama" else OpenAIProvider
        return OpenAIChatModel(self.name.model, provider=kind(openai_client=client)), client

    async def _ask(self, request: Request) -> Reply:
        from pydantic_ai.direct import model_request
        from pydantic_ai.settings import ModelSettings

        settings = ModelSettings(max_tokens=request.most_tokens, seed=request.seed)
        response = await model_request(self._model, _messages(request), model_settings=settings)
        usage = response.usage
        cut = response.finish_reason == "length"
        return Reply(response.text or "", usage.input_tokens, usage.output_tokens, cut)

    def _told(self, error: ModelAPIError) -> str:
        from pydantic_ai import exceptions as kinds

        name = self.name
        server = name.base_url or f"{name.provider}'s server"
        tries = counted(self._retries + 1, "try", "tries")
        if isinstance(error, kinds.ModelAuthenticationError):
            return f"{server} refuses the key in {name.key_variable}. Check it, and that it may use {name.model}."
        if isinstance(error, kinds.ModelNotFoundError):
            return f"{server} has no model {name.model}. Check the name."
        if isinstance(error, kinds.ModelQuotaExceededError):
            return f"the account's credit at {server} is used up. Top it up; the same line goes on."
        if isinstance(error, kinds.ModelRateLimitError):
            wait = f"; it asks for {error.retry_after:g} s" if error.retry_after else ""
            tried = f"after {tries}"
            return f"{server} refuses more calls for now, {tried} (429{wait}). Wait; the same line goes on."
        if isinstance(error, kinds.ModelTimeoutError):
            limit = f"{self._timeout_seconds:g} s in {tries}"
            return f"{server} did not answer within {limit}. Give it longer with --timeout; the same line goes on."
        if isinstance(error, kinds.ModelConnectionError):
            return f"no server answers at {server} ({_short(error)}). Start it, or check --base-url and the network."
        if isinstance(error, kinds.ModelContextWindowExceededError):
            return f"the text is too long for {name.model}. Choose a model that reads more."
        if isinstance(error, kinds.ModelHTTPError):
            way_out = "Try later" if error.status_code >= 500 else "Check the model's name and options"
            return f"{server} answers with error {error.status_code}: {_short(error)}. {way_out}."
        return f"{server} failed: {_short(error)}. Check --base-url, or try later; the same line goes on."

    def _nonsense(self, error: AgentRunError) -> str:
        server = self.name.base_url or f"{self.name.provider}'s server"
        return f"{server} answers what no server of its kind does: {_short(error)}. Check --base-url."

    def _without_key(self, line: str) -> str:
        return line.replace(self._key, "***") if self._key else line


def _messages(request: Request) -> list[ModelMessage]:
    from pydantic_ai.messages import (
        BinaryContent,
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        UserContent,
        UserPromptPart,
    )

    def of(message: Message) -> ModelMessage:
        if message.who == "model":
            return ModelResponse(parts=[TextPart(message.text)])
        shown: list[UserContent] = [BinaryContent(image, media_type="image/jpeg") for image in message.images]
        return ModelRequest(parts=[UserPromptPart([*shown, message.text] if shown else message.text)])

    return [ModelRequest(parts=[SystemPromptPart(request.instructions)]), *map(of, request.messages)]


def _short(error: AgentRunError) -> str:
    """What a provider said, in one short line."""
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    line = " ".join(str(said or error).split())
    return line if len(line) <= MOST_OF_A_MESSAGE else line[: MOST_OF_A_MESSAGE - 3] + "..."
