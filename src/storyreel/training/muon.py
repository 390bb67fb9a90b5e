"""Muon (Jordan et al., 2024): momentum, made orthogonal, for the matrices inside a network.

torch.optim.Muon takes one matrix at a time, hundreds of small launches a step; this one takes all of a shape together,
and convolutions as the matrices `[out, in * kernel]` that they are.
"""

from __future__ import annotations

from collections import defaultdict
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
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose orthogonal part is the update; parameters float32 with two axes or more."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter with a gradient. It takes no closure."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[parameter.flatten(1).shape].append(parameter)
            for shape, parameters in shapes.items():
                update = orthogonalise(
                    torch.stack([x.flatten(1) for x in self._momentum(parameters, group["momentum"])])
                )
                size = group["lr"] * RMS_OF_UPDATE * max(shape) ** 0.5
                updates = [u.view_as(p) for u, p in zip(update.float().unbind(), parameters, strict=True)]
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, updates, alpha=-size)

    def _momentum(self, parameters: list[Tensor], momentum: float) -> list[Tensor]:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["exp_avg"] = torch.zeros_like(parameter)
        averages = [self.state[parameter]["exp_avg"] for parameter in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        return list(torch._foreach_lerp(gradients, averages, momentum))
