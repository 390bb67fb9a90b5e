"""From one stage's length to the next: what is compiled once, and what for each length (docs/decisions/0013)."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from storyreel.geometry import TokenLayout
from storyreel.mixers.ttt import compiled_prepare, prepare_tokens
from storyreel.models.forward import use_forward
from storyreel.models.transformer import StoryreelBlock, StoryreelTransformer3DModel
from storyreel.ops.ttt import HeadNorm, MLPState, TTTProblem, dual

LENGTHS = (3, 9, 18)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def layouts():
    return [TokenLayout.for_video(seconds, 32, 32, mini_batch=16, max_text_tokens=16) for seconds in LENGTHS]


def drawn(layout, chance, gradient):
    tokens = (torch.randn(1, layout.total_tokens, 2, 16, generator=chance) for _ in "qkv")
    tables = (torch.randn(layout.total_tokens, 8, generator=chance) for _ in "cs")
    norm = torch.randn(2, 16, generator=chance), torch.randn(2, 16, generator=chance)
    return [*(x.requires_grad_(gradient) for x in tokens), *tables, *norm, 1e-6]


@pytest.mark.parametrize("gradient", [False, True])
def test_what_the_memory_reads_is_prepared_by_one_compilation(gradient):
    counter, chance = CompileCounter(), torch.Generator().manual_seed(0)
    prepare = compiled_prepare(counter)
    for layout in layouts():
        given = drawn(layout, chance, gradient)
        for made, right in zip(prepare(*given), prepare_tokens(*given), strict=True):
            torch.testing.assert_close(made, right)
    assert counter.frame_count == 1


def test_a_step_of_the_memory_is_compiled_for_one_length_and_for_all_others(monkeypatch):
    counter, chance, seen = CompileCounter(), torch.Generator().manual_seed(0), []
    compiler = torch.compile
    monkeypatch.setattr(dual.torch, "compile", lambda step: compiler(step, backend=counter))
    step = dual._step.__wrapped__(True, True)
    monkeypatch.setattr(dual, "_step", lambda is_mlp, compiled: step)
    state = MLPState(
        *(0.1 * torch.randn(1, 2, *shape, generator=chance) for shape in ((16, 64), (64,), (64, 16), (16,)))
    )
    for layout in layouts():
        q, k, v, *_, weight, bias, eps = drawn(layout, chance, False)
        eta = torch.full(q.shape[:3], 0.01)
        dual.ttt(q, k, v, eta, state, HeadNorm(weight, bias), TTTProblem(16, eps))
        seen.append(counter.frame_count)
    assert seen == [1, 2, 2]


def test_blocks_are_compiled_once_a_length_and_fused_ones_never():
    own = {"num_attention_heads": 1, "attention_head_dim": 16, "in_channels": 4, "out_channels": 4, "num_layers": 2}
    own |= {"time_embed_dim": 8, "text_embed_dim": 8, "sample_width": 4, "sample_height": 4}
    own |= {"max_text_seq_length": 16, "mixer_mini_batch": 16, "use_rotary_positional_embeddings": True}
    model = StoryreelTransformer3DModel(**own, mixer="local").eval()

    @torch.no_grad()
    def read(layout):
        x = torch.randn(1, layout.total_tokens, 16)
        for block in model.transformer_blocks:
            assert isinstance(block, StoryreelBlock)
            x = block(x, torch.ones(1, 1, 8), layout, None)

    counter = CompileCounter()
    for block in model.transformer_blocks:
        block.compile(dynamic=False, backend=counter)
    seen = []
    for layout in (*layouts(), *layouts()):
        read(layout)
        seen.append(counter.frame_count)
    assert seen == [1, 2, 3, 3, 3, 3]
    torch._dynamo.utils.counters.clear()
    use_forward(model, "fused")
    for layout in layouts():
        read(layout)
    assert not torch._dynamo.utils.counters["stats"]
