"""The fused forward of the transformer is the plain one: outputs and all gradients, every mixer.

Triton's interpreter must be chosen before Triton is imported: this file runs itself as a program (`interpret`) and
reads its errors.
"""

import copy
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from storyreel.errors import ConfigError
from storyreel.geometry import TokenLayout
from storyreel.mixers import MIXER_NAMES
from storyreel.models import fused_block
from storyreel.models.fused_block import prepare_for_gpu
from storyreel.models.transformer import StoryreelTransformer3DModel

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 12,
    "num_layers": 2,
    "sample_width": 12,
    "sample_height": 8,
    "max_text_seq_length": 16,
    "use_rotary_positional_embeddings": True,
    "mixer_mini_batch": 8,
    "mixer_window": 24,
}
BIASLESS = {"attention_bias": False, "norm_elementwise_affine": False}


def make(mixer, **changes):
    """A model whose every parameter is drawn anew, so that nothing can hide behind a zero or a one."""
    torch.manual_seed(0)
    model = StoryreelTransformer3DModel(**{**TINY, **changes}, mixer=mixer)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.named_parameters():
        tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * (0.1 if "weight" in name else 0.3))
    return model


def draw(model, seconds, levels, device="cpu", size=(32, 64), batch=2):
    """What the model takes: latents and text, taking gradients, timestep and layout."""
    dtype = next(model.parameters()).dtype
    limits = {"mini_batch": model.config.mixer_mini_batch, "max_text_tokens": model.config.max_text_seq_length}
    layout = TokenLayout.for_video(seconds, *size, **limits) if seconds else TokenLayout.for_still(*size, **limits)
    chance = torch.Generator().manual_seed(2)
    latents = torch.randn(batch, layout.latents, 4, size[0] // 8, size[1] // 8, generator=chance)
    text = torch.randn(batch, layout.segments, layout.text_tokens, 12, generator=chance)
    timestep = torch.randint(1000, (batch, layout.segments) if levels else (batch,), generator=chance)
    return *(x.to(device, dtype).requires_grad_() for x in (latents, text)), timestep.to(device), layout


def results(model, *how, **more):
    """The output, and the gradient of every parameter and of both inputs, by name; how, more: as for `draw`."""
    inputs = draw(model, *how, **more)
    y = model(*inputs)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    (y * weights.to(y.device, y.dtype)).sum().backward()
    found = {"y": y.detach(), "latents": inputs[0].grad, "text": inputs[1].grad}
    with torch.no_grad():
        found["y without gradients"] = model(*inputs)
    return found | {name: parameter.grad for name, parameter in model.named_parameters()}


def errors(given, right):
    """Of each, beside its own size and a thousandth of the largest gradient of all."""
    outputs = ("y", "y without gradients")
    largest = max(float(x.norm()) for name, x in right.items() if name not in outputs)
    return {
        name: float((given[name].double().cpu() - x).norm() / (x.norm() + (0 if name in outputs else 1e-3 * largest)))
        for name, x in right.items()
    }


@pytest.mark.parametrize("mixer", MIXER_NAMES)
@pytest.mark.parametrize(("seconds", "levels"), [(3, False), (9, False), (9, True), (0, False)])
def test_the_fused_forward_is_the_plain_one(mixer, seconds, levels):
    model = make(mixer).double()
    fused = prepare_for_gpu(copy.deepcopy(model))
    right = results(model, seconds, levels)
    assert all(x is not None for x in right.values())
    assert right["y"].std() > 0.1
    given = errors(results(fused, seconds, levels), right)
    assert max(given.values()) < 1e-10, given


@pytest.mark.parametrize("batch", [1, 2])
def test_windows_some_after_the_others(batch, monkeypatch):
    """Of five windows two at a time; with gradients all at once, as ever."""
    model = make("local").double()
    *inputs, layout = draw(model, 15, False, batch=batch)
    assert layout.segments == 5
    monkeypatch.setattr(fused_block, "ATTENDED_TOKENS", 2 * batch * layout.window_tokens + 1)
    seen = []
    attend = fused_block.attend
    monkeypatch.setattr(fused_block, "attend", lambda q, k, v: seen.append(len(q)) or attend(q, k, v))
    with torch.no_grad():
        right = model(*inputs, layout)
        given = prepare_for_gpu(model)(*inputs, layout)
    assert seen == [2 * batch, 2 * batch, batch] * 2
    torch.testing.assert_close(given, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mixer", ["local", "ttt_mlp"])
def test_without_biases_and_norm_weights(mixer):
    model = make(mixer, **BIASLESS).double()
    fused = prepare_for_gpu(copy.deepcopy(model))
    given = errors(results(fused, 3, False), results(model, 3, False))
    assert max(given.values()) < 1e-10, given


def test_names_and_parameters_stay():
    model = make("ttt_mlp")
    names = list(model.state_dict())
    assert list(prepare_for_gpu(model).state_dict()) == names


def test_what_the_fused_forward_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"dropout is 0.1"):
        prepare_for_gpu(make("local", dropout=0.1))
    with pytest.raises(ConfigError, match="activation_fn is ApproximateGELU"):
        prepare_for_gpu(make("local", activation_fn="geglu-approximate"))


def interpret() -> dict[str, dict[str, float]]:
    """Errors of each mixer in float32 with the kernels."""
    found = {}
    for mixer in MIXER_NAMES:
        model = make(mixer, num_layers=1)
        exact, shape = copy.deepcopy(model).double(), {"batch": 1, "size": (32, 32)}
        found[mixer] = errors(results(prepare_for_gpu(model), 6, True, **shape), results(exact, 6, True, **shape))
    return found


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, float]]:
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_interpreted_kernels(interpreted, mixer):
    found = interpreted[mixer]
    assert len(found) > 40
    assert max(found.values()) < 2e-5, found


@pytest.mark.gpu
@pytest.mark.parametrize("seconds", [3, 9])
@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_on_a_gpu(mixer, seconds):
    """bfloat16: the error of everything is at most twice that of the plain path in the same dtype."""
    large = {"attention_head_dim": 64, "mixer_mini_batch": 64, "mixer_window": 256, "max_text_seq_length": 96}
    model = make(mixer, **large).to(torch.bfloat16)
    shape = {"size": (64, 96), "batch": 2}
    right = results(copy.deepcopy(model).double(), seconds, True, **shape)
    plain = errors(results(copy.deepcopy(model).cuda(), seconds, True, "cuda", **shape), right)
    fused = errors(results(prepare_for_gpu(model.cuda()), seconds, True, "cuda", **shape), right)
    assert len(fused) > 40
    assert not {n: (fused[n], plain[n]) for n in fused if not fused[n] < 2 * plain[n] + 1e-3}


if __name__ == "__main__":
    print(json.dumps(interpret()))
