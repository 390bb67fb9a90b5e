"""Captions of small segments: by a model over real HTTP, from files, by people; faults, limits, going on."""

import json
import re
import threading
from itertools import pairwise

import numpy as np
import pytest

from storyreel.cli.main import main
from storyreel.data.build import BuildConfig
from storyreel.data.build import run as build
from storyreel.data.caption_fields import CaptionFields, sentence
from storyreel.data.caption_quality import faults_of, repeated
from storyreel.data.caption_texts import GivenText, read_texts, to_vtt, write_edited
from storyreel.data.captions import CaptionRow
from storyreel.data.manifest import read_dropped, read_manifest, read_rows
from storyreel.data.segments import SegmentRow, SegmentsConfig
from storyreel.errors import DataError


@pytest.fixture(scope="module")
def segments(tmp_path_factory, film_writer, squares):
    """Two shots, of two segments and of one."""
    folder = tmp_path_factory.mktemp("captions")
    (folder / "films").mkdir()
    frames = [*squares(150, seed=1), *squares(80, seed=2)]
    film_writer(folder / "films" / "a.mp4", frames, 24)
    build(folder / "films", folder / "data", BuildConfig(segments=SegmentsConfig(width=64, height=48)), workers=1)
    rows = read_rows(folder / "data" / "segments", SegmentRow)
    assert len(rows) == 3
    return folder / "data" / "segments"


@pytest.fixture
def ids(segments):
    return [row.id for row in read_rows(segments, SegmentRow)]


FIELDS = {
    "setting": "A garden by day with a green hedge, a white bench and a brown path, all under a clear blue sky",
    "characters": [{"name": "Pip", "look": "a small grey mouse with a red scarf"}],
    "actions": ["Pip runs from the left to the bench, ears back.", "Pip jumps up and looks around with wide eyes."],
    "camera": "the camera stays at some distance",
}
ALL_TRUE = {"setting": True, "characters": True, "actions": True, "camera": True}


class Describer:
    """Answers both prompts; each description has its number in it. `wrong` are answers that go first."""

    def __init__(self, server, asked):
        self.server, self.asked, self.count, self.lock = server, asked, 0, threading.Lock()
        self.wrong_fields, self.verdicts, self.texts = [], [], []
        server.answer = self

    def __call__(self, request):
        with self.lock:
            text = self.asked(request)
            self.texts.append(text)
            if "Check these four" in text:
                return json.dumps(self.verdicts.pop(0) if self.verdicts else ALL_TRUE)
            if self.wrong_fields:
                return self.wrong_fields.pop(0)
            self.count += 1
            return json.dumps({**FIELDS, "camera": f"the camera stays, {self.count} steps away"})


