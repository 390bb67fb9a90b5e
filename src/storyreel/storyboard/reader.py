"""Storyboards from files: our JSON, the JSON of the paper's authors, and JSON lines.

The authors' file is a list of stories, a story a list of `{"text", "requires_scene_transition", "neg_text"}`. A single
story may stand alone, and a file of JSON lines has a story on each line. Whatever is wrong is told in one line with the
segment's number and the line of the file; nothing is skipped or filled in silently.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyreel.errors import StoryboardError
from storyreel.storyboard.schema import Storyboard, StoryboardSegment

AUTHORS_KEYS = {"requires_scene_transition": "scene_start", "neg_text": "negative_text"}
BRACES_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)
PLOT_SUFFIXES = (".txt", ".md")
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def is_plot(path: Path) -> bool:
    """Whether a file is a plot, plain sentences, by its name."""
    return path.suffix.lower() in PLOT_SUFFIXES


class _Located(dict[str, Any]):
    """A JSON object that knows on which line it begins, and which key it has twice."""

    line: int = 0
    twice: str | None = None


def read_storyboard(path: str | Path, story: int = 0) -> Storyboard:
    """Story number `story` (from 0) of a file, as our schema.

    StoryboardError, in one line: no such file, not UTF-8, broken JSON (line and column), no story, story out of range,
    an empty story, a segment without text, a value of the wrong type, an unknown or repeated key.
    """
    path = Path(path)
    content = _read(path)
    try:
        stories = _stories(_parse(path, content), path)
    except StoryboardError:
        raise
    except (RecursionError, ValueError) as error:  # lists in lists in lists, a number of 5,000 digits
        raise StoryboardError(f"{path} holds what no storyboard has: {error}. {_example()}") from None
    if not stories:
        raise StoryboardError(f"{path} has no story. {_example()}")
    if not 0 <= story < len(stories):
        have = "1 story, number 0" if len(stories) == 1 else f"{len(stories)} stories, 0 to {len(stories) - 1}"
        raise StoryboardError(f"{path} has {have}, but number {story} is asked for.")
    where = f"{path}, story {story}" if len(stories) > 1 else str(path)
    return _storyboard(stories[story], where)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [other.name for other in _neighbours(path)], 1, 0.6)
        hint = f" Did you mean {path.with_name(near[0])}?" if near else ""
        raise StoryboardError(f"{path}: no such file.{hint}") from None
    except IsADirectoryError:
        raise StoryboardError(f"{path} is a folder, but a storyboard is a JSON file.") from None
    except UnicodeDecodeError as error:
        raise StoryboardError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise StoryboardError(f"{path} cannot be read: {error.strerror}.") from None


def _neighbours(path: Path) -> Iterator[Path]:
    return path.parent.glob("*.json*") if path.parent.is_dir() else iter(())


def _parse(path: Path, content: str) -> Any:
    if not content.strip():
        raise StoryboardError(f"{path} is empty. {_example()}")
    try:
        return _decode(content, 1)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise _broken(path, error, 0) from None
    return _parse_lines(path, content)


def _parse_lines(path: Path, content: str) -> list[Any]:
    """JSON lines: a story on each line that is not blank."""
    stories = []
    for number, line in enumerate(content.splitlines()):
        if not line.strip():
            continue
        try:
            stories.append(_decode(line, number + 1))
        except json.JSONDecodeError as error:
            raise _broken(path, error, number) from None
    return stories


def _broken(path: Path, error: json.JSONDecodeError, lines_before: int) -> StoryboardError:
    return StoryboardError(
        f"{path}: broken JSON at line {error.lineno + lines_before}, column {error.colno}: {error.msg}. Mend it there."
    )


def _decode(content: str, first_line: int) -> Any:
    """JSON with a line number in every object. Objects end in the same order here and in the decoder's hook."""
    ends = _lines_by_end(content, first_line)

    def locate(pairs: list[tuple[str, Any]]) -> _Located:
        found = _Located(pairs)
        found.line = next(ends)
        keys = [key for key, _ in pairs]
        found.twice = next((key for key in keys if keys.count(key) > 1), None)
        return found

    return json.JSONDecoder(object_pairs_hook=locate).decode(content)


