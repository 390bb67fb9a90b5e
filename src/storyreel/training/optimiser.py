"""AdamW, or Muon for the hidden matrices, on float32 masters of a low-precision model, with a moving average of them.

The working parameters (bfloat16 on a GPU) are what the forward and backward passes see. Each step copies their
gradients to float32, clips, updates the masters, and copies the result back. The moving average, an exponential one,
follows the masters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from storyreel.training import parallel
from storyreel.training.config import OptimiserConfig
from storyreel.training.muon import Muon, is_hidden_matrix

ALIGNED_NUMBERS = 64
"""Each gradient begins at a multiple of so many numbers, as a tensor of its own would."""


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


class MasterOptimiser:
    """Optimiser of `named_parameters` (working weights, any dtype, `.grad` set by the backward pass).

    AdamW moves them all, or with `config.matrices` "muon" all but the hidden matrices, which are Muon's.
    Gradients are averaged over all processes of training/parallel.py; each then takes the same step.
    """

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimiserConfig) -> None:
        self.config = config
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        self.names = [name for name, _ in trained]
        self.working: list[Tensor] = [parameter for _, parameter in trained]
        self.masters = [parameter.detach().float().clone() for parameter in self.working]
        self.ema = [master.clone() for master in self.masters]
        self.gradients = _grad_in_one_buffer(self.masters)
        self.optimisers = list(self._optimisers())
        self.steps = 0

    def _optimisers(self) -> Iterator[torch.optim.Optimizer]:
        config = self.config
        hidden = [
            config.matrices == "muon" and is_hidden_matrix(*own) for own in zip(self.names, self.masters, strict=True)
        ]
        if not all(hidden):
            groups = self._groups([not own for own in hidden])
            yield torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=self.masters[0].is_cuda)
        if any(hidden):
            yield Muon(self._groups(hidden), lr=config.learning_rate)

    def _groups(self, chosen: list[bool]) -> list[dict[str, Any]]:
        config = self.config
        rates = {True: config.learning_rate, False: config.pretrained_learning_rate or config.learning_rate}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, master, is_chosen in zip(self.names, self.masters, chosen, strict=True):
            if is_chosen:
                decay = config.weight_decay if is_decayed(name, master) else 0.0
                groups.setdefault((rates[".mixer." in name], decay), []).append(master)
        return [{"params": params, "rate": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]

    def _optimiser_of(self, master: Tensor) -> torch.optim.Optimizer:
        return next(
            one
            for one in self.optimisers
            if any(master is own for group in one.param_groups for own in group["params"])
        )

    @torch.no_grad()
    def step(self, progress: float) -> Tensor:
        """One update; returns the norm of the gradient before clipping (a 0-d tensor, no synchronisation)."""
        with_grad = [(w, m) for w, m in zip(self.working, self.masters, strict=True) if w.grad is not None]
        gradients = [m.grad for _, m in with_grad if m.grad is not None]
        torch._foreach_copy_(gradients, [w.grad for w, _ in with_grad if w.grad is not None])
        parallel.average_(self.gradients)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (self.config.clip / (norm + 1e-6)).clamp(max=1.0))
        factor = learning_rate_factor(self.config, self.steps, progress)
        for one in self.optimisers:
            for group in one.param_groups:
                group["lr"] = group["rate"] * factor
            one.step()
        torch._foreach_copy_(self.working, self.masters)
        # A young average must forget its random start: the usual warm-up of the decay.
        decay = min(self.config.ema_decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.ema, self.masters, 1 - decay)
        self.steps += 1
        return norm

    @torch.no_grad()
    def copy_from_first(self) -> None:
        """Takes the first process's weights: equal seeds should have made all equal, but it must be so."""
        parallel.copy_from_first_(self.masters + self.ema)
        torch._foreach_copy_(self.working, self.masters)

    def state_dict(self) -> dict[str, Tensor]:
        """Masters, average and moments by name, all float32; Muon has no second moment, and zeros stand for it."""
        state = {}
        for name, master, ema in zip(self.names, self.masters, self.ema, strict=True):
            moments = self._optimiser_of(master).state.get(master, {})
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
            moments = {"exp_avg": state[f"exp_avg.{name}"].to(master)}
            one = self._optimiser_of(master)
            if isinstance(one, torch.optim.AdamW):
                moments["step"] = torch.tensor(float(steps), device=master.device if master.is_cuda else "cpu")
                moments["exp_avg_sq"] = state[f"exp_avg_sq.{name}"].to(master)
            one.state[master] = moments
        torch._foreach_copy_(self.working, self.masters)
        self.steps = steps

    @torch.no_grad()
    def use_average(self) -> None:
        """Puts the moving average into the working weights: what is to be shipped. The masters stay."""
        torch._foreach_copy_(self.working, self.ema)


def _grad_in_one_buffer(masters: list[Tensor]) -> Tensor:
    """Gives each master a zero `.grad` in one flat float32 tensor, so that processes average all of them at once."""
    lengths = [-(-master.numel() // ALIGNED_NUMBERS) * ALIGNED_NUMBERS for master in masters]
    buffer = torch.zeros(sum(lengths), device=masters[0].device)
    for master, part in zip(masters, buffer.split(lengths), strict=True):
        master.grad = part.as_strided(master.shape, master.stride(), part.storage_offset())
    return buffer
