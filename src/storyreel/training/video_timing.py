"""Time and memory of a whole video by a model of random weights: a denoising step with guidance, and the decoding.

Weights are drawn on the device, in bfloat16 on a GPU and float32 elsewhere: neither time nor memory depends on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor, nn

from storyreel.geometry import Compression, TokenLayout
from storyreel.models.forward import ON_GPU, use_forward
from storyreel.models.forward_names import Forward
from storyreel.models.transformer import StoryreelBlock, StoryreelTransformer3DModel
from storyreel.models.vae import decode_stream, lighten, prepare_for_gpu
from storyreel.sampling.guidance import guided_velocity
from storyreel.sampling.schedulers import Solver, build_scheduler
from storyreel.sampling.step_memory import StepMemory, step_memory
from storyreel.training.block_parts import parts
from storyreel.training.block_timing import peak_mib, reset_peak, synchronise

EXACT_STEPS = 50
GUIDANCE = 4.0
REAL_VAE_CHANNELS = 128
"""Of the first stage of CogVideoX's autoencoder."""
# arXiv 2504.05298's own block at 63 s took 964 ms on an H100 (facts of this project, measured again): 42 of them, with
# and without text, fifty times.
AUTHORS_MINUTES = 42 * 0.964 * 2 * EXACT_STEPS / 60

Ticks = Callable[[], None]


@dataclass(frozen=True)
class Video:
    """What is to be made, and of what; the defaults are the paper's 63 s by the model of 7.2 B parameters."""

    seconds: int = 63
    height: int = 480
    width: int = 720
    blocks: int = 42
    features: int = 3072
    heads: int = 48
    mixer: str = "ttt_mlp"
    forward: Forward = "auto"
    in_turn: bool = False
    vae_channels: int = REAL_VAE_CHANNELS

    @property
    def config(self) -> dict[str, Any]:
        """The transformer's: CogVideoX 5B's, but for the sizes."""
        return {
            "num_attention_heads": self.heads,
            "attention_head_dim": self.features // self.heads,
            "num_layers": self.blocks,
            "sample_height": self.height // Compression.space,
            "sample_width": self.width // Compression.space,
            "max_text_seq_length": 502,
            "use_rotary_positional_embeddings": True,
            "mixer": self.mixer,
        }

    def layout(self) -> TokenLayout:
        """GeometryError where there is no such video."""
        return TokenLayout.for_video(self.seconds, self.height, self.width)

    def is_the_papers(self) -> bool:
        """Whether the authors' minutes are for just this."""
        own = (self.seconds, self.height, self.width, self.blocks, self.features, self.heads, self.mixer)
        return own == (63, 480, 720, 42, 3072, 48, "ttt_mlp")


@dataclass(frozen=True)
class Estimate:
    """What a video will take: parameters, memory, and arithmetic of a step with both branches.

    `operations` counts what is counted of a block (for mixers without a count of their own, all but them).
    """

    parameters: int
    memory: StepMemory
    operations: float
    decode_bytes: int

    @property
    def peak_bytes(self) -> int:
        return max(self.memory.peak_bytes, self.memory.always[0].bytes + self.decode_bytes)


@dataclass(frozen=True)
class VideoTime:
    """Seconds: of the first step (it compiles), the median of the others, all of the decoding (None: left out).

    Peaks in MiB as `block_timing.peak_mib`; of a step with the decoder's weights beside, and of the decoding.
    """

    forward: Forward
    first_step_seconds: float
    step_seconds: float
    step_peak_mib: float | None
    decode_seconds: float | None = None
    decode_peak_mib: float | None = None


