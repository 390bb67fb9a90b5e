"""Muon against its definition and torch.optim.Muon."""

import pytest
import torch
from torch import nn

from storyreel.training.config import OptimiserConfig
from storyreel.training.muon import Muon, is_hidden_matrix, orthogonalise
from storyreel.training.optimiser import MasterOptimiser


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (3, 6, 11)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    given = orthogonalise(matrices)
    values = torch.linalg.svdvals(given)
    assert values.min() > 0.5
    assert values.max() < 1.5
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ given @ vh.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-4


def test_matrices_move_as_with_torchs_own():
    torch.manual_seed(0)
    mine = [nn.Parameter(torch.randn(shape)) for shape in ((6, 4), (6, 4), (3, 8))]
    theirs = [nn.Parameter(p.detach().clone()) for p in mine]
    options = {"lr": 1e-2, "momentum": 0.95, "weight_decay": 0.1}
    ours, torchs = Muon(mine, **options), torch.optim.Muon(theirs, **options, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for p, q in zip(mine, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        ours.step()
        torchs.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=2e-3)  # torch's runs in bfloat16


def test_a_convolution_is_the_matrix_of_its_outputs():
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(4, 3, 2, 2))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    gradient = torch.randn_like(kernel)
    kernel.grad, matrix.grad = gradient, gradient.flatten(1).clone()
    Muon([kernel]).step()
    Muon([matrix]).step()
    torch.testing.assert_close(kernel.flatten(1), matrix)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("transformer.transformer_blocks.0.attn1.to_q.weight", True),
        ("transformer.transformer_blocks.0.attn1.norm_q.weight", False),
        ("transformer.transformer_blocks.0.norm1.linear.weight", False),
        ("transformer.patch_embed.proj.weight", False),
        ("transformer.proj_out.weight", False),
        ("text_encoder.shared.weight", False),
        ("encoder.conv_in.conv.weight", False),
        ("decoder.up_blocks.0.resnets.0.conv1.conv.weight", True),
        ("transformer.transformer_blocks.0.mixer.w1", False),
    ],
)
def test_which_parameters_are_hidden_matrices(name, hidden):
    assert is_hidden_matrix(name, torch.zeros(4, 4)) is hidden


def test_a_run_goes_on_where_a_checkpoint_left_it():
    config = OptimiserConfig(learning_rate=1e-2, warmup_steps=1, clip=1.0, matrices="muon")

    def build():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))

    def steps(model, optimiser, first, last):
        for step in range(first, last):
            model.zero_grad()
            model(torch.randn(5, 4, generator=torch.Generator().manual_seed(step))).square().sum().backward()
            optimiser.step(step / 6)

    whole = build()
    optimiser = MasterOptimiser(whole.named_parameters(), config)
    steps(whole, optimiser, 0, 6)
    first, second = build(), build()
    saved = MasterOptimiser(first.named_parameters(), config)
    steps(first, saved, 0, 3)
    going_on = MasterOptimiser(second.named_parameters(), config)
    going_on.load_state_dict({name: value.clone() for name, value in saved.state_dict().items()}, 3)
    steps(second, going_on, 3, 6)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_matrices_of_a_model_move_as_each_would_alone():
    """Shapes that fill no row of a flat buffer, two of them alike, and a convolution."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"one": nn.Linear(5, 7), "two": nn.Linear(7, 5), "three": nn.Linear(5, 7), "four": nn.Conv2d(3, 4, 3)}
    )
    alone = {name: nn.Parameter(p.detach().clone()) for name, p in model.named_parameters()}
    config = OptimiserConfig(learning_rate=1e-2, warmup_steps=1, schedule="constant", clip=1e9, matrices="muon")
    together = MasterOptimiser(model.named_parameters(), config)
    muon = Muon([p for name, p in alone.items() if name.endswith("weight")], lr=1e-2, weight_decay=1e-4)
    adamw = torch.optim.AdamW(
        [p for name, p in alone.items() if name.endswith("bias")], lr=1e-2, betas=config.betas, weight_decay=0.0
    )
    for _ in range(3):
        for name, p in model.named_parameters():
            p.grad = torch.randn_like(p)
            alone[name].grad = p.grad.clone()
        together.step(0.0)
        muon.step()
        adamw.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), alone[name].detach(), msg=name)
