"""The tables as SQLAlchemy sees them; `migrations.py` has what makes them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Integer, MetaData, Table, Text

METADATA = MetaData()

META = Table("meta", METADATA, Column("name", Text, primary_key=True), Column("value", Text))
"""What holds for the whole study: the study itself, its seed, the hash of its clips, the print of its key."""

RATERS = Table(
    "raters",
    METADATA,
    Column("rater", Text, primary_key=True),
    Column("source", Text),
    Column("admitted_tstamp", Double),
    Column("active_tstamp", Double),
    Column("consent", Boolean),
    Column("device", Boolean),
    Column("comprehension_tries", Integer),
    Column("comprehension_passed", Boolean),
    Column("excluded", Text),
    Column("ended", Text),
)

FINDINGS = Table(
    "findings",
    METADATA,
    Column("rater", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("finding", Text),
    Column("tstamp", Double),
)
"""What checks outside of the store found."""

SERVED = Table(
    "served",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("pair_id", Text),
    Column("rater", Text),
    Column("axes", Text),
    Column("story", Text),
    Column("left_method", Text),
    Column("right_method", Text),
    Column("kind", Text),
    Column("propensity", Double),
    Column("served_tstamp", Double),
    Column("state", Text),
    Column("attempt", Integer),
    Column("started_tstamp", Double),
    Column("left_seconds", Double),
    Column("right_seconds", Double),
    Column("stalls", Integer),
    Column("set_aside_at", Integer),
)
"""Pairs in the order in which they were served. `state`: open, stalled, voted, released. `set_aside_at`: how many pairs
the rater had been served when this one stalled last."""

RELEASES = Table("releases", METADATA, Column("number", Integer, primary_key=True), Column("pair_id", Text))
"""Pairs given up, in the order in which they were, so that a tally can follow."""

VOTES = Table(
    "votes",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("pair_id", Text),
    Column("axis", Text),
    Column("rater", Text),
    Column("story", Text),
    Column("left_method", Text),
    Column("right_method", Text),
    Column("winner", Text),
    Column("kind", Text),
    Column("served_tstamp", Double),
    Column("tstamp", Double),
    Column("propensity", Double),
    Column("left_seconds", Double),
    Column("right_seconds", Double),
    Column("viewing_seconds", Double),
    Column("stalls", Integer),
    Column("version", Integer),
    Column("previous", Text),
    Column("hash", Text),
)
"""One row an answer, never changed. `hash` is that of the row with `previous`, the hash of the row before."""
