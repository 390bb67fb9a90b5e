import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from storyreel.errors import WeightsError
from storyreel.training.checkpoint import load_checkpoint, save_checkpoint
from storyreel.training.config import OptimiserConfig
from storyreel.training.optimiser import MasterOptimiser, learning_rate_factor

CONFIG = OptimiserConfig(learning_rate=1e-2, warmup_steps=1, schedule="constant", clip=1e9, ema_decay=0.9)


def make_model(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3)).to(dtype)


def backward(model, step):
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step)).to(next(model.parameters()).dtype)
    model.zero_grad()
    model(x).square().sum().backward()


def test_float32_masters_step_like_torch_adamw():
    ours, theirs = make_model(), make_model()
    optimiser = MasterOptimiser(ours.named_parameters(), CONFIG)
    decayed = [p for p in theirs.parameters() if p.ndim >= 2]
    rest = [p for p in theirs.parameters() if p.ndim < 2]
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 1e-4}, {"params": rest, "weight_decay": 0.0}], lr=1e-2, betas=(0.9, 0.95)
    )
    for step in range(5):
        backward(ours, step)
        backward(theirs, step)
        optimiser.step(0.0)
        adamw.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_small_steps_are_not_lost_in_bfloat16():
    model = make_model(torch.bfloat16)
    optimiser = MasterOptimiser(model.named_parameters(), OptimiserConfig(learning_rate=1e-5, warmup_steps=1))
    before = [master.clone() for master in optimiser.masters]
    for step in range(3):
        backward(model, step)
        optimiser.step(0.0)
    moved = [(a - b).abs().max() for a, b in zip(before, optimiser.masters, strict=True)]
    assert all(2e-5 < move < 4e-5 for move in moved)
    for working, master in zip(optimiser.working, optimiser.masters, strict=True):
        assert torch.equal(working, master.bfloat16())


def test_parts_of_a_batch_count_as_their_mean():
    whole, parted = make_model(), make_model()
    one, two = (MasterOptimiser(model.named_parameters(), CONFIG) for model in (whole, parted))
    for step in range(2):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        whole.zero_grad()
        whole(x).square().mean().backward()
        one.step(0.0)
        for rows in (x[:2], x[2:]):
            parted.zero_grad()
            parted(rows).square().mean().backward()
            two.collect()
        two.step(0.0)
    for a, b in zip(whole.parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_is_clipped_to_its_norm():
    model = make_model()
    optimiser = MasterOptimiser(model.named_parameters(), OptimiserConfig(clip=0.1))
    backward(model, 0)
    norm = optimiser.step(0.0)
    assert norm > 0.1
    clipped = torch.stack([m.grad.norm() for m in optimiser.masters]).norm()
    assert clipped == pytest.approx(0.1, rel=1e-3)


def test_pretrained_weights_can_learn_more_slowly():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn, self.mixer = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3))

    torch.manual_seed(0)
    model = nn.ModuleDict({"blocks": Block()})
    config = OptimiserConfig(learning_rate=1e-2, pretrained_learning_rate=1e-3, warmup_steps=1, weight_decay=0.0)
    optimiser = MasterOptimiser(model.named_parameters(), config)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimiser.step(0.0)
    for name, p in model.named_parameters():
        assert (before[name] - p.detach()).abs().max() == pytest.approx(1e-2 if ".mixer." in name else 1e-3, rel=1e-3)


def test_average_follows_and_can_be_used():
    model = make_model()
    optimiser = MasterOptimiser(model.named_parameters(), CONFIG)
    expected = [m.clone() for m in optimiser.masters]
    for step in range(4):
        backward(model, step)
        optimiser.step(0.0)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * m for e, m in zip(expected, optimiser.masters, strict=True)]
    optimiser.use_average()
    for parameter, average in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), average)


def test_resumed_run_equals_unbroken(tmp_path):
    whole, part = make_model(), make_model()
    unbroken = MasterOptimiser(whole.named_parameters(), CONFIG)
    first = MasterOptimiser(part.named_parameters(), CONFIG)
    for step in range(3):
        for model, optimiser in ((whole, unbroken), (part, first)):
            backward(model, step)
            optimiser.step(0.0)
    save_checkpoint(tmp_path, first, "run")
    fresh = make_model()
    second = MasterOptimiser(fresh.named_parameters(), CONFIG)
    assert load_checkpoint(tmp_path, second, "run")
    assert second.steps == 3
    for step in range(3, 6):
        for model, optimiser in ((whole, unbroken), (fresh, second)):
            backward(model, step)
            optimiser.step(0.0)
    for a, b in zip(whole.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(unbroken.ema, second.ema, strict=True):
        assert torch.equal(a, b)


def test_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    optimiser = MasterOptimiser(make_model().named_parameters(), CONFIG)
    assert not load_checkpoint(tmp_path, optimiser, "run")
    save_checkpoint(tmp_path, optimiser, "run")
    with pytest.raises(WeightsError, match="another configuration"):
        load_checkpoint(tmp_path, optimiser, "other")
    (state,) = tmp_path.glob("state_*.safetensors")
    state.write_bytes(state.read_bytes()[:50])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_checkpoint(tmp_path, optimiser, "run")


def test_schedule_warms_up_and_anneals():
    config = OptimiserConfig(warmup_steps=10, schedule="cosine")
    assert learning_rate_factor(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate_factor(config, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate_factor(config, 50, 0.5) == pytest.approx(0.5)
    assert learning_rate_factor(config, 99, 1.0) == pytest.approx(0.02)
    assert learning_rate_factor(OptimiserConfig(warmup_steps=0, schedule="constant"), 99, 1.0) == 1.0


def test_parameters_without_a_gradient_get_none():
    model = make_model()
    optimiser = MasterOptimiser(model.named_parameters(), CONFIG)
    backward(model, 0)
    optimiser.step(0.0)
    backward(model, 1)
    model[0].weight.grad = None
    optimiser.step(0.0)
    missing = optimiser.masters[optimiser.names.index("0.weight")]
    assert not missing.grad.any()
    assert all(m.grad.any() for m in optimiser.masters if m is not missing)


@pytest.mark.parametrize("matrices", ["adamw", "muon"])
def test_a_checkpoint_has_every_tensor_in_its_own_shape(matrices):
    model = make_model()
    optimiser = MasterOptimiser(model.named_parameters(), OptimiserConfig(matrices=matrices))
    backward(model, 0)
    optimiser.step(0.0)
    state = optimiser.state_dict()
    assert list(state) == [
        f"{kind}.{name}" for kind in ("master", "ema", "exp_avg", "exp_avg_sq") for name in optimiser.names
    ]
    for name, parameter in model.named_parameters():
        for kind in ("master", "ema", "exp_avg", "exp_avg_sq"):
            tensor = state[f"{kind}.{name}"]
            assert (tensor.shape, tensor.dtype) == (parameter.shape, torch.float32)
            is_muons = matrices == "muon" and parameter.ndim == 2
            assert tensor.any() or (kind == "exp_avg_sq" and is_muons)


class Operations(TorchDispatchMode):
    """Counts what is dispatched."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_a_step_takes_as_many_operations_for_more_layers_of_the_same_shapes():
    counts = []
    for layers in (2, 12):
        model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(layers)))
        optimiser = MasterOptimiser(model.named_parameters(), OptimiserConfig(matrices="muon"))
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        with Operations() as operations:
            optimiser.step(0.0)
        counts.append(operations.count)
    assert counts[0] == counts[1]
