import pytest
import torch

from storyreel.errors import ConfigError
from storyreel.sampling.guidance import guidance_scales, guided


@pytest.mark.parametrize("steps", [2, 3, 12, 50])
@pytest.mark.parametrize("power", [1.0, 5.0])
def test_guidance_rises_from_exactly_1_to_exactly_the_maximum(steps, power):
    scales = guidance_scales(steps, 4.0, power)
    assert scales[0] == 1.0
    assert scales[-1] == 4.0
    assert scales == sorted(scales)
    assert len(scales) == steps


def test_no_guidance_stays_exactly_1_and_a_single_step_has_the_maximum():
    assert guidance_scales(7, 1.0) == [1.0] * 7
    assert guidance_scales(1, 4.0) == [4.0]


def test_a_higher_power_rises_later():
    assert guidance_scales(9, 4.0, 5.0)[4] < guidance_scales(9, 4.0, 1.0)[4] == 2.5


@pytest.mark.parametrize("maximum", [0.5, -1.0, float("nan"), float("inf")])
def test_a_maximum_below_1_is_refused(maximum):
    with pytest.raises(ConfigError, match=r"guidance is .*, but it must be 1"):
        guidance_scales(10, maximum)


def test_guided_moves_along_the_difference():
    unconditional, conditional = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0])
    assert guided(unconditional, conditional, 1.0).tolist() == [2.0, 2.0]
    assert guided(unconditional, conditional, 3.0).tolist() == [4.0, 2.0]
