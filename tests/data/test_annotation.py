"""The annotation page over real HTTP: what it shows, saves and refuses."""

import http.client
import io
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager

import av
import pytest

from storyreel.cli.main import main
from storyreel.data.annotation.app import HOST, POLICY, make_server, open_port
from storyreel.data.annotation.desk import Desk
from storyreel.data.build import BuildConfig
from storyreel.data.build import run as build
from storyreel.data.caption_texts import read_edited
from storyreel.data.captions import CaptionRow
from storyreel.data.manifest import read_rows
from storyreel.data.segments import SegmentRow, SegmentsConfig
from storyreel.errors import DataError

TOKEN = "a-token-of-the-test"
NASTY = '</textarea><script>alert("&")</script> é'


@pytest.fixture(scope="module")
def data(tmp_path_factory, film_writer, squares):
    folder = tmp_path_factory.mktemp("annotation")
    (folder / "films").mkdir()
    film_writer(folder / "films" / "a<b>.mp4", [*squares(150, seed=1), *squares(80, seed=2)], 24)
    build(folder / "films", folder, BuildConfig(segments=SegmentsConfig(width=64, height=48)), workers=1)
    return folder


@pytest.fixture
def segments(data):
    return data / "segments"


@pytest.fixture
def ids(segments):
    return [row.id for row in read_rows(segments, SegmentRow)]


class Page:
    def __init__(self, port):
        self.port = port

    def ask(self, verb, path, body=None, token=TOKEN, **headers):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(verb, f"/{token}{path}", body.encode() if body is not None else None, names)
        response = connection.getresponse()
        found = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return found

    def text(self, path):
        status, _, body = self.ask("GET", path)
        assert status == 200
        return body.decode()

    def put(self, path, body, **headers):
        status, _, answer = self.ask("PUT", path, body, **headers)
        return status, json.loads(answer)


@contextmanager
def served(desk, folder):
    with open_port(0) as own:
        server = make_server(desk, TOKEN, folder)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Page(own.getsockname()[1])
        server.should_exit = True
        thread.join()


@pytest.fixture
def captions(segments, tmp_path, ids):
    """Drafts for the first two segments."""
    texts = [{"id": ids[0], "text": NASTY, "provenance": "a model"}, {"id": ids[1], "text": "Two.", "provenance": "m"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, texts)))
    line = ["data", "captions", str(segments), str(tmp_path / "captions"), "--from", str(tmp_path / "t.jsonl")]
    assert main([*line, "--most-faulty", "1"]) == 0
    return tmp_path / "captions"


@pytest.fixture
def page(segments, captions, tmp_path):
    with served(Desk(segments, captions, "Ada"), tmp_path / "clips") as opened:
        yield opened


def test_the_overview_lists_every_segment_with_its_state(page, ids):
    text = page.text("/")
    assert text.count('class="draft"') == 2
    assert text.count('class="none"') == 1
    assert all(f"/segment/{own}" in text for own in ids)
    assert "a&lt;b&gt;.mp4" in text
    assert "<script>alert" not in text


def test_a_segment_shows_its_clip_its_draft_and_what_was_before(page, ids, segments):
    first, second, third = (page.text(f"/segment/{own}") for own in ids)
    assert "&lt;/textarea&gt;&lt;script&gt;alert(&#34;&amp;&#34;)&lt;/script&gt; é" in first
    assert "<script>alert" not in first
    assert "The 3 seconds before" in second
    assert "Draft by m" in second
    assert "Draft by" not in third
    assert "The 3 seconds before" not in third, "it begins another shot"
    for own in ids:
        status, headers, clip = page.ask("GET", f"/clip/{own}.mp4")
        assert (status, headers["content-type"]) == (200, "video/mp4")
        with av.open(io.BytesIO(clip)) as video:
            frames = [frame.pts * frame.time_base for frame in video.decode(video=0)]
        assert len(frames) == 49
        assert frames[0] == 0
    status, headers, part = page.ask("GET", f"/clip/{ids[0]}.mp4", Range="bytes=0-9")
    assert (status, len(part)) == (206, 10)
    assert page.ask("GET", f"/thumb/{ids[0]}.jpg")[2].startswith(b"\xff\xd8")


def test_a_clip_shows_the_frames_of_its_segment(page, ids, segments):
    from storyreel.data.takes import read_take

    row = read_rows(segments, SegmentRow)[1]
    with av.open(io.BytesIO(page.ask("GET", f"/clip/{row.id}.mp4")[2])) as video:
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    kept = list(read_take(segments / row.take, row.first_frame, row.first_frame + 48))
    assert all((one == two).all() for one, two in zip(shown, kept, strict=True))


