"""`storyreel write`: from a plot, or from another program's file, to a storyboard; and what is wrong with one."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

from tyro.conf import Positional, arg

from storyreel.cli.language_model import BaseUrl, MaxCost, PriceOf, Timeout, open_asker
from storyreel.errors import ConfigError, refusal
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.storyboard.findings import Finding
    from storyreel.writing.rules import Written


@dataclass(frozen=True)
class Write:
    """Write the storyboard of a plot, convert one of another program, or find what is wrong with one (--lint).

    A plot is a text file of plain sentences. Its stages are saved beside the storyboard, in OUT.stages: edit one, and
    the same line goes on from it. A segment with "locked": true stays word for word.

    Example: storyreel write plot.txt --out story.json --seconds 18
    """

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """A plot (.txt, .md), a storyboard, or a file in another program's format."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the source's name .json, here)")] = (
        None
    )
    """File to write."""
    seconds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: what the story needs)")] = None
    """Length of the video, a multiple of 3; models are trained at 3, 9, 18, 30 and 63."""
    writer: Annotated[str, arg(metavar="rules|PROVIDER:MODEL")] = "rules"
    """rules: needs no model and no network, and writes in the demo model's words. Or a language model: anthropic:NAME,
    openai:NAME (with --base-url any compatible server), ollama:NAME; the key is read from the environment."""
    base_url: BaseUrl = None
    """Server of an openai:NAME that is not OpenAI's, as http://localhost:8000/v1."""
    max_cost: MaxCost = "1.00"
    """Dollars that a language model may cost, or off."""
    price: PriceOf = None
    """Price of a language model that is not in the table, in dollars a million tokens that go in and come out."""
    cache: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: OUT.stages/answers)")] = None
    """Folder of a language model's answers; what was answered is not asked again."""
    timeout: Timeout = 120
    """Seconds to wait for a language model's answer."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Another seed, other words."""
    again: bool = False
    """Begin from the plot, whatever is saved; locked segments stay."""
    as_format: Annotated[str, arg(name="as", metavar="NAME")] = "storyreel"
    """Format to write: storyreel, reference, reference-jsonl, storymem, longlive, holocine, vistorybench, fountain."""
    story: Annotated[int, arg(metavar="N")] = 0
    """Which story of a file that holds several, from 0."""
    lint: bool = False
    """Only look for what is wrong with a storyboard; exit status 1 where there are errors."""
    fix: bool = False
    """With --lint: mend what can be mended safely."""
    json: bool = False
    """Findings as JSON on standard output."""
    model: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the bundled demo model)")] = None
    """The video model that will read the storyboard: for --lint, and for a language model's words and lengths."""


def run(options: Write) -> int:
    """Writes, converts or lints; findings go to standard error, what was made to standard output."""
    from storyreel.storyboard.reader import is_plot

    if options.fix and not options.lint:
        raise ConfigError("--fix goes with --lint. Try: storyreel write --lint --fix " + str(options.source))
    if options.lint:
        return _lint(options)
    return _write(options) if is_plot(options.source) else _convert(options)


def _write(options: Write) -> int:
    from storyreel.writing.rules import write_plot

    if options.as_format != "storyreel":
        raise ConfigError(
            refusal("--as", options.as_format, "a plot is written as a storyreel storyboard", "Convert that one after")
        )
    out = _out(options, ".json")
    if options.writer == "rules":
        written = write_plot(options.source, out, options.seconds, options.seed, options.again)
    else:
        written = _write_with_model(options, out)
    _print_findings(written.findings, options.json)
    board = written.storyboard
    if "storyboard" in written.kept:
        print(f"{out}: {board.seconds} s; nothing has changed since it was written", file=_stream(options))
        return 0
    kept = f", from the saved {written.kept[-1]}" if written.kept else ""
    print(
        f"{out}: {counted(len(board.segments), 'segment')}, {board.seconds} s, written by {options.writer}{kept}",
        file=_stream(options),
    )
    print(f"stages to edit: {out.with_suffix('.stages')}", file=_stream(options))
    return 0


