"""The TTT op as the rest of storyreel calls it: tensors are checked here, computed by one of several backends.

Letters: B batch, T tokens, H heads, D head width, F hidden width. The mathematics is in this folder's README.
"""

import os
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import Tensor

from storyreel.errors import KernelUnavailable, refusal
from storyreel.ops.linear import no_gradients_on_cpu
from storyreel.ops.ttt import dual, reference, streamed
from storyreel.ops.ttt.problem import TTTProblem
from storyreel.ops.ttt.states import HeadNorm, LinearState, MLPState

__all__ = [
    "BACKENDS",
    "HeadNorm",
    "LinearState",
    "MLPState",
    "TTTProblem",
    "fastest_backend",
    "resolve_backend",
    "ttt_linear",
    "ttt_mlp",
]

BACKENDS = ("reference", "dual", "dual_compiled", "auto", "triton", "hopper")

State = TypeVar("State", MLPState, LinearState)


def ttt_mlp(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: MLPState,
    norm: HeadNorm,
    *,
    problem: TTTProblem,
    backend: str = "dual",
) -> tuple[Tensor, MLPState]:
    """Read a sequence with a two-layer network that learns as it reads (arXiv 2504.05298, section 2).

    q, k, v `[B, T, H, D]`, one floating dtype; eta `[B, T, H]`, the step of each token; state and norm; these of any
    floating dtype. Returns y like q and the final state in float32 (float64 for float64 inputs). T need not be a
    multiple of the mini-batch. Gradients flow to every tensor, and through the state that goes in and comes out.

    ValueError for shapes, dtypes or devices that do not fit; KernelUnavailable for a backend that cannot serve.
    """
    return _run(q, k, v, eta, state, norm, problem, backend)


def ttt_linear(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    eta: Tensor,
    state: LinearState,
    norm: HeadNorm,
    *,
    problem: TTTProblem,
    backend: str = "dual",
) -> tuple[Tensor, LinearState]:
    """As `ttt_mlp`, with one linear layer for a memory."""
    return _run(q, k, v, eta, state, norm, problem, backend)


def resolve_backend(name: str, device: torch.device) -> str:
    """The backend that serves on `device`; for "auto", what serves any problem there.

    KernelUnavailable if it cannot. "auto" is the fastest that needs no compiler: where this says "dual", a call may
    still go to "hopper", if that one can read it.
    """
    if name not in BACKENDS:
        raise KernelUnavailable(
            refusal("TTT backend", repr(name), f"the choices are {', '.join(BACKENDS)}", 'Try backend="auto"')
        )
    if name == "dual_compiled" and device.type != "cuda":
        raise KernelUnavailable(f'TTT backend "dual_compiled" needs a CUDA GPU; got {device.type}. Try backend="dual".')
    if name == "triton":
        _check_triton(device)
    if name == "hopper":
        _check_hopper(device)
    return "dual" if name == "auto" else name


def fastest_backend(
    width: int, hidden: int | None, problem: TTTProblem, dtype: torch.dtype, device: torch.device, *, gradients: bool
) -> str:
    """The backend that a model should be given on `device`, compilers welcome; "auto" off GPUs.

    width: of a head; hidden: of TTT-MLP's hidden layer, None for TTT-Linear; gradients: whether they are wanted.
    """
    from storyreel.ops.ttt.hopper import requirements

    if device.type != "cuda":
        return "auto"
    on_hopper = not requirements.device_trouble(device)
    if on_hopper and not requirements.shape_trouble(width, hidden, problem.mini_batch, dtype):
        return "auto"
    if find_spec("triton") is not None:
        return "triton"
    return "dual_compiled" if gradients else "auto"


def _check_triton(device: torch.device) -> None:
    # Triton reads the variable when it is imported; its interpreter is for tests.
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise KernelUnavailable(f'TTT backend "triton" needs a CUDA GPU; got {device.type}. Try backend="dual".')
    if find_spec("triton") is None:
        raise KernelUnavailable(
            'TTT backend "triton" needs the package triton, which is not installed. pip install triton, or try '
            'backend="dual".'
        )


def _check_hopper(device: torch.device) -> None:
    from storyreel.ops.ttt.hopper import requirements

    if reason := requirements.device_trouble(device):
        raise KernelUnavailable(reason)


