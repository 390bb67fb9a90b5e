"""Where a study's raters, served pairs and votes are kept: `Store` for a running study, `Archive` for reading one."""

from storyreel.arena.store.store import Store

__all__ = ["Store"]