def test_texts_are_saved_with_who_wrote_them_and_taken_back(page, ids, captions):
    status, answer = page.put(f"/segment/{ids[1]}", " My \n words. ")
    assert (status, answer) == (200, {"by": "person: Ada, from m", "words": 2, "written": 1})
    kept = json.loads((captions / "edited" / f"{ids[1]}.json").read_text())
    assert kept == {"text": "My words.", "provenance": "person: Ada, from m"}
    assert "My words." in page.text(f"/segment/{ids[1]}")
    assert page.put(f"/segment/{ids[2]}", "Three.")[1]["by"] == "person: Ada"
    assert page.put(f"/segment/{ids[1]}", "Two.")[1] == {"by": None, "words": 1, "written": 1}
    assert not (captions / "edited" / f"{ids[1]}.json").exists()
    assert page.put(f"/segment/{ids[1]}?accept", "Two.")[1]["by"] == "person: Ada, accepted m"
    assert page.put(f"/segment/{ids[1]}", "")[1]["by"] is None
    assert sorted(read_edited(captions)) == [ids[2]]


def test_it_works_without_a_script_too(page, ids, captions):
    status, headers, _ = page.ask("POST", f"/segment/{ids[0]}", "text=One%26+two.&accept=yes")
    assert (status, headers["location"]) == (303, f"/{TOKEN}/segment/{ids[1]}")
    assert read_edited(captions)[ids[0]].text == "One& two."


def test_the_step_takes_what_people_wrote(page, ids, captions, segments, tmp_path):
    page.put(f"/segment/{ids[1]}", "Mine.")
    assert main(["data", "captions", str(segments), str(captions), "--from", str(tmp_path / "t.jsonl"),
                 "--most-faulty", "1"]) == 0  # fmt: skip
    rows = read_rows(captions, CaptionRow)
    assert [(row.text, row.provenance) for row in rows] == [(NASTY, "a model"), ("Mine.", "person: Ada, from m")]
    assert list(Desk(segments, captions).drafts) == [ids[0]]


def test_webvtt_goes_out_and_in(page, ids, segments, tmp_path):
    page.put(f"/segment/{ids[2]}", "Three <b>.")
    status, headers, out = page.ask("GET", f"/texts/{ids[0][:16]}.vtt")
    assert (status, headers["content-type"]) == (200, "text/vtt; charset=utf-8")
    text = out.decode()
    assert f"NOTE by person: Ada\n\n{ids[2]}\n00:00:0" in text
    assert "Three &lt;b&gt;." in text
    assert page.put("/texts", text) == (200, {"taken": 0, "texts": 3})
    assert page.put("/texts", text.replace("Two.", "Two, changed."))[1] == {"taken": 1, "texts": 3}
    assert "by person: Ada, by file" in page.text(f"/segment/{ids[1]}")
    status, answer = page.put("/texts", text.replace(ids[0], "nobody"))
    assert (status, answer["error"].split(",")[0]) == (400, "the file has 1 text of segments that are not there")
    assert page.put("/texts", "what?")[1]["error"].startswith("the file, line 1 is not of the form")


def test_strangers_are_refused(page, ids, captions):
    assert page.ask("GET", "/", token="guess")[0] == 404
    assert page.ask("GET", "/", Host="evil.example")[0] == 400
    assert page.ask("PUT", f"/segment/{ids[0]}", "Evil.", Origin="http://evil.example")[0] == 403
    assert page.ask("PUT", f"/segment/{ids[0]}", "Good.", Origin=f"http://{HOST}:{page.port}")[0] == 200
    assert page.ask("GET", "/segment/..%2f..%2fmanifest")[0] == 404
    assert page.ask("GET", "/clip/nobody.mp4")[0] == 404
    assert page.ask("GET", "/static/app.py")[0] == 404
    _, headers, _ = page.ask("GET", "/")
    assert headers["content-security-policy"] == POLICY
    assert "'unsafe" not in POLICY
    assert headers["referrer-policy"] == "no-referrer"
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        status, headers, _ = page.ask("GET", f"/static/{name}")
        assert status == 200
        assert headers["content-type"].startswith(kind)


def test_many_at_once_leave_whole_files(page, ids, captions):
    def write(number):
        page.put(f"/segment/{ids[number % 3]}", f"Text {number}.")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_edited(captions)) == sorted(ids)
    assert [path.name for path in (captions / "edited").glob(".*")] == []


def test_without_drafts_the_page_alone_serves(segments, tmp_path, ids):
    with served(Desk(segments, tmp_path / "none"), tmp_path / "clips") as page:
        assert page.text("/").count('class="none"') == 3
        assert page.put(f"/segment/{ids[0]}", "Mine.")[1]["by"] == "person"
    assert main(["data", "captions", str(segments), str(tmp_path / "none")]) == 0
    assert [row.text for row in read_rows(tmp_path / "none", CaptionRow)] == ["Mine."]


def test_a_port_that_is_taken_is_one_line():
    with open_port(0) as own:
        own.listen()
        with pytest.raises(DataError, match="Choose another --port"):
            open_port(own.getsockname()[1])


def test_the_command_prints_its_address_and_ends_with_ctrl_c(segments, tmp_path):
    code = "import sys; from storyreel.cli.entry import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "data", "annotate", str(segments), str(tmp_path / "c"), "--by", "Ada"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=60) as response:
                assert b"Texts of segments" in response.read()
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, error
    assert error == ""
    assert f"{tmp_path / 'c'}: 0 texts by people" in out
