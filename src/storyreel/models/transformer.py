"""The diffusion transformer: CogVideoX blocks with local attention, each with a slot for a mixer that sees all.

Parameter names are those of diffusers' CogVideoXTransformer3DModel, so that its checkpoints load; a mixer and its gates
live at `transformer_blocks.{i}.mixer`. Without a mixer, or with closed gates, one segment gives diffusers' output.

Shapes: B batch, F latent frames, N tokens a frame, S segments, L text tokens a segment, T tokens in all, C width,
G noise levels (1 or S), E time embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import CogVideoXPatchEmbed, TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import AdaLayerNorm, CogVideoXLayerNormZero
from torch import Tensor, nn

from storyreel.errors import ConfigError, GeometryError, refusal
from storyreel.geometry import Compression, TokenLayout
from storyreel.mixers import WINDOW_TOKENS, build_gated_mixer
from storyreel.mixers.pieces import Piecewise
from storyreel.mixers.placement import piece_lengths
from storyreel.models.modulation import add_gated, modulated_norm, scale_and_shift
from storyreel.models.positions import rotary_table, sincos_window, spread_window
from storyreel.ops.attention import local_attention
from storyreel.ops.feed_forward import feed_forward_on_cpu
from storyreel.ops.linear import is_plain_float32, linear

Rotary = tuple[Tensor, Tensor]


class StoryreelBlock(Piecewise):
    """One transformer block: local attention, the mixer over the whole sequence, then the feed-forward layer.

    X' = attention(norm(X));   Z = mixer(X');   Y = X + gate * Z        (arXiv 2504.05298, section 3.2)

    `products`, on the CPU without gradients: the dtype in which its own linear layers multiply float32 activations.
    """

    products: torch.dtype = torch.float32

    def __init__(
        self,
        width: int,
        heads: int,
        head_dim: int,
        time_embed_dim: int,
        *,
        mixer: nn.Module | None,
        dropout: float = 0.0,
        activation_fn: str = "gelu-approximate",
        attention_bias: bool = True,
        norm_elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = CogVideoXLayerNormZero(time_embed_dim, width, norm_elementwise_affine, norm_eps, bias=True)
        self.attn1 = Attention(
            width, heads=heads, dim_head=head_dim, qk_norm="layer_norm", eps=1e-6, bias=attention_bias
        )
        self.mixer = mixer
        self.norm2 = CogVideoXLayerNormZero(time_embed_dim, width, norm_elementwise_affine, norm_eps, bias=True)
        self.ff = FeedForward(width, dropout=dropout, activation_fn=activation_fn, final_dropout=True)

    def forward(self, x: Tensor, temb: Tensor, layout: TokenLayout, rotary: Rotary | None) -> Tensor:
        """x `[B, T, C]` in the order of `layout`, temb `[B, G, E]`, rotary as in `local_attention`; `[B, T, C]`."""
        y, gate = self.run_piece("attention", self._attention, x, temb, layout, rotary)
        if self.mixer is not None:
            y = _mix(self.mixer, y, layout)
        return self.run_piece("mlp", self._feed_forward, x, y, gate, temb, layout)

    def _attention(self, x: Tensor, temb: Tensor, layout: TokenLayout, rotary: Rotary | None) -> tuple[Tensor, Tensor]:
        """`[B, T, C]`, and the gates of the residual that it ends in."""
        y, gate = modulated_norm(self.norm1, x, temb, piece_lengths(layout))
        return self._attend(y, layout, rotary), gate

    def _attend(self, x: Tensor, layout: TokenLayout, rotary: Rotary | None) -> Tensor:
        attn: Any = self.attn1
        projected = self._project(x, attn.to_q, attn.to_k, attn.to_v)
        q, k, v = (y.unflatten(-1, (attn.heads, -1)) for y in projected)
        y = local_attention(attn.norm_q(q), attn.norm_k(k), v, layout, rotary)
        project_out, dropout = attn.to_out
        return dropout(*self._project(y.flatten(2), project_out))

    def _feed_forward(self, x: Tensor, y: Tensor, gate: Tensor, temb: Tensor, layout: TokenLayout) -> Tensor:
        lengths = piece_lengths(layout)
        x = add_gated(x, y, gate, lengths)
        y, gate = modulated_norm(self.norm2, x, temb, lengths)
        return add_gated(x, self._fed(y), gate, lengths)

    def _fed(self, x: Tensor) -> Tensor:
        first: Any = self.ff.net[0]
        last: Any = self.ff.net[2]
        if self.training or not is_plain_float32(x) or getattr(first, "approximate", "") != "tanh":
            return self.ff(x)
        weights = (first.proj.weight, first.proj.bias, last.weight, last.bias)
        return feed_forward_on_cpu(x, *weights, products=self.products)

    def _project(self, x: Tensor, *layers: nn.Linear) -> list[Tensor]:
        """`layer(x)` of each, in the dtype of x; on the CPU without gradients by its fastest products."""
        if not is_plain_float32(x):
            return [layer(x) for layer in layers]
        given = x.to(self.products)
        return [linear(given, layer.weight, layer.bias, out=x.dtype) for layer in layers]


@torch.compiler.disable()
def _mix(mixer: nn.Module, x: Tensor, layout: TokenLayout) -> Tensor:
    """torch.compile would unroll a mixer's loop over mini-batches; a mixer compiles its own steps where that pays."""
    return mixer(x, layout)


