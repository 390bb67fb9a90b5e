"""Assembled examples for a trainer: random access by byte index, and an order that any number of ranks can resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from storyreel.data.embedding_rows import padded
from storyreel.data.example_rows import ExampleRow, moments_of, states_of
from storyreel.data.latent_clips import LatentClips
from storyreel.data.latent_rows import Moments
from storyreel.data.manifest import read_manifest, read_rows
from storyreel.errors import ConfigError, DataError, refusal


@dataclass(frozen=True)
class TrainingExample:
    """`moments` bfloat16 `[12 n + 1, C, H, W]` twice; `texts` with marks, n; `states` bfloat16 `[n, L, D]` or None."""

    id: str
    moments: Moments
    texts: tuple[str, ...]
    states: Tensor | None


class ExampleDataset(Dataset[TrainingExample]):
    """Examples of one stage and split of an assembled folder, in the order of their ids.

    `text_tokens` is the layout's text length L, to which states are padded. Nothing is held open or in memory, so
    DataLoader's workers may read at the same time. DataError where the folder is not whole or has no such example.
    """

    def __init__(self, folder: Path, seconds: int, text_tokens: int, split: str = "train") -> None:
        self.folder, self.text_tokens = folder, text_tokens
        self.content = read_manifest(folder, "assemble").content
        rows = read_rows(folder, ExampleRow)
        self.rows = [row for row in rows if row.seconds == seconds and row.split == split]
        if not self.rows:
            there = sorted({f"{row.split} at {row.seconds} s" for row in rows})
            raise DataError(f"{folder} has no {split} example of {seconds} s, but {', '.join(there) or 'none at all'}.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TrainingExample:
        """DataError where the bytes are not those of the row."""
        row = self.rows[index]
        states = None
        if row.states is not None:
            states = torch.stack([padded(states_of(self.folder, own), self.text_tokens) for own in row.states])
        return TrainingExample(row.id, moments_of(self.folder, row), row.texts, states)

    def empty_states(self) -> Tensor | None:
        """States `[L, D]` of the empty text, to which training drops; None where there are no embeddings."""
        own = self.rows[0].empty
        return None if own is None else padded(states_of(self.folder, own), self.text_tokens)

    def clips(self) -> LatentClips:
        """All of them in memory, as the trainer of `storyreel train` takes them: means and marked texts."""
        means = [moments_of(self.folder, row).mean for row in self.rows]
        return LatentClips(torch.stack(means), [list(row.texts) for row in self.rows])


@dataclass(frozen=True)
class Batch:
    """Examples of one rank: `moments` bfloat16 `[B, F, C, H, W]` twice, `states` bfloat16 `[B, S, L, D]` or None."""

    ids: tuple[str, ...]
    moments: Moments
    texts: list[list[str]]
    states: Tensor | None


def collate(examples: Sequence[TrainingExample]) -> Batch:
    """Examples of one stage as a batch; for DataLoader's `collate_fn`."""
    states = [own.states for own in examples if own.states is not None]
    return Batch(
        ids=tuple(own.id for own in examples),
        moments=Moments(
            torch.stack([own.moments.mean for own in examples]), torch.stack([own.moments.logvar for own in examples])
        ),
        texts=[list(own.texts) for own in examples],
        states=torch.stack(states) if states else None,
    )


class RankSampler(Sampler[list[int]]):
    """Batches of indices for one rank, without end: a function of seed and step, the same on any number of ranks.

    Each epoch is a new order of all examples, and batches go on across its end, so nothing is left out. `batch` is that
    of all ranks together; each takes its part of every batch, so that no rank can have more steps than another. For
    DataLoader's `batch_sampler`. ConfigError where ranks would get unequal parts, DataError where there are fewer
    examples than a batch has.
    """

    def __init__(self, dataset: ExampleDataset, batch: int, *, seed: int = 0, rank: int = 0, ranks: int = 1) -> None:
        if batch < 1 or batch % ranks:
            limit = f"each of {ranks} ranks must get the same number of examples"
            raise ConfigError(refusal("batch", batch, limit, f"Try {max(1, round(batch / ranks)) * ranks}"))
        if not 0 <= rank < ranks:
            raise ConfigError(refusal("rank", rank, f"there are {ranks} ranks, from 0", "Pass torchrun's RANK"))
        if len(dataset) < batch:
            raise DataError(
                f"a batch is {batch} examples, but there are {len(dataset)}: some would be in it twice. "
                "Take a smaller batch, a shorter stage or more films."
            )
        self.count, self.batch, self.seed, self.rank, self.ranks = len(dataset), batch, seed, rank, ranks
        self.content = dataset.content
        self.start = 0

    def at(self, step: int) -> list[int]:
        """Indices of this rank in the batch of a step."""
        each = self.batch // self.ranks
        first = step * self.batch + self.rank * each
        orders: dict[int, list[int]] = {}
        own = []
        for position in range(first, first + each):
            epoch, place = divmod(position, self.count)
            if epoch not in orders:
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                orders[epoch] = torch.randperm(self.count, generator=generator).tolist()
            own.append(orders[epoch][place])
        return own

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            yield self.at(step)
            step += 1

    def state_dict(self, step: int) -> dict[str, Any]:
        """What a checkpoint after `step` steps keeps. The trainer counts: DataLoader's workers have read ahead."""
        return {"step": step, "seed": self.seed, "batch": self.batch, "count": self.count, "content": self.content}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint, on any number of ranks; DataError for one of other examples, seed or batch."""
        for name in ("seed", "batch", "count", "content"):
            if state[name] != getattr(self, name):
                raise DataError(
                    f"the checkpoint's {name} is {state[name]}, but here it is {getattr(self, name)}: its order of "
                    "examples would not go on. Use what it was trained with, or begin a new run."
                )
        self.start = state["step"]


def check_ranks(states: Sequence[dict[str, Any]]) -> None:
    """DataError unless all ranks read the same examples in the same order; `states` are their `state_dict`s.

    To be called with what torch.distributed.all_gather_object gathers before the first step: a rank with fewer steps
    than the others would leave them waiting for ever.
    """
    for rank, state in enumerate(states):
        for name, value in state.items():
            if value != states[0][name]:
                raise DataError(
                    f"rank {rank} has {name} {value}, but rank 0 has {states[0][name]}. "
                    "Give every rank the same data set, seed and batch."
                )
