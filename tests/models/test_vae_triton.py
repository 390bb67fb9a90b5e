"""The whole autoencoder through the kernels in Triton's interpreter, against diffusers' own in float64.

The interpreter must be chosen before Triton is imported: this file runs itself as a program and reads its errors.
"""

import copy
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from storyreel.models.vae import decode_stream, decode_whole, posterior, prepare_for_gpu


def interpret() -> dict[str, float]:
    """Relative error, in float32, of each output and parameter's gradient by name."""
    torch.manual_seed(0)
    channels = {"block_out_channels": (8, 8, 16, 24), "latent_channels": 4, "norm_num_groups": 8}
    fast = AutoencoderKLCogVideoX(**channels, layers_per_block=1, scaling_factor=1.0)
    exact, fast = copy.deepcopy(fast).double(), prepare_for_gpu(fast)
    pixels, z = torch.rand(1, 3, 17, 8, 16) * 2 - 1, torch.randn(1, 4, 5, 1, 2)
    found = []
    for own in (exact, fast):
        x, y = pixels.to(own.dtype), z.to(own.dtype)
        moments, made = torch.cat(posterior(own, x, at_once=True), dim=1), decode_whole(own, y, at_once=True)
        streamed = torch.cat(list(decode_stream(own, y)), dim=2)
        (moments.square().mean() + made.square().mean()).backward()
        values = {"moments": moments, "made": made, "streamed": streamed}
        found.append(values | {name: parameter.grad for name, parameter in own.named_parameters()})
    right, given = found
    largest = max(float(x.norm()) for name, x in right.items() if name not in values)
    return {name: float((given[name] - x).norm() / (x.norm() + 1e-3 * largest)) for name, x in right.items()}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_interpreted_outputs_and_gradients():
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr
    errors = json.loads(run.stdout.splitlines()[-1])
    assert len(errors) > 200
    assert max(errors.values()) < 1e-5, errors


if __name__ == "__main__":
    print(json.dumps(interpret()))
