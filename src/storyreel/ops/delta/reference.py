"""The gated delta rule, token by token: the specification. Any floating dtype; all tensors share it."""

import torch
from torch import Tensor


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Shapes as in `storyreel.ops.delta.gated_delta`; y `[B, T, H, V]` and the state after the last token."""
    eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    outputs = []
    for t in range(q.shape[1]):
        decay, rate = log_decay[:, t].exp()[..., None, None], beta[:, t][..., None, None]
        erase = eye - rate * torch.einsum("bhi,bhj->bhij", k[:, t], k[:, t])
        state = decay * state @ erase + rate * torch.einsum("bhv,bhk->bhvk", v[:, t], k[:, t])
        outputs.append(torch.einsum("bhvk,bhk->bhv", state, q[:, t]))
    return torch.stack(outputs, dim=1), state
