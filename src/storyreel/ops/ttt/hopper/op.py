"""The kernels as operators of torch: torch.compile knows the shapes, autograd the gradients.

Letters: B batch, T tokens, H heads, N = B * H, K kept states. In all of this file w2 is transposed, `[B, H, 64, 256]`,
as the kernels work on it.

Nothing here waits for the device but the first call on a GPU, which loads the kernels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from storyreel.ops.ttt.hopper import backward_launch, launch
from storyreel.ops.ttt.hopper.launch import HIDDEN, LAUNCHES, MINI_BATCH, WIDTH, Launch
from storyreel.ops.ttt.hopper.states import Kept
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, MLPState

KEPT_EVERY = 16
"""Mini-batches between kept states where the problem says 0: the fastest of 4, 8 and 16 at 63 s of the paper's model
(BACKWARD.md). For its 48 heads 2.03 GiB are kept, where all 5,487 states would take 32; the backward pass's scratch
memory grows with it, by 90 KiB a sequence and head for each mini-batch, to 67.5 MiB here."""

Read = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Differentiated = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def ttt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState,
    norm: HeadNorm,
    problem: TTTProblem,
    how: Launch | None = None,
) -> tuple[Tensor, MLPState]:
    """q, k, v `[B, T, H, 64]` bfloat16, eta `[B, T, H]`, state and norm float32, to y and the last state.

    how: the forward launch, None for the one that suits the shape. The caller has seen to `requirements`.
    """
    tensors = (q, k, v, eta, *norm, state.w1, state.b1, state.w2.mT, state.b2)
    every = 0
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        every = problem.checkpoint_every or KEPT_EVERY
    y, w1, b1, w2, b2, *_ = read(*tensors, problem.eps, every, how.kernel if how else "")
    return y, MLPState(w1, b1, w2.mT, b2)


@torch.library.custom_op("storyreel::ttt_mlp_hopper", mutates_args=())
def read(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    gamma: Tensor,
    beta: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    eps: float,
    every: int,
    kernel: str,
) -> Read:
    """y, the last state, and the states before every `every` mini-batches (0: none), as `states.Kept`.

    kernel: one of the launches' names, empty for the one that suits the shape.
    """
    if kernel:
        how = next(how for how in LAUNCHES if how.kernel == kernel)
    else:
        rows, properties = q.shape[0] * q.shape[2], torch.cuda.get_device_properties(q.device)
        how = launch.choice(rows, properties.multi_processor_count)
    problem, state = TTTProblem(MINI_BATCH, eps), MLPState(w1, b1, w2.mT, b2)
    y, last, kept = launch.read(q, k, v, eta, state, HeadNorm(gamma, beta), problem, how, every)
    return y, last.w1, last.b1, last.w2.mT, last.b2, kept.w1, kept.b1, kept.w2, kept.b2


@read.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, eta: Tensor, gamma: Tensor, beta: Tensor, *rest: Any) -> Read:
    *state, _, every, _ = rest
    rows, count = q.shape[0] * q.shape[2], -(-q.shape[1] // (MINI_BATCH * every)) if every else 0
    kept = ((WIDTH, HIDDEN), (HIDDEN,), (WIDTH, HIDDEN), (WIDTH,))
    return (
        q.new_empty(q.shape),
        *(w.new_empty(w.shape) for w in state),
        *(w.new_empty(rows, count, *shape) for w, shape in zip(state, kept, strict=True)),
    )


@torch.library.custom_op("storyreel::ttt_mlp_hopper_backward", mutates_args=())
def go_back(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    gamma: Tensor,
    beta: Tensor,
    w1s: Tensor,
    b1s: Tensor,
    w2s: Tensor,
    b2s: Tensor,
    dy: Tensor,
    dw1: Tensor,
    db1: Tensor,
    dw2: Tensor,
    db2: Tensor,
    eps: float,
    every: int,
) -> Differentiated:
    """Gradients of q, k, v, eta, gamma, beta and the first state, from those of y and the last state (dw1 to db2).

    w1s to b2s: the states before every `every` mini-batches (`states.Kept`).
    """
    kept, problem, dstate = Kept(w1s, b1s, w2s, b2s), TTTProblem(MINI_BATCH, eps), MLPState(dw1, db1, dw2.mT, db2)
    dq, dk, dv, deta, first, norm = backward_launch.go_back(
        q, k, v, eta, kept, HeadNorm(gamma, beta), problem, every, dy, dstate, backward_launch.FASTEST
    )
    return dq, dk, dv, deta, norm.weight, norm.bias, first.w1, first.b1, first.w2.mT, first.b2


@go_back.register_fake
def _(*given: Any) -> Differentiated:
    q, k, v, eta, gamma, beta, *_, dw1, db1, dw2, db2, _, _ = given
    wanted = (q, k, v, eta, gamma, beta, dw1, db1, dw2, db2)
    return tuple(x.new_empty(x.shape) for x in wanted)  # pyright: ignore[reportReturnType]


def _keep(ctx: Any, inputs: Sequence[Any], output: Read) -> None:
    *tensors, ctx.eps, ctx.every, _ = inputs
    y, *state = output[:5]
    kept = output[5:]
    ctx.shapes = [x.shape for x in (y, *state)]
    ctx.mark_non_differentiable(*kept)
    ctx.set_materialize_grads(False)  # of what is kept there are none, and it is large
    ctx.save_for_backward(*tensors[:6], *kept)


def _differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    q, *_ = saved = ctx.saved_tensors
    kinds = (q.dtype, *(torch.float32,) * 4)
    given = [
        torch.zeros(shape, dtype=dtype, device=q.device) if grad is None else grad
        for grad, shape, dtype in zip(grads[:5], ctx.shapes, kinds, strict=True)
    ]
    return *go_back(*saved, *given, ctx.eps, ctx.every), None, None, None


read.register_autograd(_differentiate, setup_context=_keep)
