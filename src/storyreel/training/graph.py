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

    `inputs` is a dict of tensors of fixed shapes. Gradients of `parameters` land in their `.grad`, which keep their
    addresses.
    """

    def __init__(
        self,
        step: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        inputs: dict[str, Tensor],
        parameters: Sequence[Tensor],
    ) -> None:
        self.inputs = {name: value.detach().clone() for name, value in inputs.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                _clear(parameters)
                step(self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        _clear(parameters)
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
    """`step(inputs) -> values` (forward and backward), as a CUDA graph on a GPU and as it is elsewhere."""

    def __init__(
        self,
        step: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        parameters: Sequence[Tensor],
    ) -> None:
        self.step, self.parameters = step, parameters
        self._graphed: GraphedStep | None = None

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        if next(iter(inputs.values())).is_cuda:
            if self._graphed is None:
                self._graphed = GraphedStep(self.step, inputs, self.parameters)
            values = self._graphed(inputs)
        else:
            _clear(self.parameters)
            values = self.step(inputs)
        return {name: value.detach() for name, value in values.items()}


def _clear(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        tensor.grad = None
