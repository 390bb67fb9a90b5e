"""Softmax attention over a whole sequence, or over a window behind each token. The mathematics is in the README here.

Letters: B batch, T tokens that ask, S tokens that are asked (S >= T, of which those that ask are the last), H heads,
D head width.
"""

from importlib.util import find_spec

import torch
from torch import Tensor

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable, refusal
from storyreel.ops.checks import check_kind, check_shapes, check_tokens
from storyreel.ops.softmax import blocks, dense, reference

__all__ = ["full_attention", "resolve_window_backend", "window_attention"]

FULL_BACKENDS = ("reference", "sdpa", "auto")
WINDOW_BACKENDS = ("reference", "blocks", "flex", "auto")
FLEX_HEAD_WIDTHS = (16, 32, 64, 128, 256)


def full_attention(q: Tensor, k: Tensor, v: Tensor, *, backend: str = "auto") -> Tensor:
    """Every token attends to all: y `[B, T, H, D]` in the dtype of q.

    q, k, v `[B, T, H, D]`, of one floating dtype and device. backend: "reference" (T x T numbers a head), "sdpa", or
    "auto" for "sdpa". GeometryError for shapes that do not fit, ValueError for dtypes or devices, KernelUnavailable for
    another backend.
    """
    _check(q, k, v)
    if k.shape[1] != q.shape[1]:
        limit = f"it must be [B, T, H, D] = {list(q.shape)}"
        raise GeometryError(refusal("k", list(k.shape), limit, "Give all tensors of one op the same sizes"))
    _check_name("full attention", backend, FULL_BACKENDS)
    return reference.attention(q, k, v) if backend == "reference" else dense.attention(q, k, v)


def window_attention(q: Tensor, k: Tensor, v: Tensor, window: int, *, backend: str = "auto") -> Tensor:
    """Every token attends to itself and the `window` - 1 tokens before it: y `[B, T, H, D]` in the dtype of q.

    q `[B, T, H, D]`, k and v `[B, S, H, D]`, of one floating dtype and device. S - T tokens may be given in front, to
    be asked only: what an earlier piece of the sequence hands over (`window` - 1 of them are enough).

    backend: "reference" (T x S numbers a head), "blocks" (SDPA, a block of tokens after the other: memory grows with
    T), "flex" (FlexAttention, compiled; a CUDA GPU with Triton), or "auto" for the last that serves. GeometryError for
    shapes that do not fit, ConfigError for a window under 1, ValueError for dtypes or devices, KernelUnavailable for a
    backend that cannot serve.
    """
    _check(q, k, v)
    if window < 1:
        raise ConfigError(refusal("window", window, "it must be at least 1 token", "The paper takes 8192"))
    backend = resolve_window_backend(backend, q)
    if backend == "reference":
        return reference.attention(q, k, v, window)
    if backend == "flex":
        from storyreel.ops.softmax import flex

        return flex.window_attention(q, k, v, window)
    return blocks.window_attention(q, k, v, window)


def resolve_window_backend(name: str, q: Tensor) -> str:
    """The backend that serves q `[B, T, H, D]`; KernelUnavailable, with the reason, where that one cannot."""
    _check_name("window attention", name, WINDOW_BACKENDS)
    if name not in ("auto", "flex"):
        return name
    obstacle = _flex_obstacle(q)
    if name == "auto":
        return "blocks" if obstacle else "flex"
    if obstacle:
        raise KernelUnavailable(f'window attention backend "flex" needs {obstacle}. Try backend="blocks".')
    return name


def _flex_obstacle(q: Tensor) -> str:
    """What FlexAttention needs and q has not; empty where it can serve."""
    if q.device.type != "cuda":
        return f"a CUDA GPU; got {q.device.type}"
    if q.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"float32, float16 or bfloat16; got {q.dtype}"
    if q.shape[-1] not in FLEX_HEAD_WIDTHS:
        return f"heads of {', '.join(map(str, FLEX_HEAD_WIDTHS))}; got {q.shape[-1]}"
    return "" if find_spec("triton") else "the package triton, which is not installed"


def _check_name(op: str, name: str, choices: tuple[str, ...]) -> None:
    if name not in choices:
        limit = f"the choices are {', '.join(choices)}"
        raise KernelUnavailable(refusal(f"{op} backend", repr(name), limit, 'Try backend="auto"'))


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    check_tokens("q", q)
    check_tokens("k", k)
    batch, tokens, heads, width = q.shape
    asked = k.shape[1]
    if asked < tokens:
        limit = f"it must hold the {tokens} tokens of q"
        raise GeometryError(refusal("k", list(k.shape), limit, "Tokens that are asked only go in front"))
    letters = "[B, S, H, D]"
    check_shapes({"k": (k, (batch, asked, heads, width), letters), "v": (v, (batch, asked, heads, width), letters)})
    check_kind(q, {"k": k, "v": v})
    for name, x in (("k", k), ("v", v)):
        if x.dtype != q.dtype:
            raise ValueError(refusal(name, x.dtype, f"q is {q.dtype}", "Convert one of them"))
