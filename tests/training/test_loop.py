import time

import pytest
import torch
from torch import nn

from storyreel.errors import TrainingError
from storyreel.training.config import DrawRun, OptimiserConfig
from storyreel.training.loop import Clock, silent, train_steps
from storyreel.training.optimiser import MasterOptimiser

RUN = DrawRun("any", None)


def start(tmp_path, one_step, minutes=None, steps=5):
    layer = nn.Linear(2, 2)
    optimiser = MasterOptimiser(layer.named_parameters(), OptimiserConfig())

    def whole_step(step):
        layer(torch.ones(1, 2)).sum().backward()
        return one_step(step)

    done = train_steps(RUN, tmp_path, optimiser, whole_step, steps=steps, clock=Clock(minutes), report=silent)
    return done, optimiser.steps


def test_a_limit_stops_and_another_call_goes_on(tmp_path):
    def slow(step):
        time.sleep(0.05)
        return {"loss": torch.tensor(1.0)}

    done, steps = start(tmp_path, slow, 0.3 / 60, steps=50)
    assert not done
    assert 1 <= steps < 50
    done, again = start(tmp_path, lambda step: {"loss": torch.tensor(1.0)}, steps=50)
    assert done
    assert again == 50


def test_annealing_follows_the_scarcer_of_steps_and_time():
    clock = Clock(1000.0, anneal=True)
    assert clock.progress(0, 10) < 0.01
    assert clock.progress(5, 10) == pytest.approx(0.5, abs=0.01)
    hurried = Clock(0.0005, anneal=True)
    hurried.progress(0, 10)
    time.sleep(0.05)
    assert hurried.progress(1, 10) > 0.9
    assert Clock(0.0005).progress(1, 10) == 0.1


def test_divergence_is_told_and_not_saved(tmp_path):
    with pytest.raises(TrainingError, match="diverged at step 0"):
        start(tmp_path, lambda step: {"loss": torch.tensor(float("nan"))})
    assert not (tmp_path / "position.json").exists()
