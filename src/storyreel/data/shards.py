"""Tar shards with a byte index: written the same each time, read from any place in them.

Members are named KEY.ENDING, as WebDataset wants them; whoever knows where a member's bytes lie reads them alone.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from storyreel.data.files import whole
from storyreel.errors import DataError

BLOCK = 512
Member = tuple[str, bytes]


class Place(NamedTuple):
    """Where the bytes of a member lie: shard (relative to the step's folder), offset and number of bytes."""

    shard: str
    offset: int
    bytes: int


def write_shards(folder: Path, stem: str, groups: Iterable[list[Member]], most_bytes: int) -> list[list[Place]]:
    """Writes groups of members to FOLDER/STEM-000.tar and so on; returns the places of each group's members.

    A group stays in one shard; a new shard begins where one would pass `most_bytes` (a larger group has its own).
    No group, no shard.
    """
    places: list[list[Place]] = []
    waiting = iter(groups)
    group, number = next(waiting, None), 0
    while group is not None:
        name, offset = f"{stem}-{number:03d}.tar", 0
        with whole(folder / name) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            while group is not None and (offset == 0 or offset + _size(group) <= most_bytes):
                places.append(_add(tar, name, offset, group))
                offset += _size(group)
                group = next(waiting, None)
        number += 1
    return places


def _add(tar: tarfile.TarFile, name: str, offset: int, group: list[Member]) -> list[Place]:
    places = []
    for member, data in group:
        header = tarfile.TarInfo(member)  # of no time and no owner, so that equal shards are equal files
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))
        places.append(Place(name, offset + BLOCK, len(data)))
        offset += BLOCK + _padded(len(data))
    return places


def _size(group: list[Member]) -> int:
    return sum(BLOCK + _padded(len(data)) for _, data in group)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def read_place(folder: Path, place: Place) -> bytes:
    """The bytes of a member; DataError where the shard is missing or too short."""
    path = folder / place.shard
    try:
        with path.open("rb") as file:
            file.seek(place.offset)
            data = file.read(place.bytes)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Run storyreel data assemble again.") from error
    if len(data) < place.bytes:
        raise DataError(f"{path} ends before byte {place.offset + place.bytes}. Run storyreel data assemble again.")
    return data