def _run(
    q: Tensor, k: Tensor, v: Tensor, eta: Tensor, state: State, norm: HeadNorm, problem: TTTProblem, backend: str
) -> tuple[Tensor, State]:
    _check_tokens(q, k, v, eta)
    _check_shapes(q, state, norm)
    _check_kind(q, {"eta": eta, **state._asdict(), **{f"norm.{name}": w for name, w in norm._asdict().items()}})
    backend = _chosen(backend, q, state, problem)
    wide = torch.promote_types(q.dtype, torch.float32)
    # Without matrix units for it, half precision is slower than float32: on the CPU it is a storage format only.
    inside = wide if backend == "reference" or q.device.type != "cuda" else q.dtype
    inside = q.dtype if backend == "hopper" else inside
    tokens = (q.to(inside), k.to(inside), v.to(inside), eta.to(wide))
    state = type(state)(*(w.to(wide) for w in state))
    norm = HeadNorm(*(w.to(wide) for w in norm))
    if backend == "reference":
        y, final = reference.ttt(*tokens, state, norm, problem)
    elif backend == "triton":
        from storyreel.ops.ttt.triton_kernels import launch

        y, final = launch.ttt(*tokens, state, norm, problem)
    elif backend == "hopper":
        from storyreel.ops.ttt.hopper import op

        assert isinstance(state, MLPState)
        y, final = op.ttt(*tokens, state, norm, problem)
    elif no_gradients_on_cpu(q):
        y, final = streamed.ttt(*tokens, state, norm, problem)
    else:
        y, final = dual.ttt(*tokens, state, norm, problem, compiled=backend == "dual_compiled")
    return y.to(q.dtype), type(state)(*final)


def _chosen(name: str, q: Tensor, state: MLPState | LinearState, problem: TTTProblem) -> str:
    backend = resolve_backend(name, q.device)
    if name == "hopper" and (reason := _hopper_trouble(q, state, problem)):
        raise KernelUnavailable(reason)
    if name == "auto" and not _hopper_trouble(q, state, problem):
        return "hopper"
    return backend


def _hopper_trouble(q: Tensor, state: MLPState | LinearState, problem: TTTProblem) -> str:
    from storyreel.ops.ttt.hopper import requirements

    hidden = state.b1.shape[-1] if isinstance(state, MLPState) else None
    return requirements.device_trouble(q.device) or requirements.shape_trouble(
        q.shape[-1], hidden, problem.mini_batch, q.dtype
    )


def _check_tokens(q: Tensor, k: Tensor, v: Tensor, eta: Tensor) -> None:
    if q.dim() != 4 or not q.numel():
        raise ValueError(
            refusal("q", list(q.shape), "it must be [B, T, H, D] with at least one token", "Skip the op when T is 0")
        )
    if not q.is_floating_point():
        raise ValueError(refusal("q", q.dtype, "it must be a floating dtype", "Convert it first"))
    for name, x in (("k", k), ("v", v)):
        if x.shape != q.shape or x.dtype != q.dtype or x.device != q.device:
            given = f"{list(x.shape)} {x.dtype} on {x.device}"
            limit = f"q is {list(q.shape)} {q.dtype} on {q.device}"
            raise ValueError(refusal(name, given, limit, "q, k and v must be alike"))
    if eta.shape != q.shape[:3]:
        raise ValueError(
            refusal(
                "eta", list(eta.shape), f"it must be [B, T, H] = {list(q.shape[:3])}", "Give one step a token and head"
            )
        )


def _check_shapes(q: Tensor, state: MLPState | LinearState, norm: HeadNorm) -> None:
    batch, _, heads, width = q.shape
    if isinstance(state, MLPState):
        hidden = state.b1.shape[-1]
        tails = {"w1": (width, hidden), "b1": (hidden,), "w2": (hidden, width), "b2": (width,)}
    else:
        tails = {"w": (width, width), "b": (width,)}
    for name, tail in tails.items():
        expected, given = (batch, heads, *tail), tuple(getattr(state, name).shape)
        if given != expected:
            raise ValueError(
                refusal(
                    f"state.{name}",
                    list(given),
                    f"for this q it must be {list(expected)}",
                    "Expand it to a state a sequence",
                )
            )
    for name, x in norm._asdict().items():
        if tuple(x.shape) != (heads, width):
            raise ValueError(
                refusal(f"norm.{name}", list(x.shape), f"it must be [H, D] = {[heads, width]}", "Give one row a head")
            )


def _check_kind(q: Tensor, tensors: dict[str, Tensor]) -> None:
    for name, x in tensors.items():
        if not x.is_floating_point() or x.device != q.device:
            raise ValueError(
                refusal(
                    name,
                    f"{x.dtype} on {x.device}",
                    f"it must be floating and on {q.device}, as q is",
                    "Move or convert it",
                )
            )
