import pytest
import torch

from storyreel.geometry import TokenLayout
from storyreel.training.diffusion import add_noise, draw_noise_levels, per_latent, weighted_error

LAYOUT = TokenLayout(segments=3, text_tokens=4, rows=1, columns=2)


def test_values_of_segments_reach_their_own_latents():
    values = per_latent(torch.tensor([[1.0, 2.0, 3.0]]), LAYOUT)
    assert values.tolist() == [[1.0] * 13 + [2.0] * 12 + [3.0] * 12]
    still = TokenLayout(segments=1, text_tokens=4, rows=1, columns=2, latents_per_segment=0)
    assert per_latent(torch.tensor([[4.0], [5.0]]), still).tolist() == [[4.0], [5.0]]


def test_velocity_and_noisy_latents_give_back_signal_and_noise():
    torch.manual_seed(0)
    x, e = torch.randn(2, 37, 3, 2, 2).double(), torch.randn(2, 37, 3, 2, 2).double()
    alpha_bar = torch.rand(2, 37).double()
    noisy, velocity = add_noise(x, e, alpha_bar)
    a, s = (root[:, :, None, None, None] for root in (alpha_bar.sqrt(), (1 - alpha_bar).sqrt()))
    torch.testing.assert_close(a * noisy - s * velocity, x)
    torch.testing.assert_close(s * noisy + a * velocity, e)


def test_levels_are_stratified_and_shared_by_segments_without_prefixes():
    levels, weights = draw_noise_levels(50, 3, 1000, 0.0, torch.Generator().manual_seed(0))
    assert (levels == levels[:, :1]).all()
    assert sorted(level // 20 for level in levels[:, 0].tolist()) == list(range(50))
    assert (weights == 1).all()


def test_clean_prefixes_have_no_loss_and_leave_some():
    levels, weights = draw_noise_levels(400, 4, 1000, 0.5, torch.Generator().manual_seed(1))
    prefixed = (weights == 0).any(dim=1)
    assert 0.4 < prefixed.float().mean() < 0.6
    assert (levels[weights == 0] == 0).all()
    assert (weights[:, -1] == 1).all()
    assert (weights.diff(dim=1) >= 0).all()
    assert not (levels[prefixed][:, 2] == levels[prefixed][:, 3]).all()
    again, _ = draw_noise_levels(400, 4, 1000, 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(levels, again)


def test_one_segment_never_has_a_prefix():
    levels, weights = draw_noise_levels(64, 1, 1000, 1.0, torch.Generator().manual_seed(2))
    assert (weights == 1).all()
    assert levels.float().mean() == pytest.approx(500, abs=10)


def test_error_ignores_frames_without_weight():
    prediction, target = torch.zeros(1, 2, 1, 2, 2), torch.ones(1, 2, 1, 2, 2)
    target[:, 1] = 3
    assert weighted_error(prediction, target, torch.tensor([[1.0, 0.0]])) == 1
    assert weighted_error(prediction, target, torch.tensor([[1.0, 1.0]])) == 5


def test_a_power_draws_little_noise_more_often():
    levels, _ = draw_noise_levels(1000, 1, 1000, 0.0, torch.Generator().manual_seed(0), power=2.0)
    assert levels.float().median().item() == pytest.approx(250, abs=2)
    assert levels.max() > 990