class StoryreelTransformer3DModel(ModelMixin, ConfigMixin):
    """Predicts the velocity of a story's latents, every segment under its own text.

    Arguments are those of diffusers' CogVideoXTransformer3DModel (`patch_size_t` and `ofs_embed_dim` of CogVideoX 1.5
    are refused with ConfigError), and for the mixer slot: `mixer` (a name that `build_mixer` knows), `mixer_mini_batch`
    (tokens a step of its inner learning), `mixer_base_lr` (None: its own), `mixer_window` (tokens that a sliding window
    sees), `mixer_gate_init` (each value of its gates).
    """

    config: Any  # pyright: ignore[reportIncompatibleMethodOverride] (diffusers says dict, and reads attributes)
    _gradient_checkpointing_func: Any
    _supports_gradient_checkpointing = True
    _no_split_modules = ("StoryreelBlock", "CogVideoXPatchEmbed")
    _repeated_blocks = ("StoryreelBlock",)

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 30,
        attention_head_dim: int = 64,
        in_channels: int = 16,
        out_channels: int = 16,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        time_embed_dim: int = 512,
        ofs_embed_dim: int | None = None,
        text_embed_dim: int = 4096,
        num_layers: int = 30,
        dropout: float = 0.0,
        attention_bias: bool = True,
        sample_width: int = 90,
        sample_height: int = 60,
        sample_frames: int = 49,
        patch_size: int = 2,
        patch_size_t: int | None = None,
        temporal_compression_ratio: int = 4,
        max_text_seq_length: int = 226,
        activation_fn: str = "gelu-approximate",
        timestep_activation_fn: str = "silu",
        norm_elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
        spatial_interpolation_scale: float = 1.875,
        temporal_interpolation_scale: float = 1.0,
        use_rotary_positional_embeddings: bool = False,
        use_learned_positional_embeddings: bool = False,
        patch_bias: bool = True,
        mixer: str = "ttt_mlp",
        mixer_mini_batch: int = 64,
        mixer_base_lr: float | None = None,
        mixer_window: int = WINDOW_TOKENS,
        mixer_gate_init: float = 0.1,
    ) -> None:
        super().__init__()
        _refuse_unsupported(self.config)
        width = num_attention_heads * attention_head_dim
        self.patch_embed = _patch_embedding(self.config)
        self.embedding_dropout = nn.Dropout(dropout)
        self.time_proj = Timesteps(width, flip_sin_to_cos, freq_shift)
        self.time_embedding = TimestepEmbedding(width, time_embed_dim, timestep_activation_fn)
        self.transformer_blocks = nn.ModuleList(_new_block(self.config) for _ in range(num_layers))
        self.norm_final = nn.LayerNorm(width, norm_eps, norm_elementwise_affine)
        self.norm_out = AdaLayerNorm(time_embed_dim, None, 2 * width, norm_elementwise_affine, norm_eps, chunk_dim=1)
        self.proj_out = nn.Linear(width, patch_size * patch_size * out_channels)
        self.gradient_checkpointing = False

    def layout_for(
        self, seconds: int, height_px: int, width_px: int, max_text_tokens: int | None = None
    ) -> TokenLayout:
        """The layout of a video for this model, 0 seconds for a still; GeometryError where there is none.

        A text has at most `max_text_tokens` (None: `max_text_seq_length`).
        """
        own = self.config
        limits: dict[str, Any] = {
            "mini_batch": own.mixer_mini_batch,
            "patch": own.patch_size,
            "max_text_tokens": max_text_tokens or own.max_text_seq_length,
            "compression": Compression(time=own.temporal_compression_ratio, channels=own.out_channels),
        }
        if seconds == 0:
            return TokenLayout.for_still(height_px, width_px, **limits)
        return TokenLayout.for_video(seconds, height_px, width_px, **limits)

    def forward(self, latents: Tensor, text: Tensor, timestep: Tensor, layout: TokenLayout) -> Tensor:
        """The velocity that this model predicts, `[B, F, out_channels, H, W]` in the dtype of the parameters.

        latents `[B, F, in_channels, H, W]` and text `[B, S, L, text_embed_dim]` in the dtype of the parameters;
        timestep `[B]`, or `[B, S]` for a noise level per segment (its text and its `layout.latents_of`), any dtype.
        GeometryError where they do not fit `layout`.
        """
        self._check(latents, text, timestep, layout)
        temb = self._embed_time(timestep.reshape(latents.shape[0], -1), latents.dtype)
        rotary = self._rotary(layout, latents.device)
        x = layout.interleave(*self._embed(latents, text, layout))
        x = self.embedding_dropout(x)
        for block in self.transformer_blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                x = self._gradient_checkpointing_func(block, x, temb, layout, rotary)
            else:
                x = block(x, temb, layout, rotary)
        _, video = layout.separate(x)
        return self._unpatch(self._finish(video, temb, layout), layout)

    def _embed_time(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        """`[B, G]` to `[B, G, E]`; the sines are taken in float32."""
        sines = self.time_proj(timestep.flatten()).to(dtype)
        return self.time_embedding(sines).unflatten(0, timestep.shape)

    def _embed(self, latents: Tensor, text: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
        """Text `[B, S, L, C]` and video `[B, F*N, C]` tokens, with positions where the model adds them."""
        video = self.patch_embed.proj(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        video, text = video.flatten(3).transpose(2, 3).flatten(1, 2), self.patch_embed.text_proj(text)
        own = self.config
        if own.use_learned_positional_embeddings:
            table = self.patch_embed.get_buffer("pos_embedding")[0].to(video.dtype)
            text = text + table[: layout.text_tokens]
            return text, video + spread_window(table[own.max_text_seq_length :], layout)
        if own.use_rotary_positional_embeddings:
            return text, video
        table = sincos_window(
            layout, video.shape[-1], own.spatial_interpolation_scale, own.temporal_interpolation_scale, video.device
        )
        return text, video + spread_window(table.to(video.dtype), layout)

    def _rotary(self, layout: TokenLayout, device: torch.device) -> Rotary | None:
        own = self.config
        if not own.use_rotary_positional_embeddings:
            return None
        base = (own.sample_height // own.patch_size, own.sample_width // own.patch_size)
        return rotary_table(layout, own.attention_head_dim, base, device)

    def _finish(self, video: Tensor, temb: Tensor, layout: TokenLayout) -> Tensor:
        """Last norms and projection of the video tokens, `[B, F*N, C]` to `[B, F*N, patch * patch * out_channels]`."""
        shift, scale = self.norm_out.linear(self.norm_out.silu(temb)).chunk(2, dim=-1)
        normed = self.norm_out.norm(self.norm_final(video))
        lengths = piece_lengths(layout)[1::2] if temb.shape[1] > 1 else [layout.video_tokens]
        return self.proj_out(scale_and_shift(normed, scale, shift, lengths))

    def _unpatch(self, patches: Tensor, layout: TokenLayout) -> Tensor:
        side = self.config.patch_size
        grid = patches.reshape(patches.shape[0], layout.latents, layout.rows, layout.columns, -1, side, side)
        return grid.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4)

    def _check(self, latents: Tensor, text: Tensor, timestep: Tensor, layout: TokenLayout) -> None:
        own, batch = self.config, latents.shape[0]
        side = own.patch_size
        frame = (layout.rows * side, layout.columns * side)
        for name, tensor, shapes in (
            ("latents", latents, [(batch, layout.latents, own.in_channels, *frame)]),
            ("text", text, [(batch, layout.segments, layout.text_tokens, own.text_embed_dim)]),
            ("timestep", timestep, [(batch,), (batch, layout.segments)]),
        ):
            if tuple(tensor.shape) not in shapes:
                limit = f"this model and layout need {' or '.join(str(list(shape)) for shape in shapes)}"
                raise GeometryError(refusal(name, list(tensor.shape), limit, "Build it from the same layout"))
        if own.use_learned_positional_embeddings:
            self._check_learned_positions(layout)

    def _check_learned_positions(self, layout: TokenLayout) -> None:
        own = self.config
        frames = (own.sample_frames - 1) // own.temporal_compression_ratio + 1
        learned = (frames, own.sample_height // own.patch_size, own.sample_width // own.patch_size)
        window = (layout.latents_per_segment + 1, layout.rows, layout.columns)
        if window != learned:
            limit = f"this model learned positions for {learned}"
            raise GeometryError(
                refusal("window (frames, rows, columns)", window, limit, "Use the size it was trained at")
            )
        if layout.text_tokens > own.max_text_seq_length:
            limit = f"this model learned positions for {own.max_text_seq_length}"
            raise GeometryError(refusal("text", f"{layout.text_tokens} tokens", limit, "Use layout_for of this model"))


def _refuse_unsupported(config: Any) -> None:
    for name in ("patch_size_t", "ofs_embed_dim"):
        if config[name] is not None:
            limit = "only CogVideoX 1.0 is supported, which has none"
            raise ConfigError(refusal(name, config[name], limit, "Use a 1.0 checkpoint (2b or 5b)"))
    if config.use_learned_positional_embeddings and not config.use_rotary_positional_embeddings:
        limit = "learned positions stand beside rotary ones, as in CogVideoX"
        raise ConfigError(refusal("use_rotary_positional_embeddings", False, limit, "Set it too"))


def _patch_embedding(config: Any) -> CogVideoXPatchEmbed:
    """diffusers' embedding, of whose parts this model uses `proj`, `text_proj` and a learned `pos_embedding`."""
    return CogVideoXPatchEmbed(
        patch_size=config.patch_size,
        in_channels=config.in_channels,
        embed_dim=config.num_attention_heads * config.attention_head_dim,
        text_embed_dim=config.text_embed_dim,
        bias=config.patch_bias,
        sample_width=config.sample_width,
        sample_height=config.sample_height,
        sample_frames=config.sample_frames,
        temporal_compression_ratio=config.temporal_compression_ratio,
        max_text_seq_length=config.max_text_seq_length,
        spatial_interpolation_scale=config.spatial_interpolation_scale,
        temporal_interpolation_scale=config.temporal_interpolation_scale,
        use_positional_embeddings=False,
        use_learned_positional_embeddings=config.use_learned_positional_embeddings,
    )


def _new_block(config: Any) -> StoryreelBlock:
    heads = config.num_attention_heads
    width = heads * config.attention_head_dim
    mixer = build_gated_mixer(
        config.mixer,
        width,
        heads,
        gate_init=config.mixer_gate_init,
        mini_batch=config.mixer_mini_batch,
        base_lr=config.mixer_base_lr,
        window=config.mixer_window,
    )
    return StoryreelBlock(
        width,
        heads,
        config.attention_head_dim,
        config.time_embed_dim,
        mixer=mixer,
        dropout=config.dropout,
        activation_fn=config.activation_fn,
        attention_bias=config.attention_bias,
        norm_elementwise_affine=config.norm_elementwise_affine,
        norm_eps=config.norm_eps,
    )
