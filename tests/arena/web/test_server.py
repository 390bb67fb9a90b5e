"""The real server on a real socket: slow clients, many sockets, and the command that starts it."""

import http.client
import logging
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from storyreel.arena.web.hosting import read_secrets, read_storyboards, study_with_gold
from storyreel.arena.web.protocol import ImpatientProtocol
from storyreel.arena.web.server import HOST
from storyreel.cli.main import main
from storyreel.errors import DataError


def ask(port, path="/"):
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, {name.lower() for name, _ in answer.getheaders()}
    answer.read()
    connection.close()
    return found


def test_17_slow_clients_are_let_go_and_others_served(site, serving, monkeypatch):
    monkeypatch.setattr(ImpatientProtocol, "header_seconds", 0.5)
    with serving(site) as port:
        silent, dribbling = (socket.create_connection((HOST, port)) for _ in range(2))
        dribbling.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert ask(port)[0] == 200
        begun = time.monotonic()
        for slow in (silent, dribbling):
            slow.settimeout(10)
            assert slow.recv(100) == b"", "the server hangs up"
            slow.close()
        assert time.monotonic() - begun < 8


def test_17_a_head_without_end_is_cut_off(site, serving):
    with serving(site) as port, socket.create_connection((HOST, port)) as endless:
        endless.settimeout(10)
        sent = 0
        endless.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012
            while sent < 100 << 20:
                sent += endless.send(b"X-More: " + b"x" * 8000 + b"\r\n")
        assert sent < 8 << 20
        assert ask(port)[0] == 200


def test_17_one_who_does_not_read_is_let_go(site, serving, monkeypatch):
    monkeypatch.setattr(ImpatientProtocol, "send_seconds", 0.5)
    rater = site.rater()
    cookie, path = rater.client.cookies["storyreel"], rater.clip_paths()[0]
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: storyreel={cookie}\r\n\r\n".encode()
    with serving(site) as port, socket.create_connection((HOST, port)) as idle:
        idle.settimeout(10)
        with pytest.raises((ConnectionError, TimeoutError)):  # noqa: PT012
            for _ in range(100_000):
                idle.sendall(request)
            pytest.fail("everything was taken from one who reads nothing")
        time.sleep(1)
        with pytest.raises(ConnectionError):  # noqa: PT012
            while idle.recv(1 << 20):
                pass
            raise ConnectionResetError
        site.time.now += 60
        assert ask(port)[0] == 200


def test_17_a_body_that_does_not_come_is_not_waited_for(site, serving, monkeypatch):
    monkeypatch.setattr("storyreel.arena.web.bodies.BODY_SECONDS", 0.3)
    cookie = site.rater().client.cookies["storyreel"]
    with serving(site) as port, socket.create_connection((HOST, port)) as slow:
        head = f"POST /play HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nCookie: storyreel={cookie}\r\n"
        slow.sendall((head + "Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{").encode())
        slow.settimeout(10)
        assert b" 408 " in slow.recv(4096).splitlines()[0]


def test_17_two_thousand_open_sockets(site, serving):
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 4500:
        pytest.skip("this system allows a process too few open files (ulimit -n) for 2,000 connections")
    with serving(site) as port:
        held = [socket.create_connection((HOST, port), timeout=20) for _ in range(2000)]
        try:
            status, headers = ask(port)
            assert status == 200
            assert not {"server", "date", "etag"} & headers
        finally:
            for one in held:
                one.close()


def test_20_requests_are_not_logged(site, serving, caplog, capfd):
    """Their addresses may hold a participant's id."""
    with serving(site) as port:
        logging.getLogger("uvicorn.access").propagate = logging.getLogger("uvicorn").propagate = True
        assert ask(port, "/i/invitation-of-tests?PROLIFIC_PID=5f0c0ffee5f0c0ff")[0] == 303
        assert ask(port, "/5f0c0ffee5f0c0ff")[0] == 404
    told = capfd.readouterr()
    assert "5f0c0ffee5f0c0ff" not in caplog.text + told.out + told.err


def test_one_command_opens_a_study_and_the_same_goes_on(drawn, tmp_path):
    for at, method in enumerate(("one", "two")):
        drawn(tmp_path / "videos" / method / "story.mp4", 1, seed=at)
    command = "import sys; from storyreel.cli.main import main; sys.exit(main(sys.argv[1:]))"
    work = tmp_path / "work"
    printed = []
    for _ in range(2):
        arguments = ["arena", "serve", "--videos", str(tmp_path / "videos"), "--work", str(work), "--port", "0"]
        process = subprocess.Popen(
            [sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        port = int(re.findall(r":(\d+)/", lines[0])[0])
        path = re.findall(r"(/i/\S+)", lines[0])[0]
        assert ask(port, path)[0] == 303
        assert ask(port, "/i/wrong")[0] == 404
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "0 votes so far" in rest
        printed.append((path, lines[1]))
    assert printed[0][0] == printed[1][0], "the invitation stays"
    assert "/admin#" in printed[0][1]
    assert "/admin " in printed[1][1], "the secret is printed once"
    assert (work / "secrets.json").stat().st_mode & 0o077 == 0


def test_secrets_come_from_the_environment_before_the_file(tmp_path):
    made = read_secrets(tmp_path, {})
    assert made.fresh
    again = read_secrets(tmp_path, {"STORYREEL_ARENA_ADMIN_SECRET": "of the environment, long"})
    assert (again.admin_secret, again.key, again.fresh) == ("of the environment, long", made.key, False)
    assert read_secrets(tmp_path, {}).admin_secret == made.admin_secret
    assert made.derived("store") != made.derived("pages")
    with pytest.raises(DataError, match="fewer than 32"):
        read_secrets(tmp_path, {"STORYREEL_ARENA_KEY": "short"})
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(DataError, match="Put back"):
        read_secrets(tmp_path, {})


def test_gold_pairs_and_storyboards_from_folders(drawn, tmp_path):
    for method in ("one", "two"):
        drawn(tmp_path / "videos" / method / "story.mp4", 1)
    for side in ("better", "worse"):
        drawn(tmp_path / "gold" / side / "known.mp4", 1)
    study, videos = study_with_gold(tmp_path / "videos", tmp_path / "gold", {"ties": True})
    assert [gold.story for gold in study.gold] == ["known"]
    assert study.ties
    assert len(videos) == 4
    boards = tmp_path / "boards"
    boards.mkdir()
    (boards / "story.txt").write_text("A cat bakes.\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"neither known\.json nor known\.txt"):
        read_storyboards(boards, study)
    (boards / "known.txt").write_text("A dog sleeps.", encoding="utf-8")
    assert read_storyboards(boards, study) == {"story": "A cat bakes.", "known": "A dog sleeps."}
    (tmp_path / "gold" / "worse" / "known.mp4").unlink()
    with pytest.raises(DataError, match="a folder better and a folder worse"):
        study_with_gold(tmp_path / "videos", tmp_path / "gold", {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--axes", "beauty"], "--axes is beauty, but axes are text_following"),
        (["--public-url", "arena.example.org"], "Try https://arena.example.org"),
        (["--prolific"], "completion code"),
        (["--prolific-keys", "keys.json"], "--prolific-keys needs --prolific"),
    ],
)
def test_a_mistake_is_one_line(options, told, drawn, tmp_path, capsys):
    for method in ("one", "two"):
        drawn(tmp_path / "videos" / method / "story.mp4", 1)
    work = str(tmp_path / "work")
    assert main(["arena", "serve", "--videos", str(tmp_path / "videos"), "--work", work, *options]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