def _lines_by_end(content: str, first_line: int) -> Iterator[int]:
    """For each object, in the order in which they end, the line on which it begins."""
    open_at: list[int] = []
    line, position = first_line, 0
    for match in BRACES_OR_STRING.finditer(content):
        line += content.count("\n", position, match.start())
        position = match.start()
        if match.group() == "{":
            open_at.append(line)
        elif match.group() == "}" and open_at:
            yield open_at.pop()


def _stories(data: Any, path: Path) -> list[Any]:
    """Every story of a file, each still as the file has it: one of our objects, or a list of segments."""
    if isinstance(data, dict):
        return [data]
    if not isinstance(data, list):
        raise StoryboardError(
            f"{path} holds a JSON {_kind(data)}, but a storyboard is an object or a list. {_example()}"
        )
    is_story = data and all(isinstance(item, dict) and "segments" not in item for item in data)
    return [data] if is_story else data


def _storyboard(story: Any, where: str) -> Storyboard:
    title = ""
    if isinstance(story, _Located):
        _check_keys(story, ("title", "segments"), where, "a storyboard")
        if not isinstance(story.get("segments"), list):
            raise StoryboardError(f'{where}: "segments" must be a list of segments. {_example()}')
        title = story.get("title", "")
        if not isinstance(title, str):
            raise StoryboardError(f'{where}: "title" must be text, not a JSON {_kind(title)}.')
        story = story["segments"]
    if not isinstance(story, list):
        raise StoryboardError(f"{where}: a story must be a list of segments, not a JSON {_kind(story)}.")
    if not story:
        raise StoryboardError(f"{where}: the story is empty. Give it one segment for every 3 seconds.")
    return Storyboard(
        title=title, segments=[_segment(item, number, where) for number, item in enumerate(story, start=1)]
    )


def _segment(item: Any, number: int, where: str) -> StoryboardSegment:
    line = f" (line {item.line})" if isinstance(item, _Located) else ""
    here = f"{where}: segment {number}{line}"
    if not isinstance(item, _Located):
        raise StoryboardError(f'{here} must be an object such as {{"text": "..."}}, not a JSON {_kind(item)}.')
    _check_keys(item, (*StoryboardSegment.model_fields, *AUTHORS_KEYS), here, "a segment")
    values = {AUTHORS_KEYS.get(key, key): value for key, value in item.items() if value is not None}
    if "text" not in values:
        raise StoryboardError(f'{here} has no text. Give it "text", a paragraph of 3 to 5 sentences.')
    try:
        return StoryboardSegment.model_validate(values).at_line(item.line)
    except ValidationError as error:
        raise StoryboardError(_refused(error, here, item)) from None


def _refused(error: ValidationError, here: str, item: _Located) -> str:
    """The first of pydantic's complaints in our words, with the key as the file has it."""
    first = error.errors()[0]
    field = str(first["loc"][0])
    key = next((key for key in item if AUTHORS_KEYS.get(key, key) == field), field)
    if first["type"] == "value_error":
        return f'{here} has no text: its "{key}" is blank. Write a paragraph of 3 to 5 sentences.'
    wanted = "true or false" if field in ("scene_start", "locked") else "text"
    return f'{here}: "{key}" must be {wanted}, not {json.dumps(item[key])[:40]}.'


def _check_keys(item: _Located, known: tuple[str, ...], here: str, what: str) -> None:
    if item.twice is not None:
        raise StoryboardError(f'{here} has the key "{item.twice}" twice. Keep one.')
    clash = next((key for key, ours in AUTHORS_KEYS.items() if key in item and ours in item), None)
    if clash is not None:
        raise StoryboardError(f'{here} has both "{clash}" and "{AUTHORS_KEYS[clash]}", which say the same. Keep one.')
    for key, value in item.items():
        if isinstance(value, str) and LONE_SURROGATE.search(value):
            raise StoryboardError(f'{here}: "{key}" holds half a character (\\ud800 to \\udfff). Write it anew.')
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f'Did you mean "{near[0]}"?' if near else f"{what} may have {', '.join(known)}."
            raise StoryboardError(f'{here} has the unknown key "{key}". {hint[0].upper()}{hint[1:]}')


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "true or false", type(None): "null"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "number")


def _example() -> str:
    return 'A storyboard is {"segments": [{"text": "A cat walks in.", "scene_start": true}]}.'