def estimate(video: Video, device: torch.device) -> Estimate:
    """Before anything is allocated. GeometryError or ConfigError for sizes that do not exist."""
    layout, itemsize = video.layout(), _dtype(device).itemsize
    with torch.device("meta"):
        model = StoryreelTransformer3DModel(**video.config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    batch = 1 if video.in_turn else 2
    fused = (ON_GPU if video.forward == "auto" and device.type == "cuda" else video.forward) == "fused"
    memory = step_memory(model.config, layout, batch, itemsize, parameters, fused=fused)
    block = model.transformer_blocks[0]
    assert isinstance(block, StoryreelBlock)
    operations = 2 * video.blocks * sum(part.times * (part.flops or 0) for part in parts(block, layout, 1))
    return Estimate(parameters, memory, operations, _decode_bytes(video, itemsize))


class VideoBench:
    """The models, drawn on the device, and what is timed with them."""

    def __init__(self, video: Video, device: torch.device) -> None:
        self.video, self.device, self.layout = video, device, video.layout()
        reset_peak(device)
        torch.manual_seed(0)
        with _drawn_on(device):
            self.transformer = StoryreelTransformer3DModel(**video.config).eval().requires_grad_(False)
            self.vae = _vae(video) if video.vae_channels else None
        self.forward: Forward = use_forward(self.transformer, video.forward)
        shape = (1, self.layout.latents, 16, 2 * self.layout.rows, 2 * self.layout.columns)
        self.noise = torch.randn(shape, device=device)
        text = (2, 1, self.layout.segments, self.layout.text_tokens, self.transformer.config["text_embed_dim"])
        self.text = torch.randn(text, device=device, dtype=_dtype(device))
        self.walk = Solver(build_scheduler(), "ddim", EXACT_STEPS)

    @torch.no_grad()
    def step(self, index: int = EXACT_STEPS // 2) -> Tensor:
        """One denoising step with guidance: latents like the noise."""
        given = (self.noise, self.text, self.walk.times[index], GUIDANCE, self.layout)
        velocity = guided_velocity(self.transformer, *given, in_turn=self.video.in_turn)
        return self.walk.step(index, velocity, self.noise)[0]

    @property
    def passes(self) -> int:
        """How often blocks are called in a step."""
        return self.video.blocks * (2 if self.video.in_turn else 1)

    @contextmanager
    def counted(self, tick: Ticks) -> Iterator[None]:
        """Calls `tick` after every block; on a GPU that is when its work has been handed over."""
        hooks = [block.register_forward_hook(lambda *ignored: tick()) for block in self.transformer.transformer_blocks]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def seconds(self) -> float:
        """Of one step."""
        synchronise(self.device)
        began = time.perf_counter()
        self.step()
        synchronise(self.device)
        return time.perf_counter() - began

    def decode(self, tick: Callable[[int], None]) -> float:
        """Seconds to turn latents into frames, chunk by chunk as a film is written; tick(frames) after each."""
        assert self.vae is not None
        reset_peak(self.device)
        synchronise(self.device)
        began = time.perf_counter()
        for pixels in decode_stream(self.vae, self.noise.transpose(1, 2)):
            pixels.clamp(-1, 1).mul(127.5).add(127.5).to(torch.uint8).cpu()
            tick(pixels.shape[2])
        synchronise(self.device)
        return time.perf_counter() - began

    def peak_mib(self) -> float | None:
        """The most memory since the models were made, or the decoding began."""
        return peak_mib(self.device)


def operations_a_second(device: torch.device) -> float:
    """What a large matrix product reaches here and now, the best of a few."""
    side = 8192 if device.type == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=_dtype(device))
    best = float("inf")
    for _ in range(5):
        synchronise(device)
        began = time.perf_counter()
        torch.mm(a, a)
        synchronise(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def _dtype(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@contextmanager
def _drawn_on(device: torch.device) -> Iterator[None]:
    """Modules made inside have their parameters there, in the dtype of the bench, and never elsewhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(_dtype(device))
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def _vae(video: Video) -> AutoencoderKLCogVideoX:
    """CogVideoX's, or one of other widths."""
    channels = video.vae_channels
    changes: Mapping[str, Any] = {
        "block_out_channels": (channels, 2 * channels, 2 * channels, 4 * channels),
        "norm_num_groups": min(32, channels),
    }
    vae = AutoencoderKLCogVideoX(latent_channels=16, layers_per_block=3, **changes)
    nn.Module.requires_grad_(vae.eval(), False)
    return prepare_for_gpu(vae) if vae.device.type == "cuda" else lighten(vae)


def _decode_bytes(video: Video, itemsize: int) -> int:
    """Of the decoding of a chunk of 9 frames, whose widest tensors have twice the first stage's channels."""
    from storyreel.sampling.memory import CHUNK_FRAMES, DECODE_VALUES

    return DECODE_VALUES * itemsize * CHUNK_FRAMES * video.height * video.width * video.vae_channels
