"""What is computed again for gradients: the same gradients, fewer bytes."""

import copy

import pytest
import torch

from storyreel.errors import ConfigError
from storyreel.mixers.ttt import TTTLayer
from storyreel.models.forward import use_forward
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.training.live_bytes import LiveBytes
from storyreel.training.rematerialisation import Rematerialisation, has_chance

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 12,
    "num_layers": 2,
    "sample_width": 8,
    "sample_height": 8,
    "max_text_seq_length": 16,
    "use_rotary_positional_embeddings": True,
    "mixer_mini_batch": 16,
}
PIECES = "attention+forward+reverse+mlp"
EVERYTHING = f"{PIECES}+projections"


def make(mixer, seconds=3, **changes):
    """A model in float64, whose every number is drawn, and what it takes: latents, text, timestep, layout."""
    torch.manual_seed(0)
    model = StoryreelTransformer3DModel(**TINY | changes, mixer=mixer).double()
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=chance))
    layout = model.layout_for(seconds, 32, 32, 16)
    latents = torch.randn(1, layout.latents, 4, 4, 4, generator=chance).double()
    text = torch.randn(1, layout.segments, layout.text_tokens, 12, generator=chance).double()
    return model, (latents, text, torch.tensor([500]), layout)


def gradients(model, inputs):
    """Of all parameters, from a step whose chance begins with one seed."""
    torch.manual_seed(7)
    model.zero_grad()
    model(*inputs).square().sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def same(given, right):
    for name, gradient in right.items():
        torch.testing.assert_close(given[name], gradient, rtol=1e-11, atol=1e-11, msg=name)


@pytest.mark.parametrize("forward", ["plain", "fused"])
@pytest.mark.parametrize("mixer", ["local", "full", "gated_deltanet", "ttt_mlp"])
def test_gradients_are_the_same(mixer, forward):
    model, inputs = make(mixer)
    use_forward(model, forward)
    right = gradients(model, inputs)
    for text in ("block", EVERYTHING, f"block+{EVERYTHING}", "projections", "reverse"):
        Rematerialisation.of(text).apply(model)
        same(gradients(model, inputs), right)


def test_chance_is_the_same_when_it_comes_again():
    model, inputs = make("ttt_linear", dropout=0.3)
    right = gradients(model, inputs)
    assert has_chance(model)
    for text in ("block", EVERYTHING):
        Rematerialisation.of(text).apply(model)
        given = gradients(model, inputs)
        assert all(torch.equal(given[name], gradient) for name, gradient in right.items())
    assert not has_chance(make("local")[0])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, while it compiles
@pytest.mark.parametrize("mixer", ["local", "ttt_mlp"])
def test_compiled_blocks_compute_the_same_again(mixer):
    model, inputs = make(mixer)
    right = gradients(model, inputs)
    torch._dynamo.reset()
    for block in model.transformer_blocks:
        block.compile(dynamic=False, backend="aot_eager")
    for text in ("block", EVERYTHING):
        Rematerialisation.of(text).apply(model)
        same(gradients(model, inputs), right)


@pytest.mark.parametrize("forward", ["plain", "fused"])
def test_less_is_kept_and_the_peak_falls(forward):
    """A tensor is `[B, T, C]`; of a block, kept for gradients, in tensors, and how many there are at most."""
    model, inputs = make("ttt_mlp", num_layers=4)
    for module in model.modules():
        if isinstance(module, TTTLayer):
            module.problem = type(module.problem)(mini_batch=16, checkpoint_every=4)
    use_forward(model, forward)
    tensor, kept, peak = 8 * inputs[-1].total_tokens * 32, {}, {}
    for text in ("none", "projections", "mlp", PIECES, "block", f"block+{EVERYTHING}"):
        own = copy.deepcopy(model)
        Rematerialisation.of(text).apply(own)
        with LiveBytes() as seen:
            y = own(*inputs)
            kept[text] = seen.now / tensor / 4
            y.sum().backward()
        peak[text] = seen.peak / tensor
    told = f"kept {kept}, peak {peak}"
    assert kept["block"] < 2.1, told  # one each, and one for what stands around the four blocks
    assert kept[PIECES] - kept["block"] == pytest.approx(3, abs=0.2), told
    assert kept["mlp"] < kept["none"] - 3, told
    assert peak["mlp"] < peak["none"] - 10, told
    assert max(peak[PIECES], peak["block"]) < 0.6 * peak["none"], told
    assert peak[f"block+{EVERYTHING}"] <= min(peak[PIECES], peak["block"]), told
    if forward == "fused":
        assert kept["none"] - kept["projections"] > 9, told
        assert peak["projections"] < peak["none"] - 36, told


def test_a_plan_leaves_no_trace_when_it_is_taken_back():
    model, inputs = make("ttt_linear", num_layers=1)
    right = gradients(model, inputs)
    for text in (f"block+{EVERYTHING}", "none"):
        Rematerialisation.of(text).apply(model)
    assert not model.gradient_checkpointing
    assert all(torch.equal(gradient, right[name]) for name, gradient in gradients(model, inputs).items())


def test_words_are_checked():
    with pytest.raises(ConfigError, match=r"remat is 'block\+mpl', but 'mpl' is unknown; it is none, or some of block"):
        Rematerialisation.of("block+mpl")
    assert Rematerialisation.of("none") == Rematerialisation()
