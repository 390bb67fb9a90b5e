"""`storyreel data captions`: options, and the way to the step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from storyreel.cli.language_model import BaseUrl, MaxCost, PriceOf, Timeout, open_asker
from storyreel.errors import DataError

if TYPE_CHECKING:
    from storyreel.data.caption_texts import GivenText
    from storyreel.data.manifest import Manifest


@dataclass(frozen=True)
class Captions:
    """Step 4: a paragraph for each segment, by a vision-language model, from files, or by people (see annotate).

    What people wrote in OUT/edited goes before --from, and that before --model. A segment without a text is dropped.
    For texts beside the films, or another program's data set, see "storyreel data import".

    Example: storyreel data captions dataset/segments dataset/captions --model anthropic:claude-haiku-4-5
    """

    segments: Annotated[Positional[Path], arg(metavar="SEGMENTS")]
    """Folder of step 3."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder of the step."""
    model: Annotated[str | None, arg(metavar="PROVIDER:MODEL", help_behavior_hint="(default: none)")] = None
    """anthropic:NAME, openai:NAME (with --base-url any compatible server), ollama:NAME; it must see pictures."""
    from_files: Annotated[tuple[Path, ...], arg(name="from", metavar="FILE", help_behavior_hint="(default: none)")] = ()
    """Texts by segment id: JSONL with id and text, or WebVTT whose cues have ids."""
    cast: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: nobody is named)")] = None
    """Who may be named: a text file of lines NAME: LOOK."""
    frames: int = 4
    """Frames of each segment that the model is shown."""
    most_words: int = 160
    """A longer text is faulty."""
    most_faulty: float = 0.2
    """Share of faulty texts (empty, cut, repeated, looping, too long, unknown names, unverified) that stops the run."""
    at_once: int = 4
    """Shots that the model is asked about at a time."""
    base_url: BaseUrl = None
    """Server of an openai:NAME that is not OpenAI's, as http://localhost:8000/v1."""
    max_cost: MaxCost = "1.00"
    """Dollars that this run may cost, or off."""
    price: PriceOf = None
    """Price of a model that is not in the table, in dollars a million tokens that go in and come out."""
    timeout: Timeout = 120
    """Seconds to wait for an answer."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Another seed, other words."""


def run_captions(options: Captions, on_step: Callable[[str], Any]) -> dict[str, Manifest]:
    """Runs the step; its costs are told on standard error."""
    from storyreel.data import captions
    from storyreel.data.captioner import prompt_keys

    with ExitStack() as stack:
        asker = None
        if options.model is not None:
            asker = stack.enter_context(open_asker(options.model, options, options.out / "answers"))
        config = captions.CaptionsConfig(
            model=asker.name if asker else "",
            prompts=prompt_keys() if asker else "",
            frames=options.frames,
            most_words=options.most_words,
            cast=_cast(options.cast),
            seed=options.seed,
        )
        manifest = captions.run(
            options.segments,
            options.out,
            config,
            asker=asker,
            given=_given(options.from_files),
            most_faulty=options.most_faulty,
            at_once=options.at_once,
            on_plan=lambda line: print(line, file=sys.stderr),
            on_item=on_step("captions"),
        )
        if asker and asker.budget.calls:
            print(f"{options.model}: {asker.budget.told()}", file=sys.stderr)
    return {"captions": manifest}


def _cast(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Give a text file of lines NAME: LOOK.") from None
    bad = next((line for line in lines if not line.partition(":")[0].strip() or ":" not in line), None)
    if bad is not None:
        raise DataError(f'{path}: "{bad}" is not of the form NAME: LOOK. Mend the line.')
    return "\n".join(lines)


def _given(paths: tuple[Path, ...]) -> dict[str, GivenText]:
    from storyreel.data.caption_texts import read_texts

    texts: dict[str, GivenText] = {}
    for path in paths:
        found = read_texts(path)
        twice = sorted(set(texts) & set(found))
        if twice:
            raise DataError(f"{path} has a text for {twice[0]}, and so has an earlier --from. Keep one.")
        texts |= found
    return texts
