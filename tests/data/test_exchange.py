"""Other programs' data sets: what is written is read again, and what would go wrong in silence is refused."""

import csv
import dataclasses
import json
import tomllib

import av
import pytest

from storyreel.data import build
from storyreel.data.caption_rows import read_captions
from storyreel.data.exchange import importing
from storyreel.data.exchange.clip import PairedClip
from storyreel.data.exchange.conventions import CONVENTIONS, convention, export
from storyreel.data.exchange.ttt_video import (
    TrainingLine,
    read_documented,
    read_training,
    write_documented,
    write_training,
)
from storyreel.data.film import FilmRow
from storyreel.data.manifest import read_rows
from storyreel.data.segments import SegmentRow, SegmentsConfig
from storyreel.data.takes import read_take
from storyreel.errors import ConfigError, DataError

TEXTS = ['A cat, "Tom", runs; it\'s night.', "Ein Hase läuft über die Brücke 🐇.", "A red, striped ball = round."]
CLIPS = [
    PairedClip(f"videos/clip {number}.mp4", text, 49, 16.0, 480, 720, starts=number != 1, ends=number != 0)
    for number, text in enumerate(TEXTS)
]


def kept(clip, own):
    fields = {"video", "text", *own.keeps}
    known = dataclasses.asdict(clip).items()
    return PairedClip(**{name: value for name, value in known if name in fields})


def with_videos(folder):
    for clip in CLIPS:
        (folder / clip.video).parent.mkdir(exist_ok=True)
        (folder / clip.video).write_bytes(b"")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_is_written_is_read_again(name, tmp_path):
    own = convention(name)
    with_videos(tmp_path)
    own.write(tmp_path, CLIPS)
    assert own.read(tmp_path) == [kept(clip, own) for clip in CLIPS]
    # And once more: the same files.
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    own.write(tmp_path, [dataclasses.replace(CLIPS[i], text=clip.text) for i, clip in enumerate(own.read(tmp_path))])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_blank_text_and_a_video_twice_are_refused(name, tmp_path):
    own = convention(name)
    with pytest.raises(DataError, match=r"clip 1.mp4 has no text"):
        own.write(tmp_path, [CLIPS[0], dataclasses.replace(CLIPS[1], text=" \n")])
    with pytest.raises(DataError, match="is there twice"):
        own.write(tmp_path, [CLIPS[0], CLIPS[0]])


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_folder_of_another_kind_is_told(name, tmp_path):
    with pytest.raises(DataError):
        convention(name).read(tmp_path)


def test_there_are_no_other_formats():
    with pytest.raises(ConfigError, match="format is kinetics, but there are finetrainers"):
        convention("kinetics")


def test_line_files_of_other_names_and_with_a_blank_line(tmp_path):
    own = convention("finetrainers")
    (tmp_path / "caption.txt").write_text("one\ntwo\n")
    (tmp_path / "video.txt").write_text("a.mp4\nb.mp4\n")
    assert own.read(tmp_path) == [PairedClip("a.mp4", "one"), PairedClip("b.mp4", "two")]
    (tmp_path / "caption.txt").write_text("one\n\ntwo\n")
    with pytest.raises(DataError, match=r"caption.txt, line 2 is blank"):
        own.read(tmp_path)
    (tmp_path / "caption.txt").write_text("one\n")
    with pytest.raises(DataError, match=r"caption.txt has 1 lines, but .*video.txt has 2"):
        own.read(tmp_path)


def test_line_ends_in_a_text_do_not_shift_the_pairs(tmp_path):
    clips = [dataclasses.replace(CLIPS[0], text="one\ntwo\r\n three"), CLIPS[1]]
    own = convention("finetrainers")
    own.write(tmp_path, clips)
    assert [clip.text for clip in own.read(tmp_path)] == ["one two three", TEXTS[1]]


