"""AdamW, or Muon for the hidden matrices, on float32 masters of a low-precision model, with a moving average of them.

The working parameters (bfloat16 on a GPU) are what the forward and backward passes see. Each step copies their
gradients to float32, clips, updates the masters, and copies the result back. The moving average, an exponential one,
follows the masters. Masters, average, moments and gradients each lie in one flat tensor: a step is a few launches over
all of them, not hundreds of small ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from storyreel.training import parallel
from storyreel.training.config import OptimiserConfig
from storyreel.training.flat import FlatPlaces
from storyreel.training.muon import Muon, is_hidden_matrix


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


class Kind(NamedTuple):
    """What parameters must have in common to move together; `matrix` is rows and columns of Muon's, None of AdamW's."""

    rate: float
    decay: float
    matrix: tuple[int, int] | None


def kind_of(name: str, parameter: Tensor, config: OptimiserConfig) -> Kind:
    """How a parameter is moved: its learning rate, its weight decay and by which optimiser."""
    rate = config.learning_rate if ".mixer." in name else config.pretrained_learning_rate or config.learning_rate
    is_muons = config.matrices == "muon" and is_hidden_matrix(name, parameter)
    matrix = (len(parameter), parameter[0].numel()) if is_muons else None
    return Kind(rate, config.weight_decay if is_decayed(name, parameter) else 0.0, matrix)


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
        kinds = [kind_of(name, parameter, config) for name, parameter in trained]
        self._places = FlatPlaces([parameter.shape for parameter in self.working], kinds)
        device = self.working[0].device
        self._master, self._ema, self.gradients, *moments = (
            torch.zeros(self._places.length, device=device) for _ in range(5)
        )
        self._moments = dict(zip(("exp_avg", "exp_avg_sq"), moments, strict=True))
        self.masters, self.ema = self._places.views(self._master), self._places.views(self._ema)
        with torch.no_grad():
            torch._foreach_copy_(self.masters, self.working)
            self._ema.copy_(self._master)
        self._gradient_views = self._places.views(self.gradients)
        for master, gradient in zip(self.masters, self._gradient_views, strict=True):
            master.grad = gradient
        self.optimisers = list(self._optimisers())
        self.steps = 0
        self._parts = 0

    def _optimisers(self) -> Iterator[torch.optim.Optimizer]:
        config, on_gpu = self.config, self._master.is_cuda
        groups: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        states: dict[Tensor, dict[str, Tensor]] = {}
        for kind in self._places.spans:
            master = self._together(self._master, kind)
            master.grad = self._together(self.gradients, kind)
            states[master] = {key: self._together(moment, kind) for key, moment in self._moments.items()}
            group = {"params": [master], "rate": kind.rate, "weight_decay": kind.decay}
            groups[kind.matrix is not None].append(group)
        if groups[False]:
            adamw = torch.optim.AdamW(groups[False], lr=config.learning_rate, betas=config.betas, fused=on_gpu)
            for group in groups[False]:
                (master,) = group["params"]
                adamw.state[master] = {"step": torch.zeros((), device=master.device), **states[master]}
            yield adamw
        if groups[True]:
            muon = Muon(groups[True], lr=config.learning_rate, stacked=True)
            for group in groups[True]:
                (master,) = group["params"]
                muon.state[master] = {"exp_avg": states[master]["exp_avg"]}
            yield muon

    def _together(self, buffer: Tensor, kind: Kind) -> Tensor:
        """All of a kind as one tensor: AdamW's in a row, Muon's as matrices one above the other."""
        if kind.matrix is None:
            return buffer[self._places.spans[kind]]
        return self._places.stack(buffer, kind, *kind.matrix)

    @torch.no_grad()
    def collect(self) -> None:
        """Takes the working weights' gradients as those of one part of a batch; the step moves along the parts' mean.

        A batch in one piece needs no call.
        """
        given = [(v, w.grad) for v, w in zip(self._gradient_views, self.working, strict=True) if w.grad is not None]
        views, gradients = [view for view, _ in given], [gradient for _, gradient in given]
        if self._parts:
            torch._foreach_add_(views, gradients)
        else:
            if len(given) < len(self.working):
                self.gradients.zero_()
            torch._foreach_copy_(views, gradients)
        self._parts += 1

    @torch.no_grad()
    def step(self, progress: float) -> Tensor:
        """One update; returns the norm of the gradient before clipping (a 0-d tensor, no synchronisation)."""
        if not self._parts:
            self.collect()
        if self._parts > 1:
            self.gradients.div_(self._parts)
        self._parts = 0
        parallel.average_(self.gradients)
        # In float64: a CPU adds up millions of float32 in a row, and loses the fourth digit.
        norm = torch.linalg.vector_norm(self.gradients, dtype=torch.float64).float()
        self.gradients.mul_((self.config.clip / (norm + 1e-6)).clamp(max=1.0))
        factor = learning_rate_factor(self.config, self.steps, progress)
        for one in self.optimisers:
            for group in one.param_groups:
                group["lr"] = group["rate"] * factor
            one.step()
        torch._foreach_copy_(self.working, self.masters)
        # A young average must forget its random start: the usual warm-up of the decay.
        decay = min(self.config.ema_decay, (1 + self.steps) / (10 + self.steps))
        self._ema.lerp_(self._master, 1 - decay)
        self.steps += 1
        return norm

    @torch.no_grad()
    def copy_from_first(self) -> None:
        """Takes the first process's weights: equal seeds should have made all equal, but it must be so."""
        parallel.copy_from_first_([self._master, self._ema])
        torch._foreach_copy_(self.working, self.masters)

    def state_dict(self) -> dict[str, Tensor]:
        """Masters, average and moments by name, all float32; Muon has no second moment, and zeros stand for it."""
        buffers = {"master": self._master, "ema": self._ema, **self._moments}
        return {
            f"{key}.{name}": view
            for key, buffer in buffers.items()
            for name, view in zip(self.names, self._places.views(buffer), strict=True)
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor], steps: int) -> None:
        """Restores what `state_dict` gave after `steps` steps; the working weights follow."""
        for key, view in self.state_dict().items():
            view.copy_(state[key])
        for one in self.optimisers:
            for own in one.state.values():
                if "step" in own:
                    own["step"].fill_(steps)
        torch._foreach_copy_(self.working, self.masters)
        self.steps = steps

    @torch.no_grad()
    def use_average(self) -> None:
        """Puts the moving average into the working weights: what is to be shipped. The masters stay."""
        torch._foreach_copy_(self.working, self.ema)
