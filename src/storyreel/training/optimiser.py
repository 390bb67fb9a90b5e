"""AdamW on float32 masters of a low-precision working model, with an exponential moving average.

The working parameters (bfloat16 on a GPU) are what the forward and backward passes see. Each step copies their
gradients to float32, clips, updates the masters, and copies the result back. The moving average follows the masters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from storyreel.training.config import OptimiserConfig


def learning_rate_factor(config: OptimiserConfig, step: int, progress: float) -> float:
    """Factor on the learning rate at `step` (from 0), `progress` in [0, 1] of the way through the run."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "constant":
        return warm
    return warm * max(0.02, 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def is_decayed(name: str, parameter: Tensor) -> bool:
    """Weight decay acts on matrices and larger, not on biases, norms and gates (paper, training details).

    Some of those have a row a head, so the name decides too.
    """
    last = name.rpartition(".")[2]
    return parameter.ndim >= 2 and not ("norm" in last or last in ("b", "b1", "b2"))


class MasterAdamW:
    """Optimiser of `named_parameters` (working weights, any dtype, `.grad` set by the backward pass)."""

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimiserConfig) -> None:
        self.config = config
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        self.names = [name for name, _ in trained]
        self.working: list[Tensor] = [parameter for _, parameter in trained]
        self.masters = [parameter.detach().float().clone() for parameter in self.working]
        self.ema = [master.clone() for master in self.masters]
        for master in self.masters:
            master.grad = torch.zeros_like(master)
        on_gpu = self.masters[0].is_cuda
        self.adamw = torch.optim.AdamW(self._groups(), lr=config.learning_rate, betas=config.betas, fused=on_gpu)
        self.steps = 0

    def _groups(self) -> list[dict[str, Any]]:
        config = self.config
        rates = {True: config.learning_rate, False: config.pretrained_learning_rate or config.learning_rate}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, master in zip(self.names, self.masters, strict=True):
            decay = config.weight_decay if is_decayed(name, master) else 0.0
            groups.setdefault((rates[".mixer." in name], decay), []).append(master)
        return [{"params": params, "rate": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]

    @torch.no_grad()
    def step(self, progress: float) -> Tensor:
        """One update; returns the norm of the gradient before clipping (a 0-d tensor, no synchronisation)."""
        with_grad = [(w, m) for w, m in zip(self.working, self.masters, strict=True) if w.grad is not None]
        gradients = [m.grad for _, m in with_grad if m.grad is not None]
        torch._foreach_copy_(gradients, [w.grad for w, _ in with_grad if w.grad is not None])
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (self.config.clip / (norm + 1e-6)).clamp(max=1.0))
        factor = learning_rate_factor(self.config, self.steps, progress)
        for group in self.adamw.param_groups:
            group["lr"] = group["rate"] * factor
        self.adamw.step()
        torch._foreach_copy_(self.working, self.masters)
        # A young average must forget its random start: the usual warm-up of the decay.
        decay = min(self.config.ema_decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.ema, self.masters, 1 - decay)
        self.steps += 1
        return norm

    def state_dict(self) -> dict[str, Tensor]:
        """Masters, average and moments by name, all float32."""
        state = {}
        for name, master, ema in zip(self.names, self.masters, self.ema, strict=True):
            moments = self.adamw.state.get(master, {})
            state[f"master.{name}"], state[f"ema.{name}"] = master, ema
            for key in ("exp_avg", "exp_avg_sq"):
                state[f"{key}.{name}"] = moments.get(key, torch.zeros_like(master))
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor], steps: int) -> None:
        """Restores what `state_dict` gave after `steps` steps; the working weights follow."""
        for name, master, ema in zip(self.names, self.masters, self.ema, strict=True):
            master.copy_(state[f"master.{name}"])
            ema.copy_(state[f"ema.{name}"])
            self.adamw.state[master] = {
                "step": torch.tensor(float(steps), device=master.device if master.is_cuda else "cpu"),
                "exp_avg": state[f"exp_avg.{name}"].to(master),
                "exp_avg_sq": state[f"exp_avg_sq.{name}"].to(master),
            }
        torch._foreach_copy_(self.working, self.masters)
        self.steps = steps

    @torch.no_grad()
    def use_average(self) -> None:
        """Puts the moving average into the working weights: what is to be shipped. The masters stay."""
        torch._foreach_copy_(self.working, self.ema)
