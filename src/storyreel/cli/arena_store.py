"""`storyreel arena verify`, `export` and `import`: databases of votes. Thin wrappers of `storyreel.arena.store`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from storyreel.errors import DataError
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.arena.store.exchange import Archive
    from storyreel.arena.study import Study

CSV = ".csv"


@dataclass(frozen=True)
class ArenaVerify:
    """Walk the chain of votes in a database: was one changed, lost or slipped in? Exit status 1 if so.

    Note the hash that is printed: with --head, a chain that was written anew as a whole shows, too.

    Example: storyreel arena verify arena/arena.sqlite
    """

    database: Annotated[Positional[str], arg(metavar="DB")]
    """A database's file, or postgresql://USER@HOST/NAME."""
    head: Annotated[str, arg(metavar="HASH", help_behavior_hint="(default: none)")] = ""
    """A hash that was printed before: it must be in the chain still."""


@dataclass(frozen=True)
class ArenaExport:
    """Write the votes of a database to a file: JSONL, or CSV if its name ends so (docs/arena.md).

    All votes are in it; "used" is false where the rater failed a check or was excluded.

    Example: storyreel arena export arena/arena.sqlite votes.jsonl
    """

    database: Annotated[Positional[str], arg(metavar="DB")]
    """A database's file, or postgresql://USER@HOST/NAME."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The file; one that is there is replaced."""


@dataclass(frozen=True)
class ArenaImport:
    """Append the votes of a file (JSONL or CSV) to a database, all of them or none; a new database is made.

    Every row is checked; one that is no vote, or not of the study, is an error with its line.

    Example: storyreel arena import votes.jsonl copy.sqlite --study videos
    """

    votes: Annotated[Positional[Path], arg(metavar="VOTES")]
    """The votes."""
    database: Annotated[Positional[str], arg(metavar="DB")]
    """A database's file, or postgresql://USER@HOST/NAME."""
    study: Annotated[
        Path | None, arg(metavar="FOLDER_OR_CSV", help_behavior_hint="(default: that of the database, if any)")
    ] = None
    """The study: votes on anything else are an error."""


def run_verify(options: ArenaVerify) -> None:
    """Prints how many votes are in order, and the last hash. DataError: the first vote that is not."""
    with archive(options.database) as found:
        verdict = found.verify(options.head)
    if verdict.bad:
        good = counted(verdict.votes, "vote")
        raise DataError(f"{options.database}: {verdict.bad}; {good} before it in order. Take a copy from before.")
    print(f"{options.database}: {counted(verdict.votes, 'vote')} in order; the last has the hash\n{verdict.head}")


def run_export(options: ArenaExport) -> None:
    """Writes the file whole or not at all."""
    from storyreel.arena.votes import votes_as_csv, write_votes
    from storyreel.data.files import write_whole

    with archive(options.database) as found:
        votes = found.votes()
    if options.out.suffix.lower() == CSV:
        write_whole(options.out, votes_as_csv(votes))
    else:
        write_votes(votes, options.out)
    unused = sum(not vote.used for vote in votes)
    print(f"{options.out}: {counted(len(votes), 'vote')}, {unused} of them not used")


def run_import(options: ArenaImport) -> None:
    """Reads and checks the file, then appends everything in one transaction."""
    from storyreel.arena.votes import read_votes

    given = read_study(options.study)
    votes = read_votes(options.votes, given)
    if not votes:
        raise DataError(f"{options.votes} holds no vote. Give a file that does.")
    with archive(options.database, create=True) as found:
        stored = found.study()
        if stored:
            votes = read_votes(options.votes, stored)
        found.import_votes(votes, None if stored else given)
    print(f"{options.database}: {counted(len(votes), 'vote')} appended")


@contextmanager
def archive(database: str, *, create: bool = False) -> Iterator[Archive]:
    """A database, closed at the end."""
    from storyreel.arena.store.exchange import Archive

    found = Archive(database, create=create)
    try:
        yield found
    finally:
        found.close()


def read_study(source: Path | None) -> Study | None:
    """The study of a folder or a CSV."""
    from storyreel.arena.study import study_from_csv, study_from_folder

    if source is None:
        return None
    return (study_from_folder if source.is_dir() else study_from_csv)(source)[0]
