"""Latents of segments on disk, and how they are read: checked, and joined into windows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from storyreel.data.manifest import Row
from storyreel.errors import DataError

MOST_MEAN = 100.0
"""Scaled latents have about unit variance: whatever is larger is no latent."""
LOGVAR_RANGE = (-60.0, 60.0)
"""The autoencoder keeps its own within -30 to 20; scaling moves them by twice a logarithm."""


class LatentRow(Row):
    """Latents of a segment (`id`): ID.mean and ID.logvar in `file`, each `shape` = (13, C, H, W), bfloat16.

    `encoder` is the hash of the autoencoder, `sha256` that of the two tensors' bytes.
    """

    film: str
    shot: str
    file: str
    shape: tuple[int, int, int, int]
    encoder: str
    sha256: str


@dataclass(frozen=True)
class Moments:
    """Mean and log-variance of scaled latents, each bfloat16 `[F, C, H, W]`."""

    mean: Tensor
    logvar: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Latents drawn with standard normal `noise` `[F, C, H, W]`, in its dtype and on its device."""
        mean, logvar = (x.to(noise.device, noise.dtype) for x in (self.mean, self.logvar))
        return mean + torch.exp(logvar / 2) * noise


def hash_of_moments(mean: Tensor, logvar: Tensor) -> str:
    """SHA-256 of both tensors' bytes."""
    digest = hashlib.sha256()
    for tensor in (mean, logvar):
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_moments(moments: Moments, shape: Sequence[int], where: str) -> None:
    """DataError unless both are finite bfloat16 of this shape and in the range of latents."""
    for name, tensor in (("mean", moments.mean), ("logvar", moments.logvar)):
        if tensor.dtype != torch.bfloat16 or tuple(tensor.shape) != tuple(shape):
            found = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
            raise DataError(f"{where}: {name} is {found}, but bfloat16 {list(shape)} is needed. Make it again.")
        low, high = (-MOST_MEAN, MOST_MEAN) if name == "mean" else LOGVAR_RANGE
        least, most = (float(x) for x in tensor.aminmax())
        # NaN is in no range.
        if not (low <= least and most <= high):
            found = f"reaches from {least:g} to {most:g}"
            raise DataError(f"{where}: {name} {found}, but must lie in {low:g} to {high:g}. Make it again.")


def read_moments(folder: Path, row: LatentRow, *, whole_hash: bool = False) -> Moments:
    """Latents of one segment, `row.shape`; DataError where they are not those of the row.

    Shape, dtype, range and encoder are looked at each time, the bytes' hash where `whole_hash` is asked for.
    """
    path = folder / row.file
    try:
        with safe_open(path, "pt") as file:
            encoder = (file.metadata() or {}).get("encoder")
            moments = Moments(file.get_tensor(f"{row.id}.mean"), file.get_tensor(f"{row.id}.logvar"))
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}. Run storyreel data latents again.") from error
    if encoder != row.encoder:
        raise DataError(f"{path} is of another autoencoder than its row. Run storyreel data latents again.")
    check_moments(moments, row.shape, f"{path}, {row.id}")
    if whole_hash and hash_of_moments(moments.mean, moments.logvar) != row.sha256:
        raise DataError(f"{path}: {row.id} is damaged. Delete the file and run storyreel data latents again.")
    return moments


def window_moments(folder: Path, rows: Sequence[LatentRow], *, whole_hash: bool = False) -> Moments:
    """Latents of segments in a row, `[12 n + 1, C, H, W]`: of each but the first, the first latent is left out.

    The same frames as `segments.window_frames`: where a segment does not follow the one before, its first frame is left
    out as well. Checked as by `read_moments`.
    """
    own = [read_moments(folder, row, whole_hash=whole_hash) for row in rows]
    means = [moments.mean[place > 0 :] for place, moments in enumerate(own)]
    logvars = [moments.logvar[place > 0 :] for place, moments in enumerate(own)]
    return Moments(torch.cat(means), torch.cat(logvars))
