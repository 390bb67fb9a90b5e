"""Muon (Jordan et al., 2024): momentum, made orthogonal, for the matrices inside a network.

torch.optim.Muon takes one matrix at a time, hundreds of small launches a step; this one takes stacks of matrices of one
shape too, and convolutions as the matrices `[out, in * kernel]` that they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan et al.: five steps bring every singular value to between about 0.7 and 1.2."""
NEWTON_SCHULZ_STEPS = 5
RMS_OF_UPDATE = 0.2
"""An update has about the size of AdamW's (arXiv 2502.16982, section 2.2), so one learning rate serves both."""
OUTER = ("patch_embed", "proj_out", "time_embedding", "time_proj", "shared", "conv_in", "conv_out", "norm")
"""Parts of names outside the hidden matrices: what touches the data, tables, and projections of time."""


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon is meant for it: the weight of a linear map or convolution between hidden values."""
    *path, last = name.split(".")
    outer = any(part.startswith(OUTER) for part in path) or "relative_attention_bias" in path
    return last == "weight" and parameter.ndim >= 2 and not outer


@torch.no_grad()
def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest half-orthogonal matrices, roughly: `[..., rows, columns]`, bfloat16 on a GPU, else float32."""
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    shape, x = x.shape, x.reshape(-1, *x.shape[-2:])
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.view(shape)
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose orthogonal part is the update; parameters float32 with two axes or more.

    A `stacked` parameter `[matrices, rows, columns]` is so many matrices; any other is one, `[out, everything else]`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        stacked: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "stacked": stacked}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter with a gradient. It takes no closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self._momentum(parameter, parameter.grad, group["momentum"])
                matrices = momentum if group["stacked"] else momentum.flatten(1)
                size = group["lr"] * RMS_OF_UPDATE * max(matrices.shape[-2:]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(orthogonalise(matrices).reshape(parameter.shape), alpha=-size)

    def _momentum(self, parameter: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
        return gradient.lerp(state["exp_avg"].lerp_(gradient, 1 - momentum), momentum)
