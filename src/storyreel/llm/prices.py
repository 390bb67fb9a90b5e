"""What a run costs: prices by model, an estimate before it starts, and a limit that no call exceeds."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storyreel.errors import ConfigError, ServiceError, refusal
from storyreel.llm.protocol import Reply, Request

LETTERS_A_TOKEN = 3
"""Fewer than English has, so that an estimate is rather too high."""
TOKENS_AN_IMAGE = 1200
MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens that go in and come out."""

    tokens_in: float
    tokens_out: float

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """Dollars for so many tokens."""
        return (self.tokens_in * tokens_in + self.tokens_out * tokens_out) / MILLION

    def __str__(self) -> str:
        return f"${self.tokens_in:g} in and ${self.tokens_out:g} out a million tokens"


FREE = Price(0, 0)


def parse_price(text: str) -> Price:
    """The price "IN/OUT" in dollars a million tokens; ConfigError for anything else.

    >>> parse_price("3/15")
    Price(tokens_in=3.0, tokens_out=15.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text)
    if found is None:
        limit = "it must be IN/OUT in dollars a million tokens"
        raise ConfigError(refusal("--price", text, limit, "Try 3/15, or 0/0 for a server of your own"))
    return Price(float(found[1]), float(found[2]))


def parse_most(text: str) -> float | None:
    """Dollars of --max-cost; None for "off"."""
    if text == "off":
        return None
    try:
        most = float(text)
    except ValueError:
        most = math.nan
    if not 0 <= most < math.inf:
        raise ConfigError(refusal("--max-cost", text, "it must be dollars, or off", "Try 0.50"))
    return most


def known_price(provider: str, model: str) -> Price | None:
    """The price in the table of genai-prices (no network); None for a model that it does not have."""
    from genai_prices import Usage, calc_price

    few = 1000
    try:
        into = calc_price(Usage(input_tokens=few, output_tokens=0), model_ref=model, provider_id=provider)
        out = calc_price(Usage(input_tokens=0, output_tokens=few), model_ref=model, provider_id=provider)
    except (LookupError, ValueError):
        return None
    scale = MILLION / few
    return Price(float(into.total_price) * scale, float(out.total_price) * scale)


def tokens_of(request: Request) -> int:
    """About how many tokens a conversation has, rather more than it has."""
    letters = len(request.instructions) + sum(len(message.text) for message in request.messages)
    images = sum(len(message.images) for message in request.messages)
    return math.ceil(letters / LETTERS_A_TOKEN) + TOKENS_AN_IMAGE * images


@dataclass(frozen=True)
class Estimate:
    """What is to come, by guess: calls, and tokens of all of them."""

    calls: int
    tokens_in: int
    tokens_out: int

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.calls + other.calls, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)

    def __str__(self) -> str:
        return f"about {self.calls} calls, {self.tokens_in:,} tokens in and {self.tokens_out:,} out"


class Budget:
    """Counts tokens and dollars, over threads. `price` None: unknown; `most` dollars, None: without a limit."""

    def __init__(self, price: Price | None, most: float | None) -> None:
        self.price, self.most = price, most
        self.calls = self.tokens_in = self.tokens_out = 0
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def spent(self) -> float:
        """Dollars for the replies so far; 0 where the price is unknown."""
        return self.price.of(self.tokens_in, self.tokens_out) if self.price else 0.0

    def told(self) -> str:
        """What was spent, in words."""
        dollars = f", ${self.spent:.2f}" if self.price else ""
        return f"{self.calls} calls, {self.tokens_in:,} tokens in and {self.tokens_out:,} out{dollars}"

    def check(self, estimate: Estimate) -> str:
        """A line about the cost to come; ConfigError where the price is unknown or the guess exceeds the limit."""
        if self.price is None:
            if self.most is not None:
                raise ConfigError(
                    "the price of this model is not known, so --max-cost cannot be kept. Give --price IN/OUT in "
                    "dollars a million tokens (0/0 for a server of your own), or --max-cost off."
                )
            return f"{estimate}; the price is not known, and there is no limit"
        dollars = self.price.of(estimate.tokens_in, estimate.tokens_out)
        if self.most is not None and dollars > self.most:
            way_out = f"Allow it with --max-cost {math.ceil(dollars * 100) / 100:.2f}, or choose a cheaper model"
            raise ConfigError(refusal("--max-cost", f"${self.most:.2f}", f"this takes about ${dollars:.2f}", way_out))
        limit = "no limit" if self.most is None else f"at most ${self.most:.2f}"
        return f"{estimate}: about ${dollars:.2f} ({self.price}); {limit}"

    @contextmanager
    def reserved(self, request: Request) -> Iterator[None]:
        """Room for the dearest reply that a request can have; ServiceError where the limit leaves none."""
        worst = self.price.of(tokens_of(request), request.most_tokens) if self.price else 0.0
        with self._lock:
            if self.most is not None and self.spent + self._reserved + worst > self.most:
                raise ServiceError(
                    f"the next call may cost ${worst:.2f}, and ${self.spent:.2f} of --max-cost ${self.most:.2f} are "
                    "spent. What is done is kept; the same line with a higher --max-cost goes on."
                )
            self._reserved += worst
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= worst

    def add(self, reply: Reply) -> None:
        """Counts a reply."""
        with self._lock:
            self.calls += 1
            self.tokens_in += reply.tokens_in
            self.tokens_out += reply.tokens_out
