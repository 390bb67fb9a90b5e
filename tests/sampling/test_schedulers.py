import math

import pytest
import torch

from storyreel.errors import ConfigError, WeightsError
from storyreel.sampling.schedulers import SOLVERS, Solver, build_scheduler, initial_noise, solver_of


def velocity(x, time):
    """Any smooth stand-in for a model."""
    return torch.tanh(x * 0.7 + 0.3) + 0.001 * time


def start(seed=0):
    return torch.randn(1, 3, 4, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 10, 20, 50])
def test_ddim_equals_diffusers_where_steps_divide_1000(steps):
    scheduler = build_scheduler("ddim")
    scheduler.set_timesteps(steps)
    solver = Solver(scheduler, "ddim", steps)
    theirs = ours = start()
    assert solver.times == scheduler.timesteps.tolist()
    for index, time in enumerate(scheduler.timesteps.tolist()):
        theirs, their_x0 = scheduler.step(velocity(theirs, time), time, theirs, return_dict=False)
        ours, our_x0 = solver.step(index, velocity(ours, time), ours)
        torch.testing.assert_close(our_x0, their_x0, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 10, 20, 50])
def test_dpm_equals_diffusers_where_steps_divide_1000(steps):
    scheduler = build_scheduler("dpm")
    scheduler.set_timesteps(steps)
    solver = Solver(scheduler, "dpm", steps)
    theirs = ours = start()
    old, times = None, scheduler.timesteps.tolist()
    for index, time in enumerate(times):
        before = times[index - 1] if index else None
        theirs, old = scheduler.step(
            velocity(theirs, time), old, time, before, theirs, generator=torch.Generator().manual_seed(index)
        )
        again = torch.Generator().manual_seed(index)
        first, second = (torch.randn(ours.shape, generator=again, dtype=torch.float64) for _ in range(2))
        ours, our_x0 = solver.step(index, velocity(ours, time), ours, first if index in (0, steps - 1) else second)
        torch.testing.assert_close(our_x0, old, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("steps", [3, 6, 7, 11, 13, 30, 61])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_step_count_ends_on_the_clean_sample(name, steps):
    """Also where diffusers' own step misses the end: with the true velocity of one sample, that sample comes out."""
    solver = Solver(build_scheduler(), name, steps)
    clean, x = start(1), start(2)
    for index in range(steps):
        a, s = solver._signal[index], solver._spread[index]
        true = (a * x - clean) / s if a < 1 else x
        x, x0 = solver.step(index, true, x, torch.randn_like(x))
        torch.testing.assert_close(x0, clean, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(x, clean, rtol=1e-7, atol=1e-7)
    assert len(set(solver.times)) == steps
    assert solver.times[0] == 999


def test_the_first_step_forgets_the_input_but_for_noise():
    """At zero SNR the input holds nothing of the sample: x0 is minus the velocity."""
    solver = Solver(build_scheduler(), "ddim", 10)
    x, v = start(1), start(2)
    torch.testing.assert_close(solver.clean(0, v, x), -v)


def gaussian_velocity(solver, index, x, spread):
    """The exact velocity where clean samples are N(0, spread^2): E[a e - s x0 | x]."""
    a, s = solver._signal[index], solver._spread[index]
    return a * s * (1 - spread**2) / (a * a * spread**2 + s * s) * x


def ode_error(name, steps, spread=0.5):
    solver = Solver(build_scheduler(), name, steps)
    x = torch.ones(1, dtype=torch.float64)
    for index in range(steps):
        x, _ = solver.step(index, gaussian_velocity(solver, index, x, spread), x)
    return abs(float(x) - spread)


def test_solvers_converge_to_the_exact_flow_and_the_second_order_one_sooner():
    """For a Gaussian the flow is known: noise 1 ends at the data's spread."""
    first = [ode_error("ddim", steps) for steps in (10, 20, 40)]
    second = [ode_error("dpm-ode", steps) for steps in (10, 20, 40)]
    assert first[0] > 1.6 * first[1] > 1.6**2 * first[2]
    assert all(better < worse for better, worse in zip(second, first, strict=True))


def test_noise_of_the_stochastic_solver_keeps_the_variance_of_the_data():
    solver = Solver(build_scheduler(), "dpm", 50)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40_000, generator=generator, dtype=torch.float64)
    for index in range(50):
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x, _ = solver.step(index, gaussian_velocity(solver, index, x, 0.5), x, noise)
    assert math.isclose(float(x.std()), 0.5, rel_tol=0.03)


def test_the_stochastic_solver_asks_for_noise():
    solver = Solver(build_scheduler(), "dpm", 2)
    assert solver.needs_noise
    with pytest.raises(ValueError, match="needs noise"):
        solver.step(0, start(), start())


def test_initial_noise_is_a_function_of_the_seed():
    first, again, other = (initial_noise((2, 3), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.device.type == "cpu"


def test_scheduler_settings_have_zero_terminal_snr_and_take_changes():
    scheduler = build_scheduler("ddim", snr_shift_scale=3.0)
    assert float(scheduler.alphas_cumprod[-1]) == 0
    assert scheduler.config["snr_shift_scale"] == 3.0
    assert scheduler.config["prediction_type"] == "v_prediction"
    assert (solver_of(scheduler), solver_of(build_scheduler("dpm"))) == ("ddim", "dpm")


@pytest.mark.parametrize(
    ("name", "steps", "message"),
    [
        ("euler", 10, "solver is euler, but it must be one of ddim, dpm, dpm-ode"),
        ("ddim", 0, "steps is 0, but it must be 1 to 1000"),
        ("ddim", 1001, "steps is 1001"),
    ],
)
def test_unknown_solvers_and_step_counts_are_refused(name, steps, message):
    with pytest.raises(ConfigError, match=message):
        Solver(build_scheduler(), name, steps)
    with pytest.raises(ConfigError, match="scheduler is euler"):
        build_scheduler("euler")


@pytest.mark.parametrize(
    "change", [{"prediction_type": "epsilon"}, {"timestep_spacing": "leading"}, {"rescale_betas_zero_snr": False}]
)
def test_a_scheduler_of_other_training_is_refused(change):
    with pytest.raises(WeightsError, match="scheduler's"):
        Solver(build_scheduler("ddim", **change), "ddim", 4)
