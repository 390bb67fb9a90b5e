"""Noise schedules of CogVideoX, and the solvers that walk down them.

The schedule (what noise a time has) is diffusers' `CogVideoXDDIMScheduler`, with the v-prediction and the zero terminal
SNR that models here are trained with. The walk is done here and not by diffusers' `step`, because that takes the next
time to be `timestep - 1000 // steps`. For step counts that do not divide 1000 this misses the times that
`set_timesteps` gives: for 6, 7, 11 or 13 steps (and most counts over 40) the last step stops at the noise of time 0
instead of none, and 61 steps become 62. Where the count divides 1000 both agree (tests/sampling/test_schedulers.py).

Legend: a^2 = alpha_bar, s^2 = 1 - alpha_bar, x = a x0 + s e, v = a e - s x0, lambda = log(a / s).
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from torch import Tensor

from storyreel.errors import ConfigError, WeightsError, refusal

SolverName = Literal["ddim", "dpm", "dpm-ode"]
SOLVERS: tuple[SolverName, ...] = get_args(SolverName)
Scheduler = CogVideoXDDIMScheduler | CogVideoXDPMScheduler

SETTINGS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
}
"""CogVideoX 5B's settings; its 2B has snr_shift_scale 3.0."""


def build_scheduler(name: Literal["ddim", "dpm"] = "ddim", **changes: Any) -> Scheduler:
    """diffusers' scheduler with CogVideoX's settings (`SETTINGS`) and some changes. ConfigError for another name."""
    classes = {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}
    if name not in classes:
        raise ConfigError(refusal("scheduler", name, f"it must be one of {', '.join(classes)}", "Try ddim"))
    return classes[name](**(SETTINGS | changes))


class Solver:
    """A walk from noise (time 999) to a clean sample in `steps` steps.

    ddim: first order, as in the paper. dpm: DPM-Solver++ of second order with fresh noise in each step, CogVideoX 5B's
    own (SDE 2M, arXiv 2211.01095). dpm-ode: the same without noise, for few steps.
    """

    def __init__(self, scheduler: Scheduler, name: SolverName, steps: int) -> None:
        _check(scheduler, name, steps)
        train_steps = int(scheduler.config["num_train_timesteps"])
        alpha_bar = scheduler.alphas_cumprod.double().tolist()
        self.name = name
        self.times = [round(train_steps * (steps - i) / steps) - 1 for i in range(steps)]
        bars = [alpha_bar[time] for time in self.times] + [float(scheduler.final_alpha_cumprod)]
        self._signal = [math.sqrt(bar) for bar in bars]
        self._spread = [math.sqrt(1 - bar) for bar in bars]
        self._last_x0: Tensor | None = None

    @property
    def needs_noise(self) -> bool:
        """Whether `step` wants fresh noise."""
        return self.name == "dpm"

    def clean(self, index: int, velocity: Tensor, x: Tensor) -> Tensor:
        """The clean sample that step `index` predicts from its input `x` and the model's velocity: x0 = a x - s v."""
        return self._signal[index] * x - self._spread[index] * velocity

    def step(self, index: int, velocity: Tensor, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(input of the next step, predicted clean sample) from the input `x` of step `index`; tensors of one shape.

        Steps must be taken in order. `noise` is standard normal, and is needed where `needs_noise` says so.
        """
        x0 = self.clean(index, velocity, x)
        target = self._extrapolated(index, x0)
        self._last_x0 = x0
        a, s = self._signal[index], self._spread[index]
        a_next, s_next = self._signal[index + 1], self._spread[index + 1]
        if not self.needs_noise:
            return (s_next / s) * x + (a_next - a * s_next / s) * target, x0
        if noise is None:
            raise ValueError("the dpm solver needs noise in every step")
        shrink = a * s_next / (s * a_next)
        mean = (s_next / s) * shrink * x + a_next * (1 - shrink**2) * target
        return mean + s_next * math.sqrt(1 - shrink**2) * noise, x0

    def _extrapolated(self, index: int, x0: Tensor) -> Tensor:
        """Second order: x0 moved on along its change since the step before. First order where lambda is infinite."""
        if self.name == "ddim" or self._last_x0 is None or self._spread[index + 1] == 0:
            return x0
        before, now, after = (self._log_ratio(i) for i in (index - 1, index, index + 1))
        ahead = (after - now) / (2 * (now - before))
        return (1 + ahead) * x0 - ahead * self._last_x0

    def _log_ratio(self, index: int) -> float:
        return math.log(self._signal[index] / self._spread[index]) if self._signal[index] else -math.inf


def solver_of(scheduler: Scheduler) -> SolverName:
    """The solver that a pipeline's scheduler stands for."""
    return "dpm" if isinstance(scheduler, CogVideoXDPMScheduler) else "ddim"


def initial_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal float32 from a generator of the CPU, so that a seed means the same on every device."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def _check(scheduler: Scheduler, name: str, steps: int) -> None:
    if name not in SOLVERS:
        raise ConfigError(refusal("solver", name, f"it must be one of {', '.join(SOLVERS)}", "Try ddim"))
    limit = int(scheduler.config["num_train_timesteps"])
    if not 1 <= steps <= limit:
        raise ConfigError(refusal("steps", steps, f"it must be 1 to {limit}", "Try 20"))
    for key in ("prediction_type", "timestep_spacing"):
        if scheduler.config[key] != SETTINGS[key]:
            need = f"models here need {SETTINGS[key]}"
            raise WeightsError(refusal(f"scheduler's {key}", scheduler.config[key], need, "Change its config"))
    if float(scheduler.alphas_cumprod[-1]) != 0:
        way_out = "Set rescale_betas_zero_snr in its config"
        raise WeightsError(refusal("scheduler's last SNR", "above 0", "sampling starts from pure noise", way_out))
