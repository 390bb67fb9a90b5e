"""A plot, a language model over real HTTP, a storyboard: stages, locks, errors, money."""

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storyreel.cli.main import main
from storyreel.storyboard.reader import read_storyboard

PLOT = "A cat eats a pie in the kitchen. A mouse watches. The mouse steals the pie and runs away. The cat chases it."
LINE = ["write", "plot.txt", "--out", "s.json", "--seconds", "9", "--writer", "openai:tiny", "--price", "0/0"]


class Author:
    """Answers each prompt well, unless the test has put something else into `wrong` for its turn."""

    def __init__(self, server, asked):
        self.server, self.asked, self.wrong, self.questions = server, asked, {}, []
        server.answer = self

    def __call__(self, request):
        said = self.asked(request)
        if said.startswith("That answer cannot be used"):
            self.questions.append(("again", said))
            said = request["messages"][1]["content"]
        kind = next(word for word in ("Retell this", "Plan exactly", "Write the paragraph") if word in said)
        number = int((re.search(r"paragraph of segment (\d+)", said) or ["", "0"])[1])
        self.questions.append((kind, number))
        wrong = self.wrong.get((kind, number), self.wrong.get(kind, []))
        return wrong.pop(0) if wrong else self.good(kind, number, said)

    def good(self, kind, number, said):
        if kind == "Retell this":
            return json.dumps({"title": "Pie", "sentences": ["The cat eats."] * 3})
        if kind == "Plan exactly":
            count = int(re.search(r"exactly (\d+)", said)[1])
            numbers = range(1, count + 1)
            beats = [{"sentence": i, "place": "kitchen", "scene_start": False, "text": "It eats."} for i in numbers]
            look = {"name": "Biscuit", "look": "an orange cat"}
            places = [{"name": "kitchen", "look": "a clean white kitchen"}]
            return json.dumps({"characters": [look], "places": places, "beats": beats})
        deed = {1: "eats a pie", 2: "sleeps on a chair", 3: "runs to the left", 4: "jumps high", 5: "laughs loud"}
        return json.dumps({"text": paragraph(deed.get(number, f"takes the ball {number}"))})

    def paragraphs(self):
        return [number for kind, number in self.questions if kind == "Write the paragraph"]


def paragraph(deed):
    return f"It is day in the kitchen. Biscuit the orange cat {deed}. The camera stays still."


@pytest.fixture
def author(chat_server, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    Path("plot.txt").write_text(PLOT)
    return Author(chat_server, asked)


def write(author, *more):
    return main([*LINE, "--base-url", author.server.url, *more])


def test_three_formats_are_saved_and_the_second_run_asks_nothing(author, capsys):
    assert write(author) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == "s.json: 3 segments, 9 s, written by openai:tiny"
    assert "about $0.00" in output.err
    board = read_storyboard("s.json")
    assert [own.text for own in board.segments] == [
        paragraph("eats a pie"), paragraph("sleeps on a chair"), paragraph("runs to the left"),
    ]  # fmt: skip
    assert [own.scene_start for own in board.segments] == [True, False, False]
    assert [kind for kind, _ in author.questions] == ["Retell this", "Plan exactly", *["Write the paragraph"] * 3]
    names = sorted(path.name for path in Path("s.stages").iterdir())
    assert names == ["1.plot.json", "2.beats.json", "answers", "made.json"]
    assert json.loads(Path("s.stages/1.plot.json").read_text())["title"] == "Pie"
    asked = len(author.questions)
    assert write(author) == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert len(author.questions) == asked
    for path in Path().rglob("*"):
        assert not path.is_file() or "sk-very-secret" not in path.read_text()


def test_the_key_is_in_no_file_and_no_line(author, capsys):
    assert write(author) == 0
    said = capsys.readouterr()
    assert "sk-very-secret" not in said.out + said.err
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not any(b"sk-very-secret" in path.read_bytes() for path in files)
    assert set(author.server.keys) == {"Bearer sk-very-secret"}


def test_each_paragraph_sees_those_before_and_the_models_words(author):
    assert write(author) == 0
    last = author.server.requests[-1]["messages"][-1]["content"]
    assert f"1. {paragraph('eats a pie')}\n2. {paragraph('sleeps on a chair')}" in last
    assert "Biscuit: an orange cat" in last
    assert " wheelbarrow " in last


def test_wrong_answers_are_sent_back_with_what_is_wrong(author, capsys):
    good = author.good("Plan exactly", 0, "exactly 3")
    author.wrong = {
        "Retell this": ["no JSON at all"],
        "Plan exactly": [author.good("Plan exactly", 0, "exactly 2"), good.replace('"place": "kit', '"place": "Kit')],
        ("Write the paragraph", 2): [
            json.dumps({"text": "He sings. <end_scene>"}),
            json.dumps({"text": "The dragon sings."}),
        ],
    }
    assert write(author) == 0
    back = [said for kind, said in author.questions if kind == "again"]
    assert 'begins with "no JSON at all"' in back[0]
    assert "it has 2 beats, but must have exactly 3" in back[1]
    assert 'beat 1 is in "Kitchen", which is not in the list' in back[2]
    assert "cannot look up who that is" in back[3]
    assert 'does not know "dragon"' in back[4]
    assert read_storyboard("s.json").segments[1].text == paragraph("sleeps on a chair")


def test_what_is_only_doubtful_after_three_tries_is_taken_and_told(author, capsys):
    author.wrong = {("Write the paragraph", 2): [json.dumps({"text": paragraph("fries a dragon")})] * 3}
    assert write(author) == 0
    assert 'segment 2: this model does not know "dragon"' in capsys.readouterr().err
    assert "dragon" in read_storyboard("s.json").segments[1].text


def test_three_useless_answers_stop_the_run_and_the_same_line_goes_on(author, capsys):
    author.wrong = {("Write the paragraph", 3): ["?"] * 3}
    assert write(author) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("storyreel: openai:tiny at http://127.0.0.1")
    assert "gave no usable answer about segment 3 in 3 tries" in error
    assert not Path("s.json").exists()
    author.questions.clear()
    assert write(author) == 0
    assert author.paragraphs() == [3], "what was answered before is not asked again"


def test_a_provider_that_fails_is_one_line(author, capsys):
    author.wrong = {("Write the paragraph", 2): [(401, {}, {"error": {"message": "key sk-very-secret is wrong"}})]}
    assert write(author) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].endswith("Check it, and that it may use tiny.")
    assert "sk-very-secret" not in error
    assert Path("s.stages/2.beats.json").exists()


