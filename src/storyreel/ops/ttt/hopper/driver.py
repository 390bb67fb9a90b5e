"""The few calls of the CUDA driver that a launch takes, through ctypes: no compiler, nothing to install.

torch has made the context; every function here is called with the GPU of the tensors as the current one.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import byref, c_char_p, c_float, c_int, c_longlong, c_uint, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from storyreel.errors import KernelUnavailable

DYNAMIC_SHARED_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
BFLOAT16, NO_INTERLEAVE, SWIZZLE_128, PROMOTE_128, ZEROS = 9, 0, 3, 2, 0  # of cuTensorMapEncodeTiled
MAP_BYTES, MAP_ALIGNMENT = 128, 64


class Arguments(ctypes.Structure):
    """The kernels' one parameter, byte for byte (`plan.cuh: Arguments`)."""

    _fields_ = (
        *((name, c_uint64 * 16) for name in ("q", "k", "v")),
        *((name, c_void_p) for name in ("eta", "gamma", "beta", "w1", "b1", "w2", "b2", "y")),
        *((name, c_void_p) for name in ("w1s", "b1s", "w2s", "b2s", "dump")),
        *((name, c_longlong) for name in ("eta_b", "eta_t", "eta_h")),
        *((name, c_int) for name in ("tokens", "heads", "every")),
        *((name, c_float) for name in ("scale", "eps")),
        ("padding", c_int * 11),
    )


class Kernel(NamedTuple):
    """A function of the loaded module: threads of a block, and its shared memory in bytes."""

    function: c_void_p
    threads: int
    shared_bytes: int


@functools.cache
def kernel(cubin: Path, name: str, device: int) -> Kernel:
    """The function `name` of `cubin`, loaded on GPU number `device`, which must be the current one."""
    module, function, sizes, size_bytes = c_void_p(), c_void_p(), c_uint64(), ctypes.c_size_t()
    _call("cuModuleLoadData", byref(module), c_char_p(_image(cubin)))
    _call("cuModuleGetFunction", byref(function), module, c_char_p(name.encode()))
    _call("cuModuleGetGlobal_v2", byref(sizes), byref(size_bytes), module, c_char_p(f"{name}_threads_bytes".encode()))
    threads_bytes = (c_uint * 2)()
    _call("cuMemcpyDtoH_v2", threads_bytes, sizes, size_bytes)
    threads, shared_bytes = threads_bytes
    _call("cuFuncSetAttribute", function, DYNAMIC_SHARED_BYTES, int(shared_bytes))
    return Kernel(function, int(threads), int(shared_bytes))


def launch(kernel: Kernel, blocks: int, arguments: ctypes.Structure, stream: int) -> None:
    """Puts a launch into `stream`; the arguments are copied before this returns."""
    pointers = (c_void_p * 1)(ctypes.addressof(arguments))
    sizes = (c_uint(x) for x in (blocks, 1, 1, kernel.threads, 1, 1, kernel.shared_bytes))
    _call("cuLaunchKernel", kernel.function, *sizes, c_void_p(stream), pointers, None)


def tensor_map(x: Tensor, box_tokens: int) -> ctypes.Array[c_uint64]:
    """How TMA finds boxes of `box_tokens` tokens of one head in x `[B, T, H, 64]` bfloat16 (`mappable`)."""
    axes = (3, 1, 2, 0)
    sizes = (c_uint64 * 4)(*(x.shape[a] for a in axes))
    # Of an axis of one, torch may give any stride, and none is taken.
    strides = (c_uint64 * 3)(*(2 * x.stride(a) if x.shape[a] > 1 else 2 * x.shape[3] for a in axes[1:]))
    box, steps = (c_uint32 * 4)(x.shape[3], box_tokens, 1, 1), (c_uint32 * 4)(1, 1, 1, 1)
    room = ctypes.create_string_buffer(MAP_BYTES + MAP_ALIGNMENT)
    at = -(-ctypes.addressof(room) // MAP_ALIGNMENT) * MAP_ALIGNMENT
    kinds = (c_int(n) for n in (NO_INTERLEAVE, SWIZZLE_128, PROMOTE_128, ZEROS))
    encode = (c_int(BFLOAT16), c_uint32(4), c_void_p(x.data_ptr()), sizes, strides, box, steps, *kinds)
    _call("cuTensorMapEncodeTiled", c_void_p(at), *encode)
    return (c_uint64 * 16).from_buffer_copy(ctypes.string_at(at, MAP_BYTES))


def mappable(x: Tensor) -> bool:
    """Whether TMA can read x: 16-byte aligned, and every stride but the last, which is 1, a multiple of 16 bytes."""
    steps = [2 * x.stride(axis) for axis in range(3) if x.shape[axis] > 1]
    return x.stride(3) == 1 and x.data_ptr() % 16 == 0 and all(s % 16 == 0 and 0 < s < 2**40 for s in steps)


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise KernelUnavailable(f'TTT backend "hopper" needs the CUDA driver: {error}. Try backend="dual".') from error


@functools.cache
def _image(cubin: Path) -> bytes:
    return cubin.read_bytes()


def _call(name: str, *arguments: object) -> None:
    status = getattr(_library(), name)(*arguments)
    if status:
        words = c_char_p()
        _library().cuGetErrorString(status, byref(words))
        reason = (words.value or b"unknown").decode()
        raise RuntimeError(f"{name} failed: {reason} (CUDA error {status})")
