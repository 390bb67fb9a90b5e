"""Numbered changes of the database's form, forward only.

The number of the last one applied stands in the table `form`. No library for migrations: they are a list of statements
a number, each tried by a test, and what such a library adds (going back, drafting them, branches) is not wanted here.
A statement may differ by dialect; one that is the same on both is given once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from storyreel.errors import DataError

SQLITE, POSTGRES = "sqlite", "postgresql"


@dataclass(frozen=True)
class Migration:
    """Statements for both dialects, then those for one."""

    both: Sequence[str]
    sqlite: Sequence[str] = ()
    postgres: Sequence[str] = ()


_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE raters (
    rater TEXT PRIMARY KEY, source TEXT NOT NULL,
    admitted_tstamp DOUBLE PRECISION NOT NULL, active_tstamp DOUBLE PRECISION NOT NULL,
    consent BOOLEAN, device BOOLEAN,
    comprehension_tries INTEGER NOT NULL, comprehension_passed BOOLEAN NOT NULL,
    excluded TEXT NOT NULL, ended TEXT NOT NULL);
CREATE INDEX raters_active ON raters (active_tstamp);
CREATE TABLE findings (
    rater TEXT NOT NULL REFERENCES raters, name TEXT NOT NULL,
    finding TEXT NOT NULL CHECK (finding IN ('pass', 'fail', 'unknown')), tstamp DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (rater, name));
CREATE TABLE served (
    number INTEGER PRIMARY KEY, pair_id TEXT NOT NULL UNIQUE, rater TEXT NOT NULL REFERENCES raters,
    axes TEXT NOT NULL, story TEXT NOT NULL, left_method TEXT NOT NULL, right_method TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('pair', 'repeat', 'gold')), propensity DOUBLE PRECISION NOT NULL,
    served_tstamp DOUBLE PRECISION,
    state TEXT NOT NULL CHECK (state IN ('open', 'stalled', 'voted', 'released')),
    attempt INTEGER NOT NULL, started_tstamp DOUBLE PRECISION, left_seconds DOUBLE PRECISION NOT NULL,
    right_seconds DOUBLE PRECISION NOT NULL, stalls INTEGER NOT NULL, set_aside_at INTEGER NOT NULL);
CREATE INDEX served_rater ON served (rater);
CREATE UNIQUE INDEX served_one_open ON served (rater) WHERE state = 'open';
CREATE TABLE releases (number INTEGER PRIMARY KEY, pair_id TEXT NOT NULL UNIQUE REFERENCES served (pair_id));
CREATE TABLE votes (
    number INTEGER PRIMARY KEY, pair_id TEXT NOT NULL REFERENCES served (pair_id), axis TEXT NOT NULL,
    rater TEXT NOT NULL REFERENCES raters, story TEXT NOT NULL, left_method TEXT NOT NULL, right_method TEXT NOT NULL,
    winner TEXT NOT NULL CHECK (winner IN ('model_a', 'model_b', 'tie', 'tie (bothbad)')),
    kind TEXT NOT NULL, served_tstamp DOUBLE PRECISION, tstamp DOUBLE PRECISION NOT NULL,
    propensity DOUBLE PRECISION NOT NULL, left_seconds DOUBLE PRECISION, right_seconds DOUBLE PRECISION,
    viewing_seconds DOUBLE PRECISION, stalls INTEGER, version INTEGER NOT NULL,
    previous TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE, UNIQUE (pair_id, axis));
CREATE INDEX votes_rater ON votes (rater)
"""

_REFUSAL = "votes are never changed or removed"
_SQLITE_TRIGGER = "CREATE TRIGGER votes_no_{} BEFORE {} ON votes BEGIN SELECT RAISE(ABORT, '" + _REFUSAL + "'); END"
_POSTGRES_TRIGGER = "CREATE TRIGGER votes_no_{} BEFORE {} ON votes FOR EACH STATEMENT EXECUTE FUNCTION votes_stay()"

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        tuple(_TABLES.split(";")),
        sqlite=(_SQLITE_TRIGGER.format("change", "UPDATE"), _SQLITE_TRIGGER.format("removal", "DELETE")),
        postgres=(
            "CREATE FUNCTION votes_stay() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
            _POSTGRES_TRIGGER.format("change", "UPDATE OR DELETE OR TRUNCATE"),
        ),
    ),
)


def migrate(connection: Connection, where: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Brings the database up to the newest form, within the connection's transaction.

    DataError: it was made by a newer version, or holds tables of something else.
    """
    dialect = connection.dialect
    if not dialect.has_table(connection, "form"):
        if dialect.has_table(connection, "votes"):
            raise DataError(f"{where} is a database of something else: it has votes, but no form. Give another name.")
        connection.exec_driver_sql("CREATE TABLE form (number INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO form VALUES (0)")
    at = form_of(connection)
    if at > len(migrations):
        raise DataError(
            f"{where} has form {at}, but this version of storyreel knows forms up to {len(migrations)}. "
            "Install a newer version."
        )
    for migration in migrations[at:]:
        own = migration.sqlite if dialect.name == SQLITE else migration.postgres
        for statement in (*migration.both, *own):
            connection.exec_driver_sql(statement)
    if at < len(migrations):
        connection.exec_driver_sql(f"UPDATE form SET number = {len(migrations)}")


def form_of(connection: Connection) -> int:
    """The number of the last migration that was applied."""
    return connection.exec_driver_sql("SELECT number FROM form").scalar_one()