def test_locked_segments_stay_and_are_not_asked_for(author):
    assert write(author) == 0
    board = json.loads(Path("s.json").read_text())
    board["segments"][1] |= {"text": "My own words.", "locked": True}
    Path("s.json").write_text(json.dumps(board))
    author.questions.clear()
    assert write(author, "--seed", "1") == 0
    assert author.paragraphs() == [1, 3]
    assert read_storyboard("s.json").segments[1].text == "My own words."
    assert "My own words." in author.server.requests[-1]["messages"][-1]["content"]


def test_edits_are_gone_on_from_or_refused_before_anything_is_asked(author, capsys):
    assert write(author) == 0
    beats = Path("s.stages/2.beats.json")
    stage = json.loads(beats.read_text())
    stage["beats"][1]["text"] = "The cat jumps."
    beats.write_text(json.dumps(stage))
    author.questions.clear()
    assert write(author) == 0
    assert author.paragraphs() == [1, 2, 3]
    assert "2. The cat jumps." in author.server.requests[-1]["messages"][-1]["content"]
    Path("plot.txt").write_text(PLOT.replace("pie", "cake"))
    author.questions.clear()
    assert write(author) == 1
    assert "2.beats.json was edited, and so was what it is made from" in capsys.readouterr().err
    assert author.questions == []


def test_a_plot_of_the_right_length_is_kept_as_it_is(author):
    Path("plot.txt").write_text("A cat eats. A mouse watches. The cat sleeps.")
    assert write(author) == 0
    assert author.questions[0][0] == "Plan exactly"


def test_the_price_is_known_or_asked_for_and_the_limit_kept(author, capsys):
    unknown = [own for own in LINE if own not in ("--price", "0/0")] + ["--base-url", author.server.url]
    assert main(unknown) == 1
    assert "the price of this model is not known" in capsys.readouterr().err
    assert main([*LINE[:-1], "1000/5000", "--base-url", author.server.url]) == 1
    assert "but this takes about $" in capsys.readouterr().err
    assert author.questions == []
    assert main([*unknown, "--max-cost", "off"]) == 0


def test_rules_after_a_model_begin_anew(author):
    assert write(author) == 0
    assert main(["write", "plot.txt", "--out", "s.json", "--seconds", "9"]) == 0
    assert "shot" in Path("s.stages/2.beats.json").read_text()
    assert write(author) == 0
    assert "characters" in Path("s.stages/2.beats.json").read_text()


def test_ctrl_c_keeps_what_is_done_and_the_same_line_goes_on(author):
    arrived, leave = threading.Event(), threading.Event()

    def slow(kind, number, said, good=author.good):
        if (kind, number) == ("Write the paragraph", 2) and not leave.is_set():
            arrived.set()
            leave.wait(30)
        return good(kind, number, said)

    author.good = slow
    code = "import sys; from storyreel.cli.entry import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *LINE, "--base-url", author.server.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert arrived.wait(60)
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=60)[1]
        finally:
            leave.set()
            process.kill()
    assert process.returncode == 130
    last = error.splitlines()[-1]
    assert last == "storyreel: stopped. What is saved stays; the same line goes on from it."
    assert "Traceback" not in error
    assert Path("s.stages/2.beats.json").exists()
    assert not Path("s.json").exists()
    author.questions.clear()
    assert write(author) == 0
    assert author.paragraphs() == [2, 3]
