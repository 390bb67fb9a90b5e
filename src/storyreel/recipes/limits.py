"""What a field of a recipe may be set to: a mistake is told before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from storyreel.errors import ConfigError, refusal
from storyreel.geometry import SEGMENT_SECONDS
from storyreel.models.forward_names import remat_words


@dataclass(frozen=True)
class Limit:
    """A condition on a number, and how it is told."""

    text: str
    holds: Callable[[float], bool]


ONE_OR_MORE = Limit("it must be 1 or more", lambda value: value >= 1)
NOT_NEGATIVE = Limit("it must be 0 or more", lambda value: 0 <= value < math.inf)
POSITIVE = Limit("it must be more than 0", lambda value: 0 < value < math.inf)
SHARE = Limit("it must be 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE = Limit("it must be 0 or more and less than 1", lambda value: 0 <= value < 1)
SEGMENTS = Limit(
    f"it must be a multiple of {SEGMENT_SECONDS}, or 0 for stills",
    lambda value: value >= 0 and value % SEGMENT_SECONDS == 0,
)

LIMITS: dict[str, Limit] = {
    **dict.fromkeys(("steps", "batch", "frames", "count", "segments", "story_segments", "rows_at_once"), ONE_OR_MORE),
    **dict.fromkeys(("height", "width", "max_text_tokens"), ONE_OR_MORE),
    **dict.fromkeys(("first_stories", "steps_a_story", "kept_stories"), ONE_OR_MORE),
    **dict.fromkeys(("seed", "first_seed", "stills", "warmup_steps", "weight_decay"), NOT_NEGATIVE),
    **dict.fromkeys(("kl_weight", "latent_noise"), NOT_NEGATIVE),
    **dict.fromkeys(("learning_rate", "pretrained_learning_rate", "clip", "level_power"), POSITIVE),
    **dict.fromkeys(("text_dropout", "clean_prefix_share"), SHARE),
    "ema_decay": BELOW_ONE,
    "seconds": SEGMENTS,
}
"""By the field's name, which means the same in every kind of run."""


def check_value(kind: type, field: str, name: str, value: Any, old: Any) -> None:
    """ConfigError where a `field` of the configuration class `kind` cannot be `value`.

    name: what the user calls the field, such as optimiser.learning_rate. old: the recipe's own value, the way out.
    """
    way_out = f"The recipe has {old}"
    hint = get_type_hints(kind)[field]
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ConfigError(refusal(name, value, f"it must be one of {', '.join(get_args(hint))}", way_out))
    if field == "remat":
        remat_words(value)
    limit = LIMITS.get(field)
    if limit is not None and isinstance(value, int | float) and not limit.holds(value):
        raise ConfigError(refusal(name, value, limit.text, way_out))
    if field == "name" and not value:
        raise ConfigError(refusal(name, "empty", "it names the run's folder", way_out))
