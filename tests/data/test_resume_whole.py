"""Killed at random moments, the command line goes on: captions by a model, and a whole build with captions in between.

Every command is the real one, ended by SIGKILL; the language model's server answers as a function of what it is asked.
"""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time

import pytest

from storyreel.data.build import BuildConfig
from storyreel.data.build import run as build
from storyreel.data.manifest import MANIFEST
from storyreel.data.segments import SegmentsConfig
from storyreel.toons.writer import write_stories

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

STEPS = ("probe", "scenes", "segments", "captions", "latents", "embeddings", "assembled")
NO_RESULTS = ("seen.json", ".lock")
# Forks what it runs, so that the libraries are imported once. A line is a job: command lines and, of the time that they
# take unbroken, when to kill them; the answer is their exit statuses, and how many were killed before their end.
FORKING = """
import json, os, signal, sys, time, warnings
import diffusers.models.autoencoders.autoencoder_kl_cogvideox, openai, pydantic_ai.models.openai, torch
from storyreel.cli.main import main
from storyreel.data import build_examples, captions

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message=".*fork.*")
told, log = os.dup(1), os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(log, 1), os.dup2(log, 2)

def run(commands, delay=None):
    child = os.fork()
    if not child:
        os._exit(max(map(main, commands)))
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

for line in sys.stdin:
    unbroken, broken, moments = json.loads(line)
    start = time.monotonic()
    statuses = [run(unbroken)]
    seconds = time.monotonic() - start
    killed = sum(os.WIFSIGNALED(run(broken, moment * seconds)) for moment in moments)
    statuses.append(run(broken))
    os.write(told, (json.dumps([statuses, killed]) + chr(10)).encode())
"""
ONE_BY_ONE = "import json, sys; from storyreel.cli.main import main; [main(own) for own in json.loads(sys.argv[1])]"


def hashes(folder):
    """SHA-256 of every file that is a result."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in NO_RESULTS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def server(chat_server, asked, monkeypatch):
    """Describes as a function of text and pictures; one answer in four is not usable, one verdict in four objects."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")

    def answer(request):
        digest = hashlib.sha256(json.dumps(request["messages"][-1]["content"]).encode()).digest()
        time.sleep(0.01)
        if "Check these four" in asked(request):
            fine = digest[0] % 4 > 0
            return json.dumps({"setting": True, "characters": True, "actions": fine, "camera": True})
        if digest[0] % 4 == 0 and len(request["messages"]) < 4:
            return "I see a garden."
        place, colour = (words[digest[1] % 3] for words in (["garden", "kitchen", "street"], ["red", "blue", "green"]))
        return json.dumps(
            {
                "setting": f"A {place} by day with a {colour} wall behind it, a table on the left and a lamp over it",
                "characters": [{"name": "Pip", "look": f"a small grey mouse with a {colour} scarf"}],
                "actions": [f"Pip takes {digest[2]} steps to the table, ears back.", "Pip jumps up and looks around."],
                "camera": f"the camera stays {digest[3]} steps away",
            }
        )

    chat_server.answer = answer
    return chat_server


def captions_line(segments, output, server):
    asking = ["--model", "openai:tiny", "--price", "0/0", "--base-url", server.url, "--most-faulty", "1"]
    return ["data", "captions", str(segments), str(output), *asking]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    write_stories(folder, 2, 9, 64, 96, seed=5, workers=1)
    return folder


def build_lines(films, output, model, server, workers):
    line = ["data", "build", str(films), str(output), "--size", "48x32", "--workers", str(workers)]
    captions = captions_line(output / "segments", output / "captions", server)
    return [line, captions, [*line, "--model", str(model), "--stages", "3", "9", "--device", "cpu"]]


@pytest.fixture(scope="module")
def forking(tmp_path_factory):
    """A process that runs lines of commands unbroken, then others killed at moments (shares of that time)."""
    log = tmp_path_factory.mktemp("log") / "log.txt"
    arguments = [sys.executable, "-c", FORKING, str(log)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, heard = process.stdin, process.stdout

        def run(unbroken, broken, kills, seed):
            chance = random.Random(seed)
            moments = [chance.uniform(0.02, 0.35) for _ in range(kills)]
            print(json.dumps([unbroken, broken, moments]), file=told, flush=True)
            statuses, killed = json.loads(heard.readline() or "[[1], 0]")
            assert statuses == [0, 0], log.read_text()
            return killed

        yield run
        process.kill()


def test_captions_killed_again_and_again(films, server, forking, tmp_path):
    build(films, tmp_path, BuildConfig(segments=SegmentsConfig(width=48, height=32)), workers=1)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    killed = forking(*[[captions_line(tmp_path / "segments", out, server)] for out in (unbroken, broken)], 6, seed=1)
    assert killed >= 2
    assert hashes(broken) == hashes(unbroken)
    assert len(list(broken.glob("answers/*.json"))) >= 12


def test_a_whole_build_killed_again_and_again(films, model, server, forking, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    killed = forking(*[build_lines(films, out, model, server, 1) for out in (unbroken, broken)], 7, seed=2)
    assert killed >= 2
    assert {f"{step}/{MANIFEST}" for step in STEPS} <= set(hashes(broken))
    assert hashes(broken) == hashes(unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_a_whole_build_of_many_processes_killed_many_times(films, model, server, tmp_path, seed):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", ONE_BY_ONE, json.dumps(build_lines(films, unbroken, model, server, 2))])
    seconds = time.monotonic() - start
    commands = json.dumps(build_lines(films, broken, model, server, 2))
    chance, killed, stages = random.Random(seed), 0, set()
    while killed < 8:
        with subprocess.Popen([sys.executable, "-c", ONE_BY_ONE, commands], stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(chance.uniform(0.05, 0.6) * seconds)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
        stages.add(sum((broken / step / MANIFEST).exists() for step in STEPS))
    subprocess.run([sys.executable, "-c", ONE_BY_ONE, commands], check=True)
    assert len(stages) >= 2, "the kills hit several steps"
    assert {f"{step}/{MANIFEST}" for step in STEPS} <= set(hashes(broken))
    assert hashes(broken) == hashes(unbroken)
