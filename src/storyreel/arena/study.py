"""What a study compares: methods x stories, and the questions that raters answer."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from storyreel.errors import DataError, refusal

VIDEO_SUFFIX = ".mp4"
CSV_COLUMNS = ("method", "story", "video")


@dataclass(frozen=True)
class Axis:
    """One thing that raters judge, and the question they are asked."""

    name: str
    question: str


AXES = (
    Axis("text_following", "Which video follows the story's text more closely?"),
    Axis("motion_naturalness", "In which video do things and characters move more naturally?"),
    Axis("aesthetics", "Which video looks better?"),
    Axis("temporal_consistency", "In which video do characters, places and things stay more like themselves?"),
)
"""The four axes of "One-Minute Video Generation with Test-Time Training" (arXiv 2504.05298), which took them from
MovieGen (arXiv 2410.13720); the wording of the questions is ours."""


@dataclass(frozen=True)
class Gold:
    """A hidden check: a story for which one of two methods is known to be better on every axis."""

    story: str
    better: str
    worse: str


@dataclass(frozen=True)
class Study:
    """Everything that is fixed before the first vote.

    Every method is registered here and is in every report, voted on or not. `votes_per_axis` is the most that one rater
    gives on one axis. With `gold`, a check stands at a random place of each run of `gold_every` viewings; with
    `repeat_after`, an earlier pair comes again, mirrored, once in each run of that many. Checks are not rated.
    DataError: fewer than two methods, no story, no axis, a name twice, a gold method that is also rated.
    """

    methods: tuple[str, ...]
    stories: tuple[str, ...]
    axes: tuple[Axis, ...] = AXES
    votes_per_axis: int = 30
    all_axes_a_viewing: bool = False
    gold: tuple[Gold, ...] = ()
    gold_every: int = 5
    repeat_after: int = 0
    ties: bool = False

    def __post_init__(self) -> None:
        if len(self.methods) < 2:
            raise DataError(refusal("the number of methods", len(self.methods), "raters compare two", "Add a method"))
        if not self.stories or not self.axes:
            raise DataError("a study needs a story and an axis at least. Add what is missing.")
        for what, names in (("method", self.methods), ("story", self.stories), ("axis", self.axis_names)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise DataError(f'the {what} "{twice[0]}" is in the study twice. Give every {what} a name of its own.')
        for name in (*self.methods, *self.stories, *self.axis_names):
            if not name or not name.isprintable():
                raise DataError(f"{name!r} is no name: it must be printable and not empty. Rename it.")
        if self.votes_per_axis < 1 or self.gold_every < 2 or self.repeat_after < 0:
            raise DataError("votes_per_axis must be 1 or more, gold_every 2 or more, repeat_after 0 or more.")

    @cached_property
    def axis_names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @cached_property
    def method_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j), i < j, of places in `methods`; everything that counts pairs counts them in this order."""
        return tuple(combinations(range(len(self.methods)), 2))


def study_from_folder(folder: Path) -> tuple[Study, dict[tuple[str, str], Path]]:
    """A study of FOLDER/METHOD/STORY.mp4, and the video of each (method, story).

    DataError: a method lacks a story that another has.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Give one that holds a folder a method.")
    videos = {
        (method.name, video.stem): video
        for method in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        for video in sorted(method.iterdir())
        if video.suffix.lower() == VIDEO_SUFFIX
    }
    return _study_of(videos, str(folder)), videos


def study_from_csv(table: Path) -> tuple[Study, dict[tuple[str, str], Path]]:
    """A study of a CSV with the columns method, story, video (a path relative to the CSV's folder).

    DataError: columns or cells are missing, a row is there twice, a method lacks a story that another has.
    """
    if not table.exists():
        raise DataError(f"{table} does not exist. Give a folder that holds a folder a method, or a CSV.")
    videos: dict[tuple[str, str], Path] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if tuple(rows.fieldnames or ()) != CSV_COLUMNS:
                found = ", ".join(rows.fieldnames or ()) or "nothing"
                raise DataError(f"{table} begins with {found}, but its columns must be {', '.join(CSV_COLUMNS)}.")
            for row in rows:
                method, story, video = (row[column] for column in CSV_COLUMNS)
                if not (method and story and video) or None in row:
                    raise DataError(f"{table}, line {rows.line_num}: a row has a method, a story and a video.")
                if (method, story) in videos:
                    raise DataError(f"{table}, line {rows.line_num}: {method} has {story} already. Remove one.")
                videos[method, story] = table.parent / video
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as a CSV file: {error}. Give one in UTF-8.") from error
    return _study_of(videos, str(table)), videos


def _study_of(videos: dict[tuple[str, str], Path], source: str) -> Study:
    methods = tuple(dict.fromkeys(method for method, _ in videos))
    stories = tuple(dict.fromkeys(story for _, story in videos))
    missing = [(method, story) for method in methods for story in stories if (method, story) not in videos]
    if missing:
        method, story = missing[0]
        raise DataError(f"{source}: the method {method} has no video of {story}. Add it, or remove the story.")
    return Study(methods, stories)
