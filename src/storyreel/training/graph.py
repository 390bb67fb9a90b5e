"""A training step as one CUDA graph.

A TTT layer without a kernel of its own launches some ten thousand small kernels a step; the graph takes their launches
off the processor. Shapes, and the memory of inputs, outputs and gradients, are those of the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from storyreel.training import parallel

WARM_UP_STEPS = 3


class GraphedStep:
    """Calls `step(inputs) -> values`, which runs forward and backward, by replaying its capture.

    `inputs` is a dict of tensors of fixed shapes; those named in `differentiable` get a `.grad` in `self.inputs`.
    Gradients of `parameters` land in their `.grad`, which keep their addresses.
    """

    def __init__(
        self,
        step: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        inputs: dict[str, Tensor],
        parameters: Sequence[Tensor],
        differentiable: tuple[str, ...] = (),
    ) -> None:
        self.inputs = {name: value.detach().clone() for name, value in inputs.items()}
        for name in differentiable:
            self.inputs[name].requires_grad_()
        cleared = [*parameters] + [self.inputs[name] for name in differentiable]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                _clear(cleared)
                step(self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        _clear(cleared)
        self.graph = torch.cuda.CUDAGraph()
        # The thread by which NCCL looks after its own work must not end the capture.
        mode = "global" if parallel.size() == 1 else "thread_local"
        with torch.cuda.graph(self.graph, capture_error_mode=mode):
            self.outputs = step(self.inputs)

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replays the step on new `inputs`; the tensors returned are overwritten by the next call."""
        with torch.no_grad():
            for name, value in inputs.items():
                self.inputs[name].copy_(value, non_blocking=True)
        self.graph.replay()
        return self.outputs


class TrainingStep:
    """`step(inputs) -> values` (forward and backward), as a CUDA graph on a GPU and as it is elsewhere.

    After a call, `self.inputs` are the tensors that the step saw; those named in `differentiable` have their `.grad`.
    """

    def __init__(
        self,
        step: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        parameters: Sequence[Tensor],
        differentiable: tuple[str, ...] = (),
    ) -> None:
        self.step, self.parameters, self.differentiable = step, parameters, differentiable
        self.inputs: dict[str, Tensor] = {}
        self._graphed: GraphedStep | None = None

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        if next(iter(inputs.values())).is_cuda:
            if self._graphed is None:
                self._graphed = GraphedStep(self.step, inputs, self.parameters, self.differentiable)
                self.inputs = self._graphed.inputs
            values = self._graphed(inputs)
        else:
            _clear(self.parameters)
            self.inputs = {k: v.detach().requires_grad_(k in self.differentiable) for k, v in inputs.items()}
            values = self.step(self.inputs)
        return {name: value.detach() for name, value in values.items()}


def _clear(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        tensor.grad = None