@pytest.fixture
def describer(chat_server, asked, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    return Describer(chat_server, asked)


def caption(describer, segments, out, *more):
    line = ["data", "captions", str(segments), str(out), "--model", "openai:tiny", "--price", "0/0", "--at-once", "1"]
    return main([*line, "--base-url", describer.server.url, *more])


def test_every_segment_gets_fields_and_a_paragraph(describer, segments, tmp_path, capsys, ids):
    out = tmp_path / "captions"
    assert caption(describer, segments, out) == 0
    output = capsys.readouterr()
    assert "captions: 3 segments" in output.out
    assert "6 calls" in output.err
    rows = read_rows(out, CaptionRow)
    assert [row.id for row in rows] == ids
    assert rows[0].text == (
        "A garden by day with a green hedge, a white bench and a brown path, all under a clear blue sky. "
        "Pip is a small grey mouse with a red scarf. Pip runs from the left to the bench, ears back. "
        "Pip jumps up and looks around with wide eyes. The camera stays, 1 steps away."
    )
    assert rows[0].provenance == f"openai:tiny at {describer.server.url}, caption v1, verify v1"
    assert (rows[0].characters[0].name, rows[0].doubts, rows[0].faults) == ("Pip", (), ())
    first = describer.server.requests[0]["messages"][-1]["content"]
    pictures = [part for part in first if part["type"] == "image_url"]
    assert len(pictures) == 4
    assert pictures[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    befores = [re.search(r"<before>\n(.*)\n", text)[1] for text in describer.texts if "<before>" in text]
    assert befores == ["(nothing)", rows[0].text, "(nothing)"]
    assert json.loads((out / "quality.json").read_text())["faulty"] == 0
    for path in out.rglob("*"):
        assert not path.is_file() or b"sk-very-secret" not in path.read_bytes()


def test_run_again_it_does_nothing_and_an_edit_changes_what_follows(describer, segments, tmp_path, capsys, ids):
    out = tmp_path / "captions"
    assert caption(describer, segments, out) == 0
    before = read_manifest(out, "captions").content
    assert caption(describer, segments, out) == 0
    assert (len(describer.texts), read_manifest(out, "captions").content) == (6, before)
    write_edited(out, ids[0], GivenText("My own words.", "person"))
    assert caption(describer, segments, out) == 0
    assert read_rows(out, CaptionRow)[0].text == "My own words."
    assert len(describer.texts) == 8, "only the segment behind it is asked for, which now reads another text before"
    assert "My own words." in describer.texts[-2]


def test_a_field_that_is_not_confirmed_is_asked_for_again_and_then_told(describer, segments, tmp_path, capsys):
    no = {**ALL_TRUE, "actions": False, "wrong": "actions: it does not jump"}
    describer.verdicts = [no, ALL_TRUE, no, no]
    assert caption(describer, segments, tmp_path / "a", "--most-faulty", "0.5") == 0
    assert "was wrong in: actions (actions: it does not jump)" in describer.texts[2]
    rows = read_rows(tmp_path / "a", CaptionRow)
    assert [row.doubts for row in rows] == [(), ("actions",), ()]
    assert rows[1].faults == ("unverified",)
    describer.verdicts = [no] * 12
    assert caption(describer, segments, tmp_path / "b") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "3 of 3 captions are faulty (100%), more than --most-faulty 0.2" in error
    assert not (tmp_path / "b" / "manifest.json").exists()
    assert json.loads((tmp_path / "b" / "quality.json").read_text())["faults"]["unverified"] == 3
    asked = len(describer.texts)
    assert caption(describer, segments, tmp_path / "b", "--most-faulty", "1") == 0
    assert len(describer.texts) == asked


def test_a_wrong_answer_is_sent_back_and_a_failure_keeps_what_is_done(describer, segments, tmp_path, capsys):
    describer.wrong_fields = ["no", json.dumps({**FIELDS, "actions": []}), json.dumps(FIELDS), *["?"] * 3]
    assert caption(describer, segments, tmp_path / "a") == 1
    assert 'begins with "no"' in describer.texts[1]
    assert "actions: Tuple should have at least 1 item" in describer.texts[2]
    assert "gave no usable answer about" in capsys.readouterr().err.splitlines()[-1]
    asked = len(describer.texts)
    assert caption(describer, segments, tmp_path / "a") == 0
    assert len(describer.texts) == asked + 4


def test_a_run_that_would_cost_too_much_asks_nothing(describer, segments, tmp_path, capsys):
    assert caption(describer, segments, tmp_path / "a", "--price", "1000/1000") == 1
    assert "--max-cost is $1.00, but this takes about" in capsys.readouterr().err.splitlines()[-1]
    assert describer.texts == []
    assert caption(describer, segments, tmp_path / "a", "--price", "1000/1000", "--max-cost", "off") == 0
    assert len(describer.texts) == 6


def test_names_are_those_of_the_cast(describer, segments, tmp_path):
    (tmp_path / "cast.txt").write_text("Pop: a grey mouse\n")
    more = ("--cast", str(tmp_path / "cast.txt"), "--most-faulty", "1")
    assert caption(describer, segments, tmp_path / "a", *more) == 0
    assert read_rows(tmp_path / "a", CaptionRow)[0].faults == ()  # "Pip" only opens sentences
    describer.wrong_fields = [json.dumps({**FIELDS, "setting": FIELDS["setting"] + " where Pip lives"})]
    assert caption(describer, segments, tmp_path / "b", *more) == 0
    assert read_rows(tmp_path / "b", CaptionRow)[0].faults == ("unknown name",)


def test_texts_come_from_files_without_a_model(segments, tmp_path, ids, capsys):
    texts = [{"id": ids[0], "text": "One & <two>."}, {"id": ids[2], "text": "Three.", "provenance": "Ada"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, texts)))
    out = tmp_path / "captions"
    assert main(["data", "captions", str(segments), str(out), "--from", str(tmp_path / "t.jsonl")]) == 0
    rows = read_rows(out, CaptionRow)
    assert [(row.id, row.text, row.provenance) for row in rows] == [
        (ids[0], "One & <two>.", "import t.jsonl"), (ids[2], "Three.", "Ada"),
    ]  # fmt: skip
    assert [(one.id, one.reason) for one in read_dropped(out)] == [(ids[1], "no text")]
    assert read_manifest(out, "captions").account("segment").dropped == 1
    given = {row.id: GivenText(row.text, row.provenance) for row in rows}
    (tmp_path / "t.vtt").write_text(to_vtt(read_rows(segments, SegmentRow), given))
    assert read_texts(tmp_path / "t.vtt") == given
    assert main(["data", "captions", str(segments), str(tmp_path / "b"), "--from", str(tmp_path / "t.vtt")]) == 0
    assert read_rows(tmp_path / "b", CaptionRow) == rows


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"id": "x", "text": "One."}', "has 1 text of segments that are not there, x first"),
        ('{"id": "x", "text": "One."}\n{"id": "x", "text": "Two."}', "line 2: segment x is there twice"),
        ('\n{"id": "x"}', "line 2 is not of the form"),
        ("[1]", "line 1 is not of the form"),
        ("WEBVTT\n\n\n00:00.000 --> 00:03.000\nHello.", "line 4: the cue has no identifier"),
    ],
)
def test_files_that_cannot_be_joined_are_refused(segments, tmp_path, content, line, capsys):
    (tmp_path / "t").write_text(content)
    assert main(["data", "captions", str(segments), str(tmp_path / "c"), "--from", str(tmp_path / "t")]) == 1
    assert line in capsys.readouterr().err


