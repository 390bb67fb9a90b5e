"""A film of 63 s becomes examples of every length that the paper trains at."""

from collections import Counter

import numpy as np
import pytest
from torch.utils.data import DataLoader

from storyreel.data import build, build_examples
from storyreel.data.build_examples import BuildExamplesConfig
from storyreel.data.dataset import ExampleDataset, RankSampler, collate
from storyreel.data.example_rows import ExampleRow
from storyreel.data.examples import ExamplesConfig
from storyreel.data.manifest import read_rows
from storyreel.data.segments import SegmentRow, SegmentsConfig, window_frames
from storyreel.geometry import PixelShape
from storyreel.toons.writer import write_stories

STAGES = (3, 9, 18, 30, 63)


@pytest.fixture(scope="module")
def made(tmp_path_factory, model, caption_writer):
    root = tmp_path_factory.mktemp("long")
    write_stories(root / "films", 1, 63, 32, 48, seed=7, workers=1)
    build.run(root / "films", root / "out", build.BuildConfig(segments=SegmentsConfig(width=48, height=32)), workers=1)
    caption_writer(root / "films", root / "out/segments", root / "out/captions")
    config = BuildExamplesConfig(examples=ExamplesConfig(stages=STAGES, validation_share=0.0))
    _, report = build_examples.run(root / "out", config, model=model, workers=1)
    assert report is not None
    assert report.is_good
    return root / "out"


def test_examples_of_each_length_are_counted(made):
    rows = read_rows(made / "assembled", ExampleRow)
    assert Counter(row.seconds for row in rows) == {3: 21, 9: 7, 18: 3, 30: 2, 63: 1}


@pytest.mark.parametrize(("seconds", "frames"), [(3, 49), (9, 145), (18, 289), (30, 481), (63, 1009)])
def test_an_example_has_the_frames_and_latents_of_its_length(seconds, frames, made):
    examples = ExampleDataset(made / "assembled", seconds, 160)
    batch = next(iter(DataLoader(examples, batch_sampler=RankSampler(examples, 1), collate_fn=collate)))
    latents = PixelShape(frames, 32, 48).latent().frames
    assert latents == 12 * seconds // 3 + 1
    assert batch.moments.mean.shape == (1, latents, 4, 4, 6)
    assert batch.states is not None
    assert batch.states.shape == (1, seconds // 3, 160, 32)
    segments = {row.id: row for row in read_rows(made / "segments", SegmentRow)}
    window = list(window_frames(made / "segments", [segments[own] for own in examples.rows[0].segments]))
    assert len(window) == frames
    assert all(isinstance(frame, np.ndarray) and frame.shape == (32, 48, 3) for frame in window)
