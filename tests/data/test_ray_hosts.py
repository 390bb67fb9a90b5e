"""A build on a Ray cluster of three hosts: network namespaces on a bridge, each with a name and a /tmp/ray of its own.

The first host has no cores for items, so that all of them run on the others; the disk is shared, as it has to be.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import storyreel
from storyreel.cli.main import main
from storyreel.toons.writer import write_stories

pytestmark = pytest.mark.slow

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs ray: pip install '.[ray]'", allow_module_level=True)
if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
    pytest.skip("needs Linux, root, iproute2 and util-linux, to make hosts on a bridge", allow_module_level=True)

HEAD = "10.77.91.1:6379"
NO_RESULTS = ("seen.json", ".lock")
# A machine begins when its cable is plugged in, which is told by a line.
BEGIN = "hostname $0; for own in /tmp/ray /dev/shm; do mkdir -p $own; mount -t tmpfs none $own; done; read; exec"
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
# `map` of a function that sleeps, so that every core gets some.
WHERE = """
import json, socket, sys, time
from storyreel.data import ray_cluster
def where(number):
    time.sleep(1)
    return socket.gethostname()
ray_cluster.connect(sys.argv[1])
print(json.dumps(sorted(set(ray_cluster.each_on_ray()(where, range(8), None)))))
"""
COMMAND = "import sys; from storyreel.cli.entry import main; sys.exit(main())"


class Host:
    """A process in namespaces of its own, with the address 10.77.91.NUMBER on the bridge."""

    def __init__(self, bridge, name, number, command, environment, log):
        self.log, self.environment = log, environment
        line = ["unshare", "--net", "--mount", "--uts", "--ipc", "bash", "-c", f'{BEGIN} "$@"', name, *command]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=environment, text=True
            )
        wait_until(self.is_apart)
        self.space = space(self.process.pid)
        assert self.space
        cable = f"{bridge}{name}"
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(self.process.pid))
        ip("link", "set", cable, "master", bridge, "up")
        for own in (["addr", "add", f"10.77.91.{number}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            subprocess.run(self.inside("ip", *own), check=True)
        subprocess.run(self.inside("ip", "link", "set", "lo", "up"), check=True)
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.close()

    def inside(self, *command):
        return ["nsenter", "-t", str(self.process.pid), "-n", "-m", "-u", "-i", *command]

    def is_apart(self):
        """Whether it has left our network by now."""
        assert self.process.poll() is None, self.log.read_text()
        return space(self.process.pid) not in (None, space(os.getpid()))

    def python(self, code, *arguments, **more):
        line = self.inside(sys.executable, "-c", code, *arguments)
        environment = self.environment | more
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=900)

    def has_begun(self):
        return "Ray runtime started" in self.log.read_text()

    def has_begun_or_ended(self):
        return self.process.poll() is not None or self.has_begun()

    def end(self):
        """Ends all that runs on this machine; with the last of them its cable goes, too."""
        while pids := [int(path.name) for path in Path("/proc").glob("[0-9]*") if space(path.name) == self.space]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait()


def space(pid):
    """The network that a process is in; None for one that has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").readlink()
    return None


def begun(*arguments):
    """A host whose Ray has begun: it gives itself half a minute, which is too little on a busy machine."""
    for tries_left in (3, 2, 1, 0):
        host = Host(*arguments)
        wait_until(host.has_begun_or_ended)
        if host.has_begun():
            return host
        host.end()
        assert tries_left, host.log.read_text()


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def wait_until(is_so, seconds=300):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in NO_RESULTS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """The head of a cluster that asks for a token, and two machines with a core each."""
    folder, bridge = tmp_path_factory.mktemp("hosts"), f"sr{os.getpid()}"
    if subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], capture_output=True).returncode:
        pytest.skip("needs the right to make network devices")
    path = os.pathsep.join([str(Path(storyreel.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    with contextlib.ExitStack() as stack:
        stack.callback(ip, "link", "del", bridge)
        ip("link", "set", bridge, "up")
        made = []
        for number, name in enumerate(("head", "one", "two"), start=1):
            store = ["--object-store-memory", "80000000", "--node-ip-address", f"10.77.91.{number}"]
            role = ["--address", HEAD, "--num-cpus", "1"]
            if number == 1:
                role = ["--head", "--port", "6379", "--num-cpus", "0", "--include-dashboard", "false"]
            made.append(begun(bridge, name, number, [*RAY, *store, *role], environment, folder / f"{name}.log"))
            stack.callback(made[-1].end)
        yield made


def test_items_run_on_the_other_machines(hosts):
    finished = hosts[0].python(WHERE, HEAD)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout.splitlines()[-1]) == ["one", "two"]


def test_a_build_on_other_machines_makes_the_same_files(hosts, tmp_path, model):
    films = tmp_path / "films"
    write_stories(films, 2, 9, 64, 96, seed=5, workers=1)

    def lines(out, *how):
        line = ["data", "build", str(films), str(out), "--size", "48x32", *how]
        folders = [str(films), str(out / "segments"), str(out / "captions")]
        examples = ["--model", str(model), "--stages", "3", "9", "--device", "cpu"]
        return [line, ["data", "import", *folders, "--format", "storyboards"], [*line, *examples]]

    for line in lines(tmp_path / "here", "--workers", "1"):
        assert main(line) == 0
    said = ""
    for line in lines(tmp_path / "there", "--ray", HEAD):
        finished = hosts[0].python(COMMAND, *line)
        assert finished.returncode == 0, finished.stderr
        said = finished.stdout
    assert "every example is good" in said
    assert hashes(tmp_path / "there") == hashes(tmp_path / "here")


def test_a_cluster_that_asks_for_a_token_is_told_of(hosts, tmp_path):
    line = ["data", "probe", str(tmp_path), str(tmp_path / "out"), "--ray", HEAD]
    finished = hosts[0].python(COMMAND, *line, RAY_AUTH_MODE="disabled")
    assert finished.returncode == 1
    assert "RAY_AUTH_MODE=token" in finished.stderr.splitlines()[-1]
