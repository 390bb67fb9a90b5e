"""Lists of shots that people edit: out and in without loss, and mistakes in them told in one line."""

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyreel.data.film import FilmRow, FrameTimes
from storyreel.data.shot_lists import FORMATS, read_shots
from storyreel.data.shots import Shot
from storyreel.errors import DataError


def film(frames=100_000, rate="24000/1001"):
    return FilmRow(
        id="0123456789abcdef", path="a film, with: commas.mkv", sha256="", bytes=1, container="", codec="", pix_fmt="",
        width=64, height=48, sample_aspect="1", rotation=0, interlaced=False, box=(0, 0, 64, 48), time_base="1/1000",
        frames=frames, seconds="1", rate=rate, variable_rate=False, mended_times=0, decode_errors=0, audio_streams=0,
        notes=(),
    )  # fmt: skip


def times(frames=100_000):
    return FrameTimes(np.arange(frames + 1) * 42, Fraction(1, 1000))


@st.composite
def shot_lists(draw):
    cuts = sorted(draw(st.sets(st.integers(0, 100_000), min_size=2, max_size=40)))
    shots, scene = [], 0
    for start, stop in itertools.pairwise(cuts):
        if shots and draw(st.booleans()) and draw(st.booleans()):
            continue
        scene += bool(shots) and draw(st.booleans())
        begins = draw(st.sampled_from(["start", "cut", "fade", "dissolve", "edit"]))
        shots.append(Shot(start=start, stop=stop, scene=scene, begins=begins))
    return shots


@pytest.mark.parametrize("ending", FORMATS)
@settings(max_examples=40, deadline=None)
@given(shots=shot_lists(), rate=st.sampled_from(["24000/1001", "25", "30000/1001", "60", "29999/1250"]))
def test_out_and_in_without_loss(ending, shots, rate):
    row = film(rate=rate)
    form = FORMATS[ending]
    assert form.read(form.write(shots, row, times()), row) == shots


SHOTS = [
    Shot(start=0, stop=50, scene=0, begins="start"),
    Shot(start=50, stop=80, scene=0, begins="cut"),
    Shot(start=90, stop=120, scene=1, begins="dissolve"),
]


def test_an_edl_of_an_editing_program_is_read(tmp_path):
    path = tmp_path / "a.edl"
    path.write_text(
        "TITLE: CUT\nFCM: NON-DROP FRAME\n\n001  AX V C 00:00:00:00 00:00:02:00 01:00:00:00 01:00:02:00\n"
        "002  REEL_2 V D 012 00:00:02:12 00:00:04:00 01:00:02:00 01:00:03:12\n"
    )
    shots = read_shots(path, film())
    assert [(shot.start, shot.stop, shot.scene, shot.begins) for shot in shots] == [
        (0, 48, 0, "edit"),
        (60, 96, 0, "edit"),
    ]


def test_an_otio_without_our_notes_is_read(tmp_path):
    path = tmp_path / "a.otio"
    timeline = json.loads(FORMATS[".otio"].write(SHOTS, film(), times()))
    for child in timeline["tracks"]["children"][0]["children"]:
        child.pop("metadata", None)
    path.write_text(json.dumps(timeline))
    assert [(shot.start, shot.stop, shot.begins) for shot in read_shots(path, film())] == [
        (0, 50, "edit"), (50, 80, "edit"), (90, 120, "edit")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("50,80", "40,80"), "shot 2 has frames 40 to 80, but it must begin at 50"),
        (("90,120", "90,90"), "shot 3 has frames 90 to 90"),
        (("90,120", "90,500000"), "the film has 100000 frames"),
        (("3,1,90", "3,2,90"), "is of scene 2, but the shot before is of scene 0"),
        (("1,0,0", "1,1,0"), "shot 1 is of scene 1"),
        (("dissolve", "disolve"), "begins is 'disolve'"),
        (("90,120", "ninety,120"), "start is 'ninety'"),
        (("stop_frame", "end"), "cannot be read: KeyError 'stop_frame'"),
    ],
)
def test_mistakes_are_one_line(change, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(FORMATS[".csv"].write(SHOTS, film(), times()).replace(*change))
    with pytest.raises(DataError) as caught:
        read_shots(path, film())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_that_are_none(tmp_path):
    (tmp_path / "a.csv").write_text("shot,scene,start_frame,stop_frame,begins\n")
    with pytest.raises(DataError, match="has no shot"):
        read_shots(tmp_path / "a.csv", film())
    (tmp_path / "a.otio").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_shots(tmp_path / "a.otio", film())
    with pytest.raises(DataError, match=r"one of \.csv, \.edl, \.otio"):
        read_shots(tmp_path / "a.xml", film())
