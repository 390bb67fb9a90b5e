"""Which forward a transformer's blocks have: one word, for sampling, judging, training and measuring alike.

- `plain`: the blocks as they are written, on any device.
- `mixed`: plain with the matrix products of linear layers in bfloat16 and their sums in float32, on a CPU that has
  instructions for it; memories, attention, norms and residuals stay in float32. Plain elsewhere.
- `compiled`: the same through torch.compile, around the mixers, on a GPU (docs/decisions/0013 has what it compiles
  anew); plain elsewhere.
- `fused`: that of `models/fused_block.py`, whose kernels are Triton's.
- `auto`: ON_GPU on a CUDA GPU with Triton, ON_CPU on a CPU; plain for a model that cannot be fused.

All compute the same function of the same parameters, but for rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from storyreel.mixers.linear import CastingLinear
from storyreel.mixers.ttt import TTTLayer
from storyreel.models.forward_names import Forward, check_forward
from storyreel.models.fused_block import fuse_block, obstacle
from storyreel.models.transformer import StoryreelBlock, StoryreelTransformer3DModel
from storyreel.ops.checks import resolve_kernels
from storyreel.ops.linear import CPU_FACTS, ON_ONEDNN, multiplies_bfloat16
from storyreel.ops.ttt import fastest_backend

ON_GPU: Forward = "plain"
"""To be "fused" once its kernels have passed `pytest -m gpu` on a GPU; until then it has to be named."""
ON_CPU: Forward = "mixed"
FEWEST_OUTPUTS = 64
"""Of a layer in bfloat16: with less there is nothing to gain."""


def use_forward(transformer: StoryreelTransformer3DModel, name: Forward = "auto", *, training: bool = False) -> Forward:
    """Gives the blocks the forward of that name, whichever they had, and returns the name of what they have now.

    The model is on its device already. Its TTT layers get the fastest backend there too: for gradients (training) or
    without. ConfigError for another name, and for "fused" where a block cannot be.
    """
    name = resolve_forward(name, transformer)
    choose_backends(transformer, training=training)
    for block in _blocks(transformer):
        _undo(block)
        if name == "fused":
            fuse_block(block)
        elif name == "compiled":
            block.compile(dynamic=False)
        elif name == "mixed":
            _set_products(block, torch.bfloat16)
    return name


def resolve_forward(name: Forward, transformer: StoryreelTransformer3DModel) -> Forward:
    """What a name stands for on the model's device; ConfigError for a name that is none."""
    check_forward(name)
    parameter = next(transformer.parameters())
    if parameter.device.type == "cpu" and name == "auto":
        name = ON_CPU
    if (name == "mixed" and not _can_mix(parameter)) or (name == "compiled" and not parameter.is_cuda):
        return "plain"
    if name != "auto":
        return name
    with_kernels = parameter.is_cuda and resolve_kernels("forward", "auto", parameter) == "triton"
    return ON_GPU if with_kernels and not any(map(obstacle, _blocks(transformer))) else "plain"


def _can_mix(parameter: Tensor) -> bool:
    on_cpu = parameter.device.type == "cpu" and parameter.dtype == torch.float32
    return on_cpu and ON_ONEDNN and multiplies_bfloat16(CPU_FACTS)


def _set_products(block: StoryreelBlock, dtype: torch.dtype) -> None:
    block.products = dtype
    for module in block.modules():
        if isinstance(module, CastingLinear) and module.out_features >= FEWEST_OUTPUTS:
            module.products = dtype


def choose_backends(model: nn.Module, *, training: bool) -> None:
    """Gives each TTT layer of `model`, on its device, the fastest backend there; training: that has a gradient."""
    for module in model.modules():
        if isinstance(module, TTTLayer):
            weight, hidden = module.to_q.weight, module.state_shapes().get("b1", (None,))
            module.backend = fastest_backend(
                module.head_width,
                hidden[0],
                module.problem,
                weight.dtype,
                weight.device,
                gradients=training,
            )


def _blocks(transformer: StoryreelTransformer3DModel) -> list[StoryreelBlock]:
    return [block for block in transformer.transformer_blocks if isinstance(block, StoryreelBlock)]


def _undo(block: StoryreelBlock) -> None:
    for module in (block, block.mixer):
        if module is not None:
            module.__dict__.pop("forward", None)
    block._compiled_call_impl = None
    _set_products(block, torch.float32)
