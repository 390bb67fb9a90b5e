"""What ops refuse, in the words of `errors.refusal`, and which backend serves."""

import functools
import os
from importlib.util import find_spec

import torch
from torch import Tensor

from storyreel.errors import ConfigError, GeometryError, KernelUnavailable, refusal
from storyreel.ops import fla

CHUNKED_BACKENDS = ("reference", "chunked", "fla", "auto")
KERNEL_BACKENDS = ("reference", "triton", "auto")
KERNEL_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def check_tokens(name: str, x: Tensor) -> None:
    """GeometryError unless x is `[B, T, H, D]` with at least one token; ValueError unless it is floating."""
    if x.dim() != 4 or not x.numel():
        limit = "it must be four-dimensional with at least one token"
        raise GeometryError(refusal(name, list(x.shape), limit, "Skip the op when T is 0"))
    if not x.is_floating_point():
        raise ValueError(refusal(name, x.dtype, "it must be a floating dtype", "Convert it first"))


def check_shapes(expected: dict[str, tuple[Tensor, tuple[int, ...], str]]) -> None:
    """GeometryError unless each tensor by name has its shape; the last part spells the shape in letters."""
    for name, (x, shape, letters) in expected.items():
        if tuple(x.shape) != shape:
            limit = f"it must be {letters} = {list(shape)}"
            raise GeometryError(refusal(name, list(x.shape), limit, "Give all tensors of one op the same sizes"))


def check_kind(like: Tensor, tensors: dict[str, Tensor]) -> None:
    """ValueError unless every tensor is floating and on the device of `like`."""
    for name, x in tensors.items():
        if not x.is_floating_point() or x.device != like.device:
            limit = f"it must be floating and on {like.device}"
            raise ValueError(refusal(name, f"{x.dtype} on {x.device}", limit, "Move or convert it"))


def resolve_chunked(op: str, name: str, chunk: int, x: Tensor, key_width: int = 0) -> str:
    """The backend of that name for tokens x; "auto" is "fla" where that serves half precision, else "chunked".

    key_width: as in `fla.obstacle`. KernelUnavailable for another name or where "fla" cannot serve, ConfigError for a
    chunk under 1.
    """
    if name not in CHUNKED_BACKENDS:
        limit = f"the choices are {', '.join(CHUNKED_BACKENDS)}"
        raise KernelUnavailable(refusal(f"{op} backend", repr(name), limit, 'Try backend="auto"'))
    if chunk < 1:
        raise ConfigError(refusal("chunk", chunk, "it must be at least 1 token", "64 is usual"))
    if name == "auto":
        return "fla" if fla.wants(x, key_width) else "chunked"
    if name == "fla" and (obstacle := fla.obstacle(x, key_width)):
        raise KernelUnavailable(f'{op} backend "fla" needs {obstacle} Or try backend="chunked".')
    return name


def resolve_kernels(op: str, name: str, x: Tensor) -> str:
    """ "reference" or "triton", for tensors like x; "auto" is the kernels wherever they can serve.

    KernelUnavailable for another name, and where the kernels are asked for by name and cannot serve.
    """
    if name not in KERNEL_BACKENDS:
        limit = f"the choices are {', '.join(KERNEL_BACKENDS)}"
        raise KernelUnavailable(refusal(f"{op} backend", repr(name), limit, 'Try backend="auto"'))
    # Triton reads the variable when it is imported; its interpreter is for tests.
    on_gpu = x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    serves = on_gpu and x.dtype in KERNEL_DTYPES and _has_triton()
    if name == "triton" and not serves:
        needs = "the package triton, a CUDA GPU, and bfloat16, float16 or float32"
        raise KernelUnavailable(
            f'{op} backend "triton" needs {needs}; got {x.dtype} on {x.device}. Try backend="reference".'
        )
    return "triton" if serves and name != "reference" else "reference"


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