def test_pairs_in_labels_and_a_video_without_a_text(tmp_path):
    own = convention("pairs")
    for folder in ("videos", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "videos" / "x.mp4").write_bytes(b"")
    (tmp_path / "labels" / "x.txt").write_text("a label\n")
    assert own.read(tmp_path) == [PairedClip("videos/x.mp4", "a label")]
    (tmp_path / "videos" / "y.MKV").write_bytes(b"")
    with pytest.raises(DataError, match=r"y.MKV has no y.txt"):
        own.read(tmp_path)


def test_musubi_gets_a_toml(tmp_path):
    convention("musubi").write(tmp_path, CLIPS)
    content = tomllib.loads((tmp_path / "dataset.toml").read_text())
    assert content["general"]["resolution"] == [720, 480]
    (one,) = content["datasets"]
    assert one["target_frames"] == [49]
    assert isinstance(one["source_fps"], float)
    assert (tmp_path / one["video_jsonl_file"]).is_file()


def test_ltx_in_its_other_forms(tmp_path):
    own = convention("ltx")
    (tmp_path / "dataset.json").write_text(json.dumps([{"media_path": "a.mp4", "caption": "one"}]))
    assert own.read(tmp_path) == [PairedClip("a.mp4", "one")]
    (tmp_path / "dataset.jsonl").write_text('{"video": "b.mp4", "caption": "two"}\n\n')
    assert own.read(tmp_path) == [PairedClip("b.mp4", "two")]
    (tmp_path / "dataset.jsonl").write_text('{"video": "b.mp4"}\n')
    with pytest.raises(DataError, match="line 1 has no caption"):
        own.read(tmp_path)
    (tmp_path / "dataset.jsonl").write_text('{"video": "b.mp4"\n')
    with pytest.raises(DataError, match=r"dataset.jsonl, line 1"):
        own.read(tmp_path)


def test_fastvideo_as_its_documentation_has_it(tmp_path):
    own = convention("fastvideo")
    (tmp_path / "videos2caption.json").write_text(json.dumps([{"path": "a.mp4", "cap": "one"}]))
    assert own.read(tmp_path) == [PairedClip("videos/a.mp4", "one")]
    with pytest.raises(DataError, match="does not lie in videos/"):
        own.write(tmp_path, [dataclasses.replace(CLIPS[0], video="a.mp4")])
    with pytest.raises(DataError, match="needs frames, fps, height and width"):
        own.write(tmp_path, [PairedClip("videos/a.mp4", "one")])


def test_open_soras_numbers(tmp_path):
    own = convention("open-sora")
    own.write(tmp_path, CLIPS)
    with (tmp_path / "meta.csv").open() as file:
        first = next(csv.DictReader(file))
    assert float(first["aspect_ratio"]) == pytest.approx(2 / 3)
    assert int(first["resolution"]) == 345600
    (tmp_path / "meta.csv").write_text("path,text,num_frames,aes\na.mp4,one,49.0,5\n")
    assert own.read(tmp_path) == [PairedClip("a.mp4", "one", frames=49)]
    (tmp_path / "meta.csv").write_text("path,text,num_frames\na.mp4,one,many\n")
    with pytest.raises(DataError, match="row 1: num_frames is many"):
        own.read(tmp_path)


