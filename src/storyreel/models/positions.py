"""Where a token stands inside its local window, as CogVideoX tells it: sin-cos tables (2B) or rotary angles (5B).

Both count latent frames 0 to 12 within the segment. The frame that two segments share keeps, in a sin-cos table, the
number that the earlier segment gives it; rotary angles belong to the window, so there it has both. Tables are made once
a layout and device, which torch.compile would not know; hence it leaves them alone. They are made outside of inference
mode, because autograd refuses its tensors and a model may be sampled before it is trained.
"""

from __future__ import annotations

import functools

import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed, get_3d_sincos_pos_embed
from torch import Tensor

from storyreel.geometry import TokenLayout


@torch.compiler.disable()
@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def rotary_table(
    layout: TokenLayout, head_dim: int, base: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(cos, sin), float32 `[W, head_dim / 2]`, for every local window of `layout`, in the order of `window_index()`.

    base: rows and columns of the grid that the model was trained on; another grid is spread over its largest centred
    crop with the same sides' ratio, as CogVideoX's pipelines do. Text rows do not rotate (cos 1, sin 0).
    """
    cos, sin = get_3d_rotary_pos_embed(
        embed_dim=head_dim,
        crops_coords=crop_region((layout.rows, layout.columns), base),
        grid_size=(layout.rows, layout.columns),
        temporal_size=layout.latents_per_segment + 1,
    )
    cos, sin = cos[:, ::2], sin[:, ::2]  # diffusers writes every angle twice
    text = (layout.text_tokens, head_dim // 2)
    return torch.cat([torch.ones(text), cos]).to(device), torch.cat([torch.zeros(text), sin]).to(device)


def crop_region(grid: tuple[int, int], base: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(top, left), (bottom, right) of the largest centred part of `base` (rows, columns) with the ratio of `grid`."""
    rows, columns = grid
    base_rows, base_columns = base
    if rows / columns > base_rows / base_columns:
        height, width = base_rows, round(base_rows / rows * columns)
    else:
        height, width = round(base_columns / columns * rows), base_columns
    top, left = round((base_rows - height) / 2), round((base_columns - width) / 2)
    return (top, left), (top + height, left + width)


@torch.compiler.disable()
@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def sincos_window(
    layout: TokenLayout, width: int, spatial_scale: float, temporal_scale: float, device: torch.device
) -> Tensor:
    """float32 `[13 * rows * columns, width]`: a position vector for every video token of a window."""
    table = get_3d_sincos_pos_embed(
        width, (layout.columns, layout.rows), layout.latents_per_segment + 1, spatial_scale, temporal_scale
    )
    return table.flatten(0, 1).to(device=device, dtype=torch.float32)


def spread_window(table: Tensor, layout: TokenLayout) -> Tensor:
    """A window's positions `[13 * rows * columns, C]` to those of all video tokens in time order, `[F*N, C]`."""
    first, later = table.split([layout.tokens_per_latent, table.shape[0] - layout.tokens_per_latent])
    return torch.cat([first, later.repeat(layout.segments, 1)])
