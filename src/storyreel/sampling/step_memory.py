"""The memory of one denoising step by the fused forward, tensor by tensor; docs/memory.md has it at full size.

A tensor here is `[B, T, C]`: B branches at once, T tokens, C width. What is smaller than a thousandth of one (tables of
the modulation, statistics of the attention) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storyreel.geometry import TokenLayout
from storyreel.mixers import fused
from storyreel.models import fused_block
from storyreel.ops.ttt_inputs import projected_width

HIDDEN_FACTOR = 4
PLAIN_TENSORS = 14.0
"""Of the plain forward at its peak, a guess that nothing has measured: q, k, v and hidden values are whole there."""


@dataclass(frozen=True)
class Held:
    """A tensor, or some of a kind, and their bytes."""

    name: str
    bytes: int


@dataclass(frozen=True)
class StepMemory:
    """What is alive in each stage of a step, apart from `always` (the weights and the tables of places)."""

    always: tuple[Held, ...]
    stages: Mapping[str, tuple[Held, ...]]

    @property
    def peak_stage(self) -> str:
        return max(self.stages, key=lambda name: _sum(self.stages[name]))

    @property
    def peak_bytes(self) -> int:
        return _sum(self.always) + _sum(self.stages[self.peak_stage])


def step_memory(
    config: Mapping[str, Any], layout: TokenLayout, batch: int, itemsize: int, parameters: int, *, fused: bool = True
) -> StepMemory:
    """config: the transformer's; batch: branches at once; itemsize: bytes of a number; parameters: how many.

    Of mixers other than the TTT layers it says what TTT-MLP would take. The plain forward has one stage, an estimate.
    """
    heads, head_width = config["num_attention_heads"], config["attention_head_dim"]
    sizes = _Sizes(batch, layout, heads, head_width, itemsize, config["mixer"] == "ttt_linear")
    always = (Held("weights", parameters * itemsize), *sizes.places())
    if not fused:
        return StepMemory(always, {"a block": (sizes.tensors("all of the plain forward", PLAIN_TENSORS),)})
    stages = {"attention": sizes.attention(), "feed-forward": sizes.feed_forward(), "last norms": sizes.last_norms()}
    if config["mixer"] != "local":
        stages["mixer: projections, in reverse"] = sizes.projecting()
        stages["mixer: memory, in reverse"] = sizes.reading()
    return StepMemory(always, stages)


@dataclass(frozen=True)
class _Sizes:
    batch: int
    layout: TokenLayout
    heads: int
    head_width: int
    itemsize: int
    linear: bool

    @property
    def width(self) -> int:
        return self.heads * self.head_width

    def tensors(self, name: str, count: float = 1, tokens: int | None = None) -> Held:
        """So many tensors of so many tokens of each branch, of all by default."""
        tokens = self.layout.total_tokens if tokens is None else tokens
        return Held(name, round(count * self.batch * tokens * self.width * self.itemsize))

    def places(self) -> tuple[Held, ...]:
        tokens, window = self.layout.total_tokens, self.layout.window_tokens
        return (
            Held("cos and sin of the whole video, float32", 4 * tokens * self.head_width),
            Held("cos and sin of a window, float32", 4 * window * self.head_width),
            Held("places in windows and in reverse, int32", 4 * (3 * tokens + self.layout.segments * window)),
        )

    def attention(self) -> tuple[Held, ...]:
        layout = self.layout
        at_once = min(layout.segments, max(1, fused_block.ATTENDED_TOKENS // (self.batch * layout.window_tokens)))
        windows = at_once * layout.window_tokens
        grouped = at_once < layout.segments
        shared = layout.tokens_per_latent
        tokens = windows - (at_once - 1) * shared if grouped else layout.total_tokens
        return (
            self.tensors("x, the input of the block"),
            self.tensors("its norm"),
            *((self.tensors("what was attended to"), self.tensors("tokens of a group", 1, tokens)) if grouped else ()),
            self.tensors("projection to q, k, v", 3, tokens),
            self.tensors("q, k, v of the windows at once", 3, windows),
            Held("weights of q, k, v side by side", 3 * self.width**2 * self.itemsize),
        )

    def before_the_memory(self) -> tuple[Held, ...]:
        return (
            self.tensors("x, the input of the block"),
            self.tensors("output of local attention"),
            self.tensors("output of the mixer forward"),
            self.tensors("q, k, v of the memory", 3),
            Held("step sizes, float32", 4 * self.batch * self.heads * self.layout.total_tokens),
        )

    def projecting(self) -> tuple[Held, ...]:
        columns = projected_width(self.heads, self.head_width)
        tokens = min(self.layout.total_tokens, fused.PROJECTED_TOKENS)
        return (
            *self.before_the_memory(),
            Held("projection of some tokens", self.batch * tokens * columns * self.itemsize),
            Held("weights of q, k, v and step sizes side by side", columns * self.width * self.itemsize),
        )

    def reading(self) -> tuple[Held, ...]:
        width = self.head_width
        own = width**2 + width if self.linear else 2 * HIDDEN_FACTOR * width**2 + (HIDDEN_FACTOR + 1) * width
        return (
            *self.before_the_memory(),
            self.tensors("output of the memory"),
            Held("memories before and after, float32", 2 * 4 * self.batch * self.heads * own),
        )

    def feed_forward(self) -> tuple[Held, ...]:
        tokens = self.batch * self.layout.total_tokens
        at_once = min(tokens, fused_block.FED_TOKENS)
        hidden = at_once * HIDDEN_FACTOR * self.width * self.itemsize
        return (
            self.tensors("x, the input of the block"),
            self.tensors("output of the mixer"),
            self.tensors("their sum"),
            self.tensors("its norm"),
            *((self.tensors("output of the layer"),) if at_once < tokens else ()),
            Held("hidden values of the tokens at once, twice", 2 * hidden),
        )

    def last_norms(self) -> tuple[Held, ...]:
        video = self.layout.video_tokens
        return (
            self.tensors("x, the output of the last block"),
            self.tensors("its text and video tokens apart"),
            self.tensors("two norms of the video tokens", 2, video),
            self.tensors("scaled and shifted, in parts and whole", 2, video),
        )


def _sum(held: tuple[Held, ...]) -> int:
    return sum(own.bytes for own in held)
