"""Attention of all to all by torch's SDPA: the one place that says which of its kernels is taken."""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# 18,008 tokens, 48 heads of 64, bfloat16, an H100: cuDNN 9.2 ms forward and 22.3 backward, flash 12.2 and 36.1. The
# plain form is not among them: at 63 s it would ask for 230 GiB a head.
GPU_KERNELS = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q, k, v `[B, T, H, D]` to y like q. Half precision on a GPU takes the first of `GPU_KERNELS` that serves."""
    half = q.is_cuda and q.dtype in (torch.float16, torch.bfloat16)
    with sdpa_kernel(GPU_KERNELS, set_priority=True) if half else nullcontext():
        y = torch.nn.functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return y.transpose(1, 2)
