"""The accounting of a step's memory is what is really alive, with the kernels, tensor by tensor.

Triton's interpreter must be chosen before Triton is imported: this file runs itself as a program (`interpret`).
"""

import gc
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from storyreel.geometry import TokenLayout
from storyreel.mixers import fused
from storyreel.mixers.ttt import TTTLayer
from storyreel.models import fused_block
from storyreel.models.forward import use_forward
from storyreel.models.transformer import StoryreelTransformer3DModel
from storyreel.sampling.step_memory import step_memory
from storyreel.training.live_bytes import LiveBytes

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 8,
    "num_layers": 1,
    "sample_width": 4,
    "sample_height": 4,
    "max_text_seq_length": 16,
    "use_rotary_positional_embeddings": True,
    "mixer_mini_batch": 32,
}
CASES = {
    "memory": ("mixer: memory, in reverse", "ttt_linear", {}),
    "projections": ("mixer: projections, in reverse", "ttt_linear", {"projected": 10_000}),
    "attention": ("attention", "local", {"attended": 10_000}),
    "feed-forward": ("feed-forward", "local", {"fed": 10_000}),
    "feed-forward in chunks": ("feed-forward", "local", {}),
}
"""The stage that is the peak where what is done at once is as told; else the least."""


def told_and_seen(mixer: str, attended: int = 1, projected: int = 32, fed: int = 64) -> tuple[str, float, float]:
    """The peak's stage, and its tensors as the accounting has it and as they are, without what is always there."""
    fused_block.ATTENDED_TOKENS, fused_block.FED_TOKENS, fused.PROJECTED_TOKENS = attended, fed, projected
    model = StoryreelTransformer3DModel(**TINY, mixer=mixer).eval()
    use_forward(model, "fused")
    for module in model.modules():
        if isinstance(module, TTTLayer):
            module.backend = "triton"
    layout, batch = TokenLayout.for_video(9, 32, 32, mini_batch=32, max_text_tokens=16), 2
    latents, text = (
        torch.randn(batch, layout.latents, 4, 4, 4),
        torch.randn(batch, layout.segments, layout.text_tokens, 8),
    )
    given = (latents, text, torch.full((batch,), 500), layout)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    memory = step_memory(model.config, layout, batch, 4, parameters)
    with torch.no_grad():
        model.transformer_blocks[0](torch.zeros(batch, layout.total_tokens, 32), torch.zeros(batch, 1, 8), layout, None)
        model._rotary(layout, latents.device)  # tables of places are made by now
        with LiveBytes() as seen:
            model(*given)
    tensor = 4 * batch * layout.total_tokens * 32
    always = sum(held.bytes for held in memory.always)
    return memory.peak_stage, (memory.peak_bytes - always) / tensor, seen.peak / tensor


@pytest.fixture(scope="module")
def interpreted() -> dict[str, tuple[str, float, float]]:
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
@pytest.mark.parametrize("case", CASES)
def test_the_peak_is_as_told(interpreted, case):
    """To half a tensor: what is small at full size (copies of the memories, tables) is not small here."""
    peak, told, seen = interpreted[case]
    assert peak == CASES[case][0]
    assert told == pytest.approx(seen, abs=0.5), (told, seen)


GB = 10**9
PAPER = {"num_attention_heads": 48, "attention_head_dim": 64, "mixer": "ttt_mlp"}


@pytest.mark.parametrize(("batch", "gigabytes"), [(1, 29.7), (2, 44.9)])
def test_63_seconds_fit_into_80_gigabytes_with_20_to_spare(batch, gigabytes):
    """The figures of docs/memory.md."""
    memory = step_memory(PAPER, TokenLayout.for_video(63), batch, 2, 7_200_000_000)
    assert memory.peak_stage == "mixer: memory, in reverse"
    assert memory.peak_bytes / GB == pytest.approx(gigabytes, abs=0.1)
    assert memory.peak_bytes < 60 * GB


def free_after_each_kernel():
    """Triton's interpreter leaves what a kernel was given in a reference cycle; on a GPU nothing holds it."""
    from triton.runtime.interpreter import GridExecutor

    run = GridExecutor.__call__

    def run_and_free(self, *args, **kwargs):
        run(self, *args, **kwargs)
        gc.collect()

    gc.collect()
    gc.freeze()
    GridExecutor.__call__ = run_and_free


if __name__ == "__main__":
    free_after_each_kernel()
    print(json.dumps({case: told_and_seen(mixer, **given) for case, (_, mixer, given) in CASES.items()}))
