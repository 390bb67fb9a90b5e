"""Everything between a folder of videos and a running server: secrets, gold pairs, storyboards, the store."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from storyreel.arena.clips.library import Clip
from storyreel.arena.store import Store
from storyreel.arena.study import VIDEO_SUFFIX, Gold, Study, study_from_csv, study_from_folder
from storyreel.arena.web.app import make_app
from storyreel.arena.web.server import make_server
from storyreel.arena.web.settings import Settings
from storyreel.data.files import whole
from storyreel.errors import DataError
from storyreel.storyboard.reader import read_storyboard

SECRETS = "secrets.json"
VARIABLE = "STORYREEL_ARENA_"
BETTER, WORSE = "gold better", "gold worse"
Videos = dict[tuple[str, str], Path]


@dataclass(frozen=True)
class Secrets:
    """`key` is the root of everything signed or hashed; `fresh`: made just now, so to be shown once."""

    key: bytes
    invitation: str
    admin_secret: str
    fresh: bool

    def derived(self, purpose: str) -> bytes:
        return hmac.new(self.key, purpose.encode(), hashlib.sha256).digest()


def check_writable(folder: Path) -> None:
    """Makes the folder if there is none. DataError: no file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise DataError(
            f"{folder} cannot be written ({why}), and a study keeps clips and votes there. Make it writable, or give "
            "another folder as --work."
        ) from error


def read_secrets(folder: Path, environment: Mapping[str, str] = os.environ) -> Secrets:
    """Secrets of the study in `folder`: STORYREEL_ARENA_KEY, _INVITATION, _ADMIN_SECRET, else its file, else new ones.

    What is new is written to the file, readable for its owner alone. DataError: the file is damaged, or the key short.
    """
    path = folder / SECRETS
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        kept = {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Put back the one that the study began with.") from error
    made = {
        "key": secrets.token_hex(32),
        "invitation": secrets.token_urlsafe(9),
        "admin_secret": secrets.token_urlsafe(18),
    }
    given = {name: environment.get(VARIABLE + name.upper(), "") for name in made}
    values = {name: given[name] or kept.get(name) or made[name] for name in made}
    if not all(isinstance(value, str) for value in values.values()):
        raise DataError(f"{path} holds something that is no text. Put back the one that the study began with.")
    if len(values["key"]) < 32:
        raise DataError(f"the key of the study in {folder} has fewer than 32 characters. Give a longer one.")
    missing = {name: made[name] for name in made if not given[name] and name not in kept}
    if missing:
        with whole(path) as part:
            part.touch(0o600)
            part.write_text(json.dumps(kept | missing, indent=1) + "\n", encoding="utf-8")
    return Secrets(values["key"].encode(), values["invitation"], values["admin_secret"], "admin_secret" in missing)


def study_with_gold(videos: Path, gold: Path | None, changes: Mapping[str, Any]) -> tuple[Study, Videos]:
    """The study of a folder or CSV with `changes` to its fields, and every video, those of the gold pairs included.

    `gold` holds better/STORY.mp4 and worse/STORY.mp4. DataError: see `study_from_folder`; one of the two is missing.
    """
    study, found = (study_from_folder if videos.is_dir() else study_from_csv)(videos)
    pairs: list[Gold] = []
    if gold is not None:
        stories = {side: _stories(gold / side) for side in ("better", "worse")}
        if stories["better"] != stories["worse"] or not stories["better"]:
            raise DataError(f"{gold} must hold a folder better and a folder worse, with the same stories. Add them.")
        pairs = [Gold(story, BETTER, WORSE) for story in sorted(stories["better"])]
        for story in stories["better"]:
            found[BETTER, story] = gold / "better" / f"{story}{VIDEO_SUFFIX}"
            found[WORSE, story] = gold / "worse" / f"{story}{VIDEO_SUFFIX}"
    return replace(study, gold=tuple(pairs), **changes), found


def _stories(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob(f"*{VIDEO_SUFFIX}")} if folder.is_dir() else set()


def read_storyboards(folder: Path, study: Study) -> dict[str, str]:
    """The text of each story, from STORY.json (a storyboard) or STORY.txt in `folder`. DataError: one has neither."""
    texts: dict[str, str] = {}
    for story in (*study.stories, *(gold.story for gold in study.gold)):
        board, text = folder / f"{story}.json", folder / f"{story}.txt"
        try:
            if board.is_file():
                texts[story] = "\n\n".join(segment.text for segment in read_storyboard(board).segments)
            elif text.is_file():
                texts[story] = text.read_text(encoding="utf-8").strip()
            else:
                raise DataError(f"{folder} has neither {board.name} nor {text.name}. Add one of them.")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{text} cannot be read: {error}. Give a text in UTF-8.") from error
    return texts


def clips_hash(clips: Mapping[tuple[str, str], Clip]) -> str:
    """Stands for all clips of a study: which video is whose, and what its file was made of."""
    lines = (f"{method}\t{story}\t{clip.path.parent.name}/{clip.path.name}" for (method, story), clip in clips.items())
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


@contextlib.contextmanager
def hosted(
    database: str, study: Study, clips: Mapping[tuple[str, str], Clip], settings: Settings, *, store_key: bytes,
    seed: int = 0, adaptive: bool = False, storyboards: Mapping[str, str] | None = None,
) -> Iterator[tuple[uvicorn.Server, Store]]:  # fmt: skip
    """A server, to be run on an `open_port`, and its store, which is closed at the end."""
    seconds = {name: clip.seconds for name, clip in clips.items()}
    identity = clips_hash(clips)
    store = Store.open(
        database, study, clips_hash=identity, clip_seconds=seconds, seed=seed, key=store_key, adaptive=adaptive
    )
    try:
        yield make_server(make_app(store, study, clips, settings, storyboards=storyboards)), store
    finally:
        store.close()
