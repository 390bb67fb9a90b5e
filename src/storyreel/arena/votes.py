"""A vote, and files of votes: JSONL with LMArena's fields (model_a, model_b, winner, judge, tstamp) and ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from storyreel.arena.pairing import Kind
from storyreel.arena.study import Study
from storyreel.data.files import write_whole
from storyreel.errors import DataError

VERSION = 1
AUTOMATIC = "automatic:"
"""How the name of a judge that is no person begins; the hashes that stand for people have no colon."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet may take for the beginning of a formula (OWASP, CSV injection; ASVS 5.0, 1.2.10)."""
SAME_FOR_A_PAIR = ("judge", "story", "model_a", "model_b", "kind")

Winner = Literal["model_a", "model_b", "tie", "tie (bothbad)"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Vote(BaseModel):
    """One rater's answer to one question about one pair.

    model_a was shown on the left, model_b on the right. `judge` is the hash that stands for the rater; times are
    seconds since 1970 in UTC; `propensity` is the chance that this pair of methods had of being served. Of the viewing:
    how much of the left and right clip was played, how long it was from the start of play to the vote by the server's
    clock, and how often playback stood still. `used` is false for a rater whose votes are not to be rated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model_a: Name
    model_b: Name
    winner: Winner
    judge: Name
    tstamp: Moment
    axis: Name
    story: Name
    pair_id: Name
    kind: Kind = "pair"
    served_tstamp: Moment | None = None
    propensity: Annotated[float, Field(gt=0, le=1)] = 1.0
    left_seconds: Seconds | None = None
    right_seconds: Seconds | None = None
    viewing_seconds: Seconds | None = None
    stalls: Count | None = None
    used: bool = True
    version: Literal[1] = VERSION


def dump_votes(votes: Iterable[Vote]) -> str:
    """Votes as JSONL, a line each, in the order given."""
    return "".join(vote.model_dump_json() + "\n" for vote in votes)


def write_votes(votes: Iterable[Vote], path: Path) -> None:
    """Writes votes as JSONL, whole or not at all."""
    write_whole(path, dump_votes(votes))


def read_votes(path: Path, study: Study | None = None) -> list[Vote]:
    """The votes of a JSONL file, or of a CSV file (by its name) that `votes_as_csv` wrote; every line is checked.

    DataError, with the line's number: a line that is no vote, an answer that is none of the four, a pair answered
    twice on an axis, a pair that was another in a line before, a method against itself, a vote before its pair was
    served; with `study`, also a method, story or axis that is not of it.
    """
    votes: list[Vote] = []
    answered: dict[tuple[str, str], int] = {}
    pairs: dict[str, tuple[int, Vote]] = {}
    try:
        for number, vote in (_csv_votes if path.suffix.lower() == ".csv" else _json_votes)(path):
            wrong = _contradiction(vote, study)
            before = answered.setdefault((vote.pair_id, vote.axis), number)
            first, shown = pairs.setdefault(vote.pair_id, (number, vote))
            if any(getattr(vote, name) != getattr(shown, name) for name in SAME_FOR_A_PAIR):
                wrong = f"pair_id {vote.pair_id} was another pair in line {first}"
            if before != number:
                wrong = f"pair_id {vote.pair_id} has an answer on {vote.axis} in line {before} already"
            if wrong:
                raise DataError(f"{path}, line {number}: {wrong}. Correct or remove the line.")
            votes.append(vote)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Give a JSONL file of votes.") from error
    return votes


def check_votes(votes: Iterable[Vote], study: Study | None, source: str) -> None:
    """DataError: a vote of `source` contradicts itself, or is not of the study."""
    for vote in votes:
        if wrong := _contradiction(vote, study):
            raise DataError(f"{source}: the vote on pair {vote.pair_id}: {wrong}. Give the study that it was made for.")


def _json_votes(path: Path) -> Iterator[tuple[int, Vote]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _parse(Vote.model_validate_json, line, f"{path}, line {number}")


def _csv_votes(path: Path) -> Iterator[tuple[int, Vote]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, strict=True)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{where}: it has not as many cells as the header. Correct or remove the line.")
                fields = {name: _from_cell(name, cell) for name, cell in row.items() if cell}
                yield rows.line_num, _parse(Vote.model_validate, fields, where)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}. Give what storyreel wrote.") from error


def _from_cell(name: str, cell: str) -> object:
    """What a cell stands for: text without its apostrophe, or else a number or a truth value."""
    field = Vote.model_fields.get(name)
    if field is None or field.annotation in (str, Winner, Kind):
        return cell.removeprefix("'")
    if cell in ("True", "False"):
        return cell == "True"
    for number in (int, float):
        try:
            return number(cell)
        except ValueError:
            continue
    return cell


def _parse(read: Callable[[Any], Vote], given: object, where: str) -> Vote:
    try:
        return read(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        shown = "" if first["type"] in ("missing", "json_invalid") else f", given {str(first['input'])[:60]!r}"
        what = f"{place}: " if place else ""
        raise DataError(f"{where}: {what}{first['msg']}{shown}. Correct or remove the line.") from error


def _contradiction(vote: Vote, study: Study | None) -> str:
    if vote.model_a == vote.model_b:
        return f"model_a and model_b are both {vote.model_a}"
    if vote.served_tstamp is not None and vote.served_tstamp > vote.tstamp:
        return f"tstamp {vote.tstamp} is before served_tstamp {vote.served_tstamp}"
    if study is None:
        return ""
    if vote.axis not in study.axis_names:
        return f"the axis {vote.axis} is not in the study"
    if vote.kind == "gold":
        return ""
    unknown = [name for name in (vote.model_a, vote.model_b) if name not in study.methods]
    if unknown:
        return f"the method {unknown[0]} is not in the study"
    return "" if vote.story in study.stories else f"the story {vote.story} is not in the study"


def votes_as_csv(votes: Iterable[Vote]) -> str:
    """Votes as CSV with a header. A cell that a spreadsheet could take for a formula gets an apostrophe in front.

    So does one that has an apostrophe there already, that `read_votes` may find all as it was.
    """
    text = io.StringIO(newline="")
    columns = list(Vote.model_fields)
    writer = csv.writer(text)
    writer.writerow(columns)
    for vote in votes:
        writer.writerow([_defused(getattr(vote, column)) for column in columns])
    return text.getvalue()


def _defused(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith((*FORMULA_STARTS, "'")) else cell


def rated(votes: Iterable[Vote]) -> Iterator[Vote]:
    """Votes that ratings are made of: all but the checks (mirrored repeats, gold pairs) and unused ones."""
    return (vote for vote in votes if vote.kind == "pair" and vote.used)