def test_a_hugging_face_csv(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.mp4,one\n")
    assert convention("hugging-face").read(tmp_path) == [PairedClip("a.mp4", "one")]


def test_the_authors_annotations(tmp_path):
    own = convention("ttt-video")
    own.write(tmp_path, CLIPS)
    content = json.loads((tmp_path / "annotations.json").read_text())
    assert content["clip 1"] == {
        "mp4": "videos/clip 1.mp4", "text": TEXTS[1], "scene_start": False, "scene_end": True,
    }  # fmt: skip
    with pytest.raises(DataError, match="needs to know whether"):
        own.write(tmp_path, [dataclasses.replace(CLIPS[0], ends=None)])
    (tmp_path / "annotations.json").write_text('{"a": {"mp4": "a.mp4", "text": "x", "scene_start": "yes"}}')
    with pytest.raises(DataError, match="must be true or false"):
        own.read(tmp_path)


def test_the_authors_documented_lines(tmp_path):
    path = tmp_path / "annotation.jsonl"
    alone = PairedClip("", "alone", starts=True, ends=True)
    videos = [[dataclasses.replace(clip, video="") for clip in CLIPS], [alone]]
    write_documented(path, videos)
    found = read_documented(path)
    assert [[(clip.text, clip.starts, clip.ends) for clip in own] for own in found] == [
        [(clip.text, clip.starts, clip.ends) for clip in own] for own in videos
    ]
    path.write_text('{"scene_start": [true], "scene_end": [true], "text_0": "a", "text_1": "b"}')
    with pytest.raises(DataError, match="has not as many"):
        read_documented(path)


def test_the_authors_training_lines(tmp_path):
    lines = [TrainingLine(f"vid/{i}.pt", tuple(f"text/{i}_{j}.pt" for j in range(3))) for i in range(2)]
    write_training(tmp_path / "train.jsonl", lines)
    assert json.loads((tmp_path / "train.jsonl").read_text().splitlines()[1])["vid_emb"] == "vid/1.pt"
    assert read_training(tmp_path / "train.jsonl", 9) == lines
    with pytest.raises(DataError, match="line 1 has 3 texts, but 18 s have 6"):
        read_training(tmp_path / "train.jsonl", 18)


def test_segments_are_exported_with_their_frames_and_marks(captioned, tmp_path):
    clips = export(captioned / "captions", tmp_path, "ttt-video")
    rows = {row.id: row for row in read_rows(captioned / "segments", SegmentRow)}
    assert len(clips) == len(rows) == 6
    assert convention("ttt-video").read(tmp_path) == [kept(clip, convention("ttt-video")) for clip in clips]
    row = rows[clips[1].video.removeprefix("videos/").removesuffix(".mp4")]
    with av.open(str(tmp_path / clips[1].video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    source = list(read_take(captioned / "segments" / row.take, row.first_frame, row.first_frame + 48))
    assert len(frames) == 49
    assert max(abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(frames, source, strict=True)) < 2
    assert export(captioned / "captions", tmp_path, "musubi") == clips


def test_texts_of_videos_become_those_of_their_segments(tmp_path, film_writer, squares):
    folder, out = tmp_path / "set", tmp_path / "out"
    (folder / "videos").mkdir(parents=True)
    for seed, name in enumerate("abc"):
        film_writer(folder / "videos" / f"{name}.mp4", squares(160, seed=seed), 24)
    clips = [PairedClip(f"videos/{name}.mp4", f"text of {name}", 160, 24.0, 48, 64) for name in "ab"]
    convention("open-sora").write(folder, clips)
    build.run(folder / "videos", out, build.BuildConfig(segments=SegmentsConfig(width=64, height=48)), workers=1)
    manifest = importing.run(folder, out / "segments", out / "captions", importing.ImportConfig("open-sora"))
    films = {row.id: row.path for row in read_rows(out / "probe", FilmRow)}
    _, texts = read_captions(out / "captions")
    rows = read_rows(out / "segments", SegmentRow)
    assert len(rows) == 6
    assert texts == {row.id: f"text of {films[row.film][0]}" for row in rows if films[row.film] != "c.mp4"}
    assert (manifest.account("caption").kept, manifest.account("caption").dropped) == (4, 2)
    # Where the whole data set was probed, paths are the same.
    build.run(folder, tmp_path / "2", build.BuildConfig(segments=SegmentsConfig(width=64, height=48)), workers=1)
    importing.run(folder, tmp_path / "2/segments", tmp_path / "2/captions", importing.ImportConfig("open-sora"))
    assert read_captions(tmp_path / "2/captions")[1] == texts
