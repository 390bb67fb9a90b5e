"""Time of every part of a fused block beside its floor: what the arithmetic or the memory traffic alone would take.

A pass is once over all tokens of the block's width, read or written. The floor of a part is the larger of its
arithmetic at FLOPS and of the passes that cannot be left out at BYTES_PER_SECOND; both rates were measured on an H100
(bfloat16 matrix products, device copies), so that floors mean little beside the times of another device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from storyreel.errors import KernelUnavailable
from storyreel.geometry import TokenLayout
from storyreel.mixers.bidirectional import GatedBidirectional
from storyreel.mixers.fused import gated, projection
from storyreel.mixers.gate import Gate
from storyreel.mixers.placement import piece_lengths, place_in_reverse, rotations
from storyreel.mixers.ttt import HIDDEN_FACTOR, TTTMLP, TTTLayer
from storyreel.models.fused_block import feed_forward_of, norms_of, projection_of
from storyreel.models.positions import rotary_table
from storyreel.models.transformer import StoryreelBlock
from storyreel.ops.attention import attend, merge_windows
from storyreel.ops.local_inputs import local_inputs
from storyreel.ops.modulated_norm import add_gated, add_gated_then_norm, modulated_norm
from storyreel.ops.ttt import HeadNorm
from storyreel.ops.ttt_inputs import ttt_inputs

FLOPS, BYTES_PER_SECOND = 756e12, 3.0e12

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Part:
    """`times` in a block; `call` maps `inputs` to tensors, with `weights` that take gradients too.

    flops, passes: of the forward pass, None where nobody counted them. The backward pass of a matrix product has twice
    its arithmetic: `more` is that factor; `back` its passes.
    """

    name: str
    call: Callable[..., Tensor | Tensors]
    inputs: Tensors
    weights: Tensors = ()
    times: int = 1
    flops: float | None = 0.0
    more: float = 2.0
    passes: float = 0.0
    back: float = 0.0

    def floor_ms(self, pass_bytes: float, *, backward: bool = False) -> float | None:
        """Of one of the `times`, for passes of so many bytes."""
        if self.flops is None:
            return None
        arithmetic = self.flops * (self.more if backward else 1.0) / FLOPS
        return 1000 * max(arithmetic, (self.back if backward else self.passes) * pass_bytes / BYTES_PER_SECOND)


@dataclass(frozen=True)
class PartTime:
    """Milliseconds of all `times` together; backward without the forward pass in front of it.

    `refused` says why there is none; `forward_ms` may be there without `backward_ms`.
    """

    part: str
    times: int
    forward_floor_ms: float | None
    backward_floor_ms: float | None
    forward_ms: float | None = None
    backward_ms: float | None = None
    refused: str | None = None


def time_part(part: Part, pass_bytes: float, milliseconds: Callable[[Callable[[], object]], float]) -> PartTime:
    """milliseconds: of a call, however it is measured."""
    floors = (part.floor_ms(pass_bytes, backward=backward) for backward in (False, True))
    own: list[Any] = [None if floor is None else part.times * floor for floor in floors]
    times: list[float] = []
    try:
        for measured in _times(part, milliseconds):
            times.append(part.times * measured)
    except (KernelUnavailable, torch.OutOfMemoryError) as error:
        return PartTime(part.name, part.times, *own, *times, refused=str(error).splitlines()[0])
    return PartTime(part.name, part.times, *own, *times)


def _times(part: Part, milliseconds: Callable[[Callable[[], object]], float]) -> Iterator[float]:
    """Of the forward, then of the backward pass."""
    inputs = tuple(x.detach().requires_grad_() for x in part.inputs)

    def forward() -> None:
        with torch.no_grad():
            part.call(*inputs)

    yield milliseconds(forward)
    made = part.call(*inputs)
    outputs = (made,) if isinstance(made, Tensor) else tuple(made)
    wanted, gradients = (*inputs, *part.weights), [torch.ones_like(y) for y in outputs]
    yield milliseconds(lambda: torch.autograd.grad(outputs, wanted, gradients, retain_graph=True))


def parts(block: StoryreelBlock, layout: TokenLayout, batch: int) -> Iterator[Part]:
    """The parts of a fused block in order, on random tokens. Tensors of a part are made when it is asked for."""
    attn: Any = block.attn1
    at: dict[str, Any] = {"device": attn.to_q.weight.device, "dtype": attn.to_q.weight.dtype}
    heads, width = attn.heads, attn.to_q.weight.shape[1]
    lengths, tokens = piece_lengths(layout), batch * layout.total_tokens
    slots = layout.segments * layout.window_tokens / layout.total_tokens

    def draw(*size: int) -> Tensor:
        return torch.randn(size, **at)

    x, table = draw(batch, layout.total_tokens, width), draw(batch, 2, width)
    norm: Any = block.norm1.norm
    own: dict[str, Any] = {"lengths": lengths, "weight": norm.weight, "bias": norm.bias, "eps": norm.eps}
    product: dict[str, Any] = {"flops": 2.0 * tokens * width**2, "passes": 2.0, "back": 3.0}
    yield Part(
        "norm",
        lambda x, a, b: modulated_norm(x, a, b, **own),
        (x, table, table),
        tuple(norm.parameters()),
        passes=2,
        back=3,
    )
    weight, bias = projection_of(block)
    yield Part("attention: q, k, v", F.linear, _present(x, weight, bias), **_scaled(product, 3, (4, 5)))
    rotary = rotary_table(layout, width // heads, (layout.rows, layout.columns), x.device)
    norms = norms_of(attn)
    yield Part(
        "attention: windows",
        lambda projected: local_inputs(projected, norms, rotary, layout, eps=attn.norm_q.eps),
        (draw(batch, layout.total_tokens, 3 * width),),
        tuple(norms),
        passes=3 + 3 * slots,
        back=6 + 3 * slots,
    )
    size = (batch * layout.segments, layout.window_tokens, heads, width // heads)
    yield Part(
        "attention: softmax",
        attend,
        (draw(*size), draw(*size), draw(*size)),
        flops=4.0 * batch * layout.segments * layout.window_tokens**2 * width,
        more=2.5,
        passes=4 * slots,
        back=8 * slots,
    )
    yield Part(
        "attention: average",
        lambda y: merge_windows(y.unflatten(0, (batch, -1)), layout),
        (draw(*size),),
        passes=slots + 1,
        back=slots + 1,
    )
    out: Any = attn.to_out[0]
    yield Part("attention: out", F.linear, _present(x, out.weight, out.bias), **product)
    if block.mixer is not None:
        yield from _mixer_parts(block.mixer, x, layout)
    yield Part(
        "residual and norm",
        lambda x, y, gate, a, b: add_gated_then_norm(x, y, gate, a, b, **own),
        (x, draw(*x.shape), table, table, table),
        tuple(norm.parameters()),
        passes=4,
        back=6,
    )
    yield Part(
        "feed-forward",
        lambda x: feed_forward_of(block, x),
        (x,),
        tuple(block.ff.parameters()),
        **_scaled(product, 8, (2, 3)),
    )
    yield Part(
        "residual", lambda x, y, gate: add_gated(x, y, gate, lengths), (x, draw(*x.shape), table), passes=3, back=3
    )


def _mixer_parts(mixer: nn.Module, x: Tensor, layout: TokenLayout) -> Iterator[Part]:
    inner = getattr(mixer, "mixer", None)
    if not isinstance(mixer, GatedBidirectional) or not isinstance(inner, TTTLayer):
        yield Part("mixer", lambda x: mixer(x, layout), (x,), tuple(mixer.parameters()), flops=None)
        return
    batch, length, width = x.shape
    layer: TTTLayer[Any] = inner
    head = layer.head_width
    product: dict[str, Any] = {"flops": 2.0 * batch * length * width**2, "passes": 2.0, "back": 3.0}
    weight, bias = projection(layer, x.dtype)
    yield Part("mixer: q, k, v, eta", F.linear, (x, weight, bias), times=2, **_scaled(product, 3 + 1 / head, (4, 5)))
    cos, sin = rotations(layout, head, layer.rope_theta, x.device)
    norm = HeadNorm(layer.head_norm_weight, layer.head_norm_bias)
    options: dict[str, Any] = {"rate": layer.base_lr / head, "eps": layer.problem.eps}
    place = place_in_reverse(layout, x.device)
    projected = F.linear(x, weight, bias).detach()
    yield Part(
        "mixer: inputs",
        lambda projected: ttt_inputs(projected, cos, sin, norm.weight, norm.bias, **options, place=place),
        (projected,),
        tuple(norm),
        times=2,
        passes=6,
        back=9,
    )
    with torch.no_grad():
        inputs = ttt_inputs(projected, cos, sin, norm.weight, norm.bias, **options)
    # Products of a token and head: seven of D x 4D in TTT-MLP (the op's README), three of D x D in TTT-Linear.
    products = 7 * HIDDEN_FACTOR if isinstance(layer, TTTMLP) else 3
    yield Part(
        "mixer: memory",
        lambda q, k, v, eta: layer.read(q, k, v, eta, layer.initial_state(batch), norm)[0],
        tuple(inputs),
        (*norm, *(layer.get_parameter(name) for name in layer.state_shapes())),
        times=2,
        flops=2.0 * products * head * batch * length * width,
        passes=4,
        back=7,
    )
    weights: dict[str, Any] = {"weight": layer.out_norm_weight, "bias": layer.out_norm_bias, "eps": layer.problem.eps}
    yield Part(
        "mixer: norm",
        lambda y: modulated_norm(y, None, None, (length,), **weights, place=place),
        (x,),
        (layer.out_norm_weight, layer.out_norm_bias),
        times=2,
        passes=2,
        back=3,
    )
    yield Part("mixer: out", layer.to_out, (x,), tuple(layer.to_out.parameters()), times=2, **product)
    gate: Gate = mixer.gate_forward
    yield Part(
        "mixer: gate",
        lambda x, y: gated(gate, x, y, layout),
        (x, torch.randn_like(x)),
        tuple(gate.parameters()),
        times=2,
        passes=3,
        back=3,
    )


def _present(*tensors: Tensor | None) -> Tensors:
    return tuple(x for x in tensors if x is not None)


def _scaled(product: dict[str, Any], times: float, passes: tuple[float, float]) -> dict[str, Any]:
    return product | {"flops": times * product["flops"], "passes": passes[0], "back": passes[1]}
