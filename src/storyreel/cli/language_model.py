"""Options and opening of a language model, for the commands that ask one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from tyro.conf import arg

from storyreel.errors import ConfigError, refusal

if TYPE_CHECKING:
    from storyreel.llm.asking import Asker

BaseUrl = Annotated[str | None, arg(metavar="URL", help_behavior_hint="(default: the provider's)")]
MaxCost = Annotated[str, arg(metavar="DOLLARS")]
PriceOf = Annotated[str | None, arg(metavar="IN/OUT", help_behavior_hint="(default: from a table)")]
Timeout = Annotated[float, arg(metavar="SECONDS")]


class ModelOptions(Protocol):
    """The options of a command that asks a language model."""

    @property
    def base_url(self) -> str | None: ...
    @property
    def max_cost(self) -> str: ...
    @property
    def price(self) -> str | None: ...
    @property
    def timeout(self) -> float: ...


@contextmanager
def open_asker(model: str, options: ModelOptions, cache: Path) -> Iterator[Asker]:
    """What asks `model`, with its price, its limit and its cache. ConfigError for options that are none."""
    from storyreel.llm.asking import Asker
    from storyreel.llm.cache import AnswerCache
    from storyreel.llm.prices import FREE, Budget, known_price, parse_most, parse_price
    from storyreel.llm.providers import ProviderModel, parse_model

    name = parse_model(model, options.base_url)
    if options.timeout <= 0:
        raise ConfigError(refusal("--timeout", options.timeout, "it must be more than 0", "Try 120"))
    most = parse_most(options.max_cost)
    if options.price is not None:
        price = parse_price(options.price)
    elif name.runs_here:
        price = FREE
    else:
        price = None if name.base_url else known_price(name.provider, name.model)
    with ProviderModel(name, timeout_seconds=options.timeout) as opened:
        yield Asker(opened, str(name), Budget(price, most), AnswerCache(cache), opened.stop)