def test_faults_of_texts():
    assert faults_of(" ", 10) == ["empty"]
    assert faults_of("A cat sits.", 10) == []
    assert faults_of("A cat sits and", 10) == ["cut"]
    assert faults_of("A cat. " * 6, 10) == ["looping", "too long"]
    assert faults_of("A cat looks at Bob. Then Tom runs.", 10, ["Tom"]) == ["unknown name"]
    assert faults_of("A cat looks at Big Tom.", 10, ["Big Tom"]) == []
    rows = [{"id": own, "text": text} for own, text in (("b", "A cat!"), ("a", "a cat."), ("c", "A dog."))]
    assert repeated(rows) == {"b": "a"}


def test_paragraphs_are_sentences():
    assert sentence("the cat\n runs") == "The cat runs."
    fields = CaptionFields.model_validate({**FIELDS, "characters": [{"name": "the dog", "look": "a brown dog"}]})
    assert "The dog is a brown dog. Pip runs" in fields.paragraph()


def test_a_page_full_of_faults_stops_the_run_on_its_way():
    from storyreel.data.captions import _Tally

    tally = _Tally(0.2)
    for _ in range(19):
        tally.add(True)
    with pytest.raises(DataError, match="20 of 20 captions are faulty"):
        tally.add(True)


def test_frames_are_spread_over_the_segment(segments):
    from io import BytesIO

    from PIL import Image

    from storyreel.data.captioner import sampled_frames

    row = read_rows(segments, SegmentRow)[1]
    frames = [np.asarray(Image.open(BytesIO(own))) for own in sampled_frames(segments, row, 4, 32)]
    assert [own.shape for own in frames] == [(24, 32, 3)] * 4
    assert all((one != two).any() for one, two in pairwise(frames))


def test_shots_are_asked_for_at_the_same_time(describer, segments, tmp_path):
    both = threading.Barrier(2)
    answer = describer.server.answer

    def together(request):
        if "<before>\n(nothing)" in describer.asked(request):
            both.wait(20)
        return answer(request)

    describer.server.answer = together
    assert caption(describer, segments, tmp_path / "a", "--at-once", "2") == 0
    assert len(read_rows(tmp_path / "a", CaptionRow)) == 3


@pytest.mark.parametrize("command", ["captions", "annotate"])
def test_help_has_an_example(command, capsys):
    assert main(["data", command, "--help"]) == 0
    assert f"Example: storyreel data {command} " in capsys.readouterr().out