def _write_with_model(options: Write, out: Path) -> Written:
    """With progress and costs on standard error."""
    from storyreel.assets import DEMO_MODEL
    from storyreel.cli.progress import Counter, open_progress
    from storyreel.models.text import known_words, load_tokenizer
    from storyreel.sampling.text_limit import text_limit
    from storyreel.writing.model_writer import ModelWriter, Reader, known_vocabulary

    folder = options.model or DEMO_MODEL
    cache = options.cache or out.with_suffix(".stages") / "answers"
    with open_asker(options.writer, options, cache) as asker, open_progress() as progress:
        tokenizer = load_tokenizer(folder / "tokenizer")
        limit = functools.partial(text_limit, folder)
        reader = Reader(tokenizer, limit, known_vocabulary(known_words(tokenizer)))
        counters: dict[str, Counter] = {}

        def on_stage(what: str, done: int, total: int) -> None:
            if what not in counters:
                progress.stage(what, total)
                counters[what] = Counter(progress)
            counters[what](done)

        writer = ModelWriter(asker, reader, options.seed, progress.note, on_stage)
        written = writer.write(options.source, out, options.seconds, options.again)
        if asker.budget.calls:
            progress.note(f"{options.writer}: {asker.budget.told()}")
    return written


def _out(options: Write, suffix: str) -> Path:
    out = options.out or Path(options.source.stem + suffix)
    if out.resolve() == options.source.resolve():
        raise ConfigError(refusal("--out", out, "the source would be overwritten", "Choose another name"))
    return out


def _stream(options: Write) -> TextIO:
    """Standard output, or standard error where that is for JSON."""
    return sys.stderr if options.json else sys.stdout


def _print_findings(findings: tuple[Finding, ...] | list[Finding], as_json: bool) -> None:
    from storyreel.storyboard.findings import numbered

    if as_json:
        print(json.dumps([finding.as_json() for finding in findings], indent=1, ensure_ascii=False))
    else:
        for line in numbered(findings):
            print(line, file=sys.stderr)


def _lint(options: Write) -> int:
    """Reads, inspects and perhaps mends a storyboard; 1 where errors are left."""
    from storyreel.assets import DEMO_MODEL
    from storyreel.sampling.text_limit import text_limit
    from storyreel.storyboard.reader import read_storyboard

    board = read_storyboard(options.source, options.story)
    folder = options.model or DEMO_MODEL
    limit = text_limit(folder, board.seconds)
    from storyreel.models.text import load_tokenizer
    from storyreel.storyboard.lint import inspect_storyboard, mend_storyboard
    from storyreel.storyboard.saving import save_storyboard

    tokenizer = load_tokenizer(folder / "tokenizer")
    found = inspect_storyboard(board, tokenizer, limit)
    if options.fix:
        mended = mend_storyboard(board, tokenizer)
        if mended != board:
            save_storyboard(_fixed_file(options), mended)
        left = inspect_storyboard(mended, tokenizer, limit)
        print(f"{_fixed_file(options)}: {counted(len(found) - len(left), 'finding')} mended", file=_stream(options))
        found = left
    _print_findings(found, options.json)
    errors = sum(own.level == "error" for own in found)
    warnings = sum(own.level == "warning" for own in found)
    safe = sum(own.mended for own in found)
    fixes = f"; --fix mends {safe} of {len(found)}" if safe else ""
    told = (
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}, {counted(len(found) - errors - warnings, 'note')}"
    )
    print(f"{options.source}: {told}{fixes}", file=_stream(options))
    return 1 if errors else 0


def _fixed_file(options: Write) -> Path:
    """Where --fix writes: the file itself where that is one storyboard in our JSON, else --out."""
    if options.out is not None:
        return options.out
    try:
        ours = isinstance(json.loads(options.source.read_text(encoding="utf-8-sig")), dict)
    except ValueError:
        ours = False
    if not ours:
        raise ConfigError(f"--fix writes storyreel's own JSON, and {options.source} is in another format. Give --out.")
    return options.source


def _convert(options: Write) -> int:
    """A storyboard in any format that is known into any other; what is lost on the way is a finding."""
    from storyreel.storyboard.formats import FORMATS, read_any
    from storyreel.storyboard.saving import save_text

    if options.as_format not in FORMATS:
        names = ", ".join(FORMATS)
        raise ConfigError(refusal("--as", options.as_format, f"it must be one of {names}", "Try storyreel"))
    target = FORMATS[options.as_format]
    out = _out(options, target.suffix)
    if out.exists() and not options.again:
        raise ConfigError(
            refusal("--out", out, "there is such a file", "Choose another name, or write over it: --again")
        )
    read = read_any(options.source, options.seconds, options.story)
    text, lost = target.write(read.storyboard)
    save_text(out, text)
    told = "; ".join((f"read as {read.name}", *read.told)) + (f"; lost: {', '.join(read.lost)}" if read.lost else "")
    told += f"; not in {options.as_format}: {', '.join(lost)}" if lost else ""
    board = read.storyboard
    print(f"{out}: {counted(len(board.segments), 'segment')}, {board.seconds} s, {told}", file=_stream(options))
    return 0
