"""The parts of a block: together they are the block, and their floors are the paper's arithmetic."""

import pytest
import torch

from storyreel.geometry import TokenLayout
from storyreel.mixers import build_gated_mixer
from storyreel.models.fused_block import fuse_block
from storyreel.models.transformer import StoryreelBlock
from storyreel.training.block_parts import Part, parts, time_part

LAYOUT = TokenLayout.for_video(6, 32, 32)


def block_with(name: str, width: int = 32, heads: int = 2, **at) -> StoryreelBlock:
    torch.manual_seed(0)
    with torch.device(at.get("device", "cpu")):
        return fuse_block(StoryreelBlock(width, heads, width // heads, 8, mixer=build_gated_mixer(name, width, heads)))


@pytest.mark.parametrize("name", ["local", "ttt_mlp", "ttt_linear", "full"])
def test_every_parameter_but_those_of_the_noise_level_belongs_to_a_part(name):
    """What a part's backward pass computes gradients of: its weights, or tensors that it was given in their place."""
    block = block_with(name)
    wanted = {id(tensor) for part in parts(block, LAYOUT, 1) for tensor in (*part.inputs, *part.weights)}
    missing = {key for key, x in block.named_parameters() if id(x) not in wanted}
    # One product for q, k, v (and eta); one norm of the two and one gate of the two stand for both.
    joined = ("to_q", "to_k", "to_v", "to_eta", ".linear.", "norm2.norm", "gate_reverse")
    assert not [key for key in missing if not any(part in key for part in joined)]


def test_floors_at_63_s_of_the_paper():
    """Against facts that were measured on an H100: no part's floor is above what was reached."""
    layout = TokenLayout.for_video(63)
    width, tokens = 3072, layout.total_tokens
    one_pass = 2.0 * tokens * width
    product = Part("", torch.relu, (), flops=2.0 * tokens * width**2, passes=2)
    assert 8.0 < product.floor_ms(one_pass) < 8.9  # measured: 8.5 to 8.8
    assert product.floor_ms(one_pass, backward=True) == pytest.approx(2 * product.floor_ms(one_pass))
    norm = Part("", torch.relu, (), passes=2, back=3)
    assert norm.floor_ms(one_pass) == pytest.approx(1000 * 2 * 2.157e9 / 3e12, rel=1e-3)
    assert norm.floor_ms(one_pass, backward=True) == pytest.approx(1.5 * norm.floor_ms(one_pass))
    assert Part("", torch.relu, (), flops=None).floor_ms(one_pass) is None


def test_arithmetic_of_the_memory_is_the_papers():
    """3.87 TFLOP a pass at 63 s: seven products of 64 x 64 x 256 a mini-batch and head."""
    layout = TokenLayout.for_video(3, 32, 64)
    block = block_with("ttt_mlp", 128, 2)
    memory = next(part for part in parts(block, layout, 1) if part.name == "mixer: memory")
    mini_batches = layout.total_tokens // 64
    assert memory.flops == 7 * 2 * 64 * 64 * 256 * mini_batches * 2


def test_what_has_no_memory_left_says_so():
    def refuse(x):
        raise torch.OutOfMemoryError("none left\nmore")

    found = time_part(Part("it", refuse, (torch.ones(1),), passes=1), 3e9, lambda call: call() or 1.0)
    assert (found.refused, found.forward_ms, found.forward_floor_ms) == ("none left", None, 1.0)
