"""The recurrence of Mamba 2, token by token: the specification. Any floating dtype; all tensors share it."""

import torch
from torch import Tensor


def ssd(
    c: Tensor, b: Tensor, x: Tensor, dt: Tensor, rate: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Shapes as in `storyreel.ops.ssd.ssd`; y `[B, T, H, P]` and the state after the last token."""
    c, b = (shared.repeat_interleave(x.shape[2] // shared.shape[2], dim=2) for shared in (c, b))
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * rate)[..., None, None]
        state = decay * state + torch.einsum("bh,bhp,bhn->bhpn", dt[:, t], x[:, t], b[:, t])
        outputs.append(torch.einsum("bhpn,bhn->bhp", state, c[:, t]) + skip[:, None] * x[:, t])
    return torch.stack(outputs, dim=1), state
