"""TTT-MLP and TTT-Linear in matrix form: all heads and sequences at once, one mini-batch after another.

Letters: N = B * H sequences and heads, T tokens, b tokens of a mini-batch, D head width, F hidden width.

The body of a mini-batch (`mlp_step`, `linear_step`) is a pure function: torch.compile can be applied to it alone.
Matrix products and hidden values have the dtype of q (products accumulate in float32 inside); LayerNorm, the step and
the state have the dtype of the state, which is float32 or wider.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState

Tensors = Sequence[Tensor]


def ttt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState | LinearState,
    norm: HeadNorm,
    problem: TTTProblem,
    compiled: bool = False,
) -> tuple[Tensor, MLPState | LinearState]:
    """q, k, v `[B, T, H, D]`, eta `[B, T, H]` to y `[B, T, H, D]` and the state after the last token."""
    batch, _, heads, _ = q.shape
    flat = tuple(_heads_first(x) for x in (q, k, v, eta[..., None]))
    rows = tuple((w if w.dim() == 4 else w[:, :, None]).flatten(0, 1) for w in state)
    norms = tuple(n.repeat(batch, 1)[:, None] for n in norm)
    step = _step(isinstance(state, MLPState), compiled)
    size = problem.mini_batch

    def mini_batches(*tensors: Tensor) -> Tensors:
        def body(*tensors: Tensor) -> Tensors:
            return step(*tensors, *norms, 1.0 / size, problem.eps)

        return scan(body, tensors[:4], tensors[4:], size)

    if problem.checkpoint_every and torch.is_grad_enabled():
        body = functools.partial(checkpoint, mini_batches, use_reentrant=False, preserve_rng_state=False)
        y, *rows = scan(body, flat, rows, size * problem.checkpoint_every)
    else:
        y, *rows = mini_batches(*flat, *rows)
    final = type(state)(*(w.reshape(own.shape) for w, own in zip(rows, state, strict=True)))
    return y.unflatten(0, (batch, heads)).transpose(1, 2), final


def _heads_first(x_BTHD: Tensor) -> Tensor:
    return x_BTHD.transpose(1, 2).flatten(0, 1).contiguous()


def scan(body: Callable[..., Tensors], tokens: Tensors, state: Tensors, size: int) -> Tensors:
    """Hand the state through `body(*tokens, *state) -> (y, *state)`, `size` tokens at a time: (all y, *last state).

    `split`, not slices: the gradient of a slice is as large as the whole sequence.
    """
    outputs = []
    for part in zip(*(x.split(size, dim=1) for x in tokens), strict=True):
        y, *state = body(*part, *state)
        outputs.append(y)
    return torch.cat(outputs, dim=1), *state


def mlp_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    norm_w: Tensor,
    norm_b: Tensor,
    scale: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One mini-batch of TTT-MLP: q, k, v `[N, b, D]`, eta `[N, b, 1]` and a state to y `[N, b, D]` and the next state.

    w1 `[N, D, F]`, b1 `[N, 1, F]`, w2 `[N, F, D]`, b2 `[N, 1, D]`, norms `[N, 1, D]`; scale is 1 / mini-batch.
    """
    z1 = affine(k, w1, b1)
    x2 = gelu(z1)
    slope = scale * eta * loss_slope(affine(x2, w2, b2), k, v, norm_w, norm_b, eps)
    slope_in = slope.to(k.dtype)
    slope1 = gelu_backward(torch.bmm(slope_in, w2.to(k.dtype).mT), z1)
    w1, b1 = descend(w1, b1, k, slope1)
    w2, b2 = descend(w2, b2, x2, slope_in)
    z2 = affine(gelu(affine(q, w1, b1)), w2, b2)
    return residual_norm(q, z2, norm_w, norm_b, eps), w1, b1, w2, b2


def linear_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    w: Tensor,
    b: Tensor,
    norm_w: Tensor,
    norm_b: Tensor,
    scale: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One mini-batch of TTT-Linear; shapes as in `mlp_step`, with w `[N, D, D]` and b `[N, 1, D]`."""
    slope = scale * eta * loss_slope(affine(k, w, b), k, v, norm_w, norm_b, eps)
    w, b = descend(w, b, k, slope.to(k.dtype))
    return residual_norm(q, affine(q, w, b), norm_w, norm_b, eps), w, b


def affine(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return torch.baddbmm(b.to(x.dtype), x, w.to(x.dtype))


def descend(w: Tensor, b: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The layer after a step against the summed outer products of its inputs and (already scaled) slopes."""
    b = b - slope.sum(1, keepdim=True, dtype=b.dtype)
    if w.dtype == x.dtype:
        return torch.baddbmm(w, x.mT, slope, alpha=-1), b
    return w - torch.bmm(x.mT, slope).to(w.dtype), b


def gelu(z: Tensor) -> Tensor:
    return torch.nn.functional.gelu(z, approximate="tanh")


def gelu_backward(slope: Tensor, z: Tensor) -> Tensor:
    """slope times the derivative of `gelu` at z, in one pass over memory (twelve when written out)."""
    return torch.ops.aten.gelu_backward(slope, z, approximate="tanh")


def standardise(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """z with mean 0 and (biased) variance 1 over its last axis, and what it was multiplied by."""
    centred = z - z.mean(-1, keepdim=True)
    inverse = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return centred * inverse, inverse


def loss_slope(z: Tensor, k: Tensor, v: Tensor, norm_w: Tensor, norm_b: Tensor, eps: float) -> Tensor:
    """Gradient of 1/2 ||LN(z) - (v - k)||^2 of z, in the dtype of the norm."""
    wide = norm_w.dtype
    standard, inverse = standardise(z.to(wide), eps)
    slope = norm_w * (norm_w * standard + norm_b - (v.to(wide) - k.to(wide)))
    along = (slope * standard).mean(-1, keepdim=True)
    return (slope - slope.mean(-1, keepdim=True) - standard * along) * inverse


def residual_norm(q: Tensor, z: Tensor, norm_w: Tensor, norm_b: Tensor, eps: float) -> Tensor:
    wide = norm_w.dtype
    return (q.to(wide) + norm_w * standardise(z.to(wide), eps)[0] + norm_b).to(q.dtype)


@functools.cache
def _step(is_mlp: bool, compiled: bool) -> Callable[..., Tensors]:
    step = mlp_step if is_mlp else linear_step
    # A mini-batch is a view whose strides tell how long the sequence is: the second length has a graph for all others.
    return torch.compile(step) if compiled else step
