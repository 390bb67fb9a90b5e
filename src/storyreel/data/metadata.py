"""Rows as a Parquet table, for DuckDB, pandas and the Hugging Face hub, where pyarrow is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storyreel.data.files import whole

PLAIN = ("id", "film", "split", "seconds", "segments", "texts", "starts", "ends", "tokens", "shape")
"""Columns of the table; `shard`, `offset` and `bytes` come from the place."""


def write_parquet(output: Path, name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Writes examples as OUTPUT/NAME; [NAME], or nothing where there is no pyarrow or no row."""
    if not rows or importlib.util.find_spec("pyarrow") is None:
        return []
    # An extra; by name, so that a type checker without it has nothing to complain of.
    pyarrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    columns: dict[str, Any] = {own: [row[own] for row in rows] for own in PLAIN}
    for number, own in enumerate(("shard", "offset", "bytes")):
        columns[own] = [row["place"][number] for row in rows]
    with whole(output / name) as part:
        parquet.write_table(pyarrow.table(columns), part, compression="zstd")
    return [name]
