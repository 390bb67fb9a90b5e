"""A database of the arena: SQLite by default, PostgreSQL by URL. One writer at a time, and a commit is on the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from storyreel.arena.store.migrations import POSTGRES, SQLITE, migrate
from storyreel.arena.store.records import StoreUnavailable
from storyreel.errors import DataError

BUSY_SECONDS = 10
WRITER_LOCK = 0x73746F7279
"""Of PostgreSQL's advisory locks, the one that a writing transaction holds."""
_POOL = {"pool_size": 8, "max_overflow": 56}


@dataclass
class _Shared:
    """A transaction in which several blocks take part. `parts`: how many are in it; `broken`: why it cannot be kept."""

    connection: Connection
    durable: bool
    parts: int = 0
    broken: StoreUnavailable | None = None


class Database:
    """Transactions on one database; the tables are made, or brought up to date, when it is opened.

    DataError: no such database and `create` is false, not a database of the arena, or one of a newer version.
    StoreUnavailable: it cannot be reached or written.
    """

    def __init__(self, database: str | Path, *, create: bool = True) -> None:
        self._url = _url_of(database)
        self.name = self._url.render_as_string(hide_password=True).removeprefix("sqlite:///")
        if self._url.get_backend_name() == SQLITE:
            _check_file(Path(self._url.database or ""), create)
        self.writer = threading.RLock()
        self._shared: _Shared | None = None
        self.engine = _engine(self._url)
        try:
            with self.writing() as connection:
                migrate(connection, self.name)
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that no other writer runs beside; what it changed is on the disk when the block is left.

        If not `durable`, that outlives the process at once, and a loss of power after the next durable one: one wait
        for the disk a vote instead of four. Within `together` it is a part of that transaction: an error undoes this
        part alone, and what it changed is on the disk when `together` is left.
        """
        with self.writer:
            if self._shared is not None:
                with self._part(self._shared, durable) as connection:
                    yield connection
                return
            with self._transaction({"writing": True, "durable": durable}) as connection:
                yield connection

    @contextmanager
    def together(self, *, durable: bool) -> Iterator[None]:
        """All `writing` of this thread in the block is one transaction, with one wait for the disk at its end.

        StoreUnavailable: nothing of any part was kept. Those that need durability need it of the whole.
        """
        with self.writer, self._transaction({"writing": True, "durable": durable}) as connection:
            shared = self._shared = _Shared(connection, durable)
            try:
                yield
                if shared.broken:
                    raise shared.broken
            finally:
                self._shared = None

    @property
    def parts(self) -> int:
        """How many parts the transaction of `together` has already; 0 outside of it."""
        return self._shared.parts if self._shared else 0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._transaction({"writing": False}) as connection:
            yield connection

    @contextmanager
    def _part(self, shared: _Shared, durable: bool) -> Iterator[Connection]:
        if shared.broken:
            raise shared.broken
        if durable and not shared.durable:
            raise RuntimeError("a durable write within a transaction that is not: say so to `together`")
        with self._told():
            shared.connection.exec_driver_sql("SAVEPOINT part")
            try:
                yield shared.connection
                shared.connection.exec_driver_sql("RELEASE part")
            except BaseException:
                self._undo_part(shared)
                raise
            shared.parts += 1

    def _undo_part(self, shared: _Shared) -> None:
        """A disk that is full, or a connection that is gone, may have ended the whole transaction."""
        try:
            with self._told():
                shared.connection.exec_driver_sql("ROLLBACK TO part")
                shared.connection.exec_driver_sql("RELEASE part")
        except StoreUnavailable as error:
            shared.broken = error

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[Connection]:
        with self._told(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database in the words of the store."""
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            if _is_no_database(error):
                raise DataError(f"{self.name} is no database. Give another file.") from error
            raise StoreUnavailable(f"{self.name} takes no change now: {_reason(error)}. Nothing was kept.") from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"{self.name} does not answer: {_reason(error)}. Nothing was kept.") from error


def is_database(given: str) -> bool:
    """Whether `given` is a URL of a database, or a file that SQLite wrote."""
    if "://" in given:
        return True
    try:
        with Path(given).open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def _url_of(database: str | Path) -> URL:
    text = str(database)
    if "://" not in text:
        return URL.create(SQLITE, database=text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise DataError("the database's URL cannot be read. Give postgresql://USER@HOST/NAME, or a file.") from error
    if url.get_backend_name() not in (SQLITE, POSTGRES):
        raise DataError(f"{url.get_backend_name()} is no database of the arena. Give postgresql://..., or a file.")
    return url.set(drivername="postgresql+psycopg") if url.get_backend_name() == POSTGRES else url


def _check_file(file: Path, create: bool) -> None:
    if not create and not file.is_file():
        raise DataError(f"{file} is no file. Give a database of the arena.")
    if not file.parent.is_dir():
        raise DataError(f"{file.parent} is no folder. Make it, or give another name.")


def _engine(url: URL) -> Engine:
    try:
        engine = create_engine(url, **_POOL)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DataError("PostgreSQL needs psycopg. pip install storyreel[postgres].") from error
    if url.get_backend_name() == SQLITE:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgres)
        event.listen(engine, "begin", _begin_postgres)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("writing"):
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable') else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing") else "BEGIN")


def _prepare_postgres(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout TO '{BUSY_SECONDS}s'")
    connection.commit()


def _begin_postgres(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("writing"):
        connection.exec_driver_sql(f"SET LOCAL synchronous_commit TO {'on' if options.get('durable') else 'off'}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _is_no_database(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB


def _reason(error: SQLAlchemyError) -> str:
    told = error.orig if isinstance(error, DBAPIError) else error
    return str(told).strip().partition("\n")[0].rstrip(".")
