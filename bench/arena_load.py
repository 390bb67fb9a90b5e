"""How quickly `storyreel arena serve` answers many raters: 500 sessions that give 50 votes a second for 60 s.

    python bench/arena_load.py [--sessions 500] [--votes-a-second 50] [--seconds 60] [--out FILE]

The server is a process of its own with SQLite, on this machine's loopback, as is this client: both share its cores.
Each vote is a whole viewing of 1 s clips of 96x64: the page, both clips, play begins, play ends, the vote. Sessions
vote in turn at fixed times, whether or not answers come (open loop); a late answer delays that session alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlencode

import av
import numpy as np

METHODS, STORIES, CLIP_SECONDS = 4, 6, 1.0
SERVE = "import sys; from storyreel.cli.main import main; sys.exit(main(sys.argv[1:]))"


class Session:
    """One rater's browser on one connection; `times` takes (what, milliseconds, status) of each request."""

    def __init__(self, port: int, number: int, times: list[tuple[str, float, int]]) -> None:
        self._port, self._times, self._cookie = port, times, ""
        self._address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        self._reader: asyncio.StreamReader | None = None
        self.page = ""

    async def ask(self, what: str, method: str, path: str, body: str = "", kind: str = "") -> tuple[int, str]:
        """(status, text) of one request; a closed connection is opened once more."""
        begun = time.perf_counter()
        try:
            status, text = await self._send(method, path, body, kind)
        except (OSError, asyncio.IncompleteReadError):
            self._reader = None
            try:
                status, text = await self._send(method, path, body, kind)
            except (OSError, asyncio.IncompleteReadError):
                status, text = 0, ""
        self._times.append((what, 1000 * (time.perf_counter() - begun), status))
        return status, text

    async def _send(self, method: str, path: str, body: str, kind: str) -> tuple[int, str]:
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        origin = f"http://127.0.0.1:{self._port}"
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nX-Forwarded-For: {self._address}\r\n"
        head += f"Cookie: {self._cookie}\r\n" if self._cookie else ""
        if method == "POST":
            head += f"Origin: {origin}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}\r\n{body}".encode())
        await self._writer.drain()
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if found := re.search(r"(?im)^set-cookie: ([^;]*)", answer):
            self._cookie = found[1]
        size = int(re.findall(r"(?im)^content-length: (\d+)", answer)[0])
        data = await self._reader.readexactly(size)
        return int(answer.split(" ", 2)[1]), data.decode("latin-1")

    async def form(self, what: str, path: str, **fields: str) -> int:
        sent = urlencode({"form": self._field("form"), **fields})
        return (await self.ask(what, "POST", path, sent, "application/x-www-form-urlencoded"))[0]

    async def load(self) -> None:
        self.page = (await self.ask("page", "GET", "/"))[1]

    async def arrive(self, invitation: str) -> None:
        """Through the invitation, consent and the check to the first pair."""
        await self.ask("arrive", "GET", invitation)
        await self.load()
        await self.form("arrive", "/consent", agree="yes", plays="yes")
        await self.load()
        right = re.findall(r'value="(\d)">The one that answers', self.page)[0]
        await self.form("arrive", "/check", answer=right)
        await self.load()

    async def judge(self) -> None:
        """One viewing and its vote; leaves the page of the next pair."""
        pair, question = self._field("pair"), re.findall(r'name="(answer-\d)"', self.page)[0]
        report = {"form": self._field("form"), "pair": pair}
        for clip in re.findall(r'data-from="([^"]*)"', self.page):
            await self.ask("clip", "GET", clip)
        await self.ask("play", "POST", "/play", json.dumps(report | {"left": 0.0, "right": 0.0}), "application/json")
        await asyncio.sleep(CLIP_SECONDS)
        played = {"left": CLIP_SECONDS, "right": CLIP_SECONDS}
        await self.ask("play", "POST", "/play", json.dumps(report | played), "application/json")
        await self.form("vote", "/vote", pair=pair, **{question: "left" if pair < "8" else "right"})
        await self.load()

    def _field(self, name: str) -> str:
        return re.findall(rf'name="{name}" value="([^"]*)"', self.page)[0]


def draw(folder: Path) -> None:
    """Small clips of noise."""
    random = np.random.default_rng(0)
    for method in range(METHODS):
        (folder / f"method{method}").mkdir(parents=True)
        for story in range(STORIES):
            with av.open(str(folder / f"method{method}" / f"story{story}.mp4"), "w") as container:
                stream = container.add_stream("libx264", rate=16, options={"preset": "ultrafast"})
                stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
                for _ in range(round(16 * CLIP_SECONDS)):
                    pixels = random.integers(100, 140, (64, 96, 3), np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode(None))


def resident_mib(process: int) -> float:
    """Memory of a process that is in RAM, in MiB."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) / 1024


def cpu_seconds(process: int) -> float:
    """Processor time that a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Processor time that all of this machine's processes have used so far."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split(maxsplit=4)[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def quantiles(values: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"requests": len(values), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "p99_ms": round(p99, 1)}


async def load(port: int, invitation: str, process: int, options: argparse.Namespace) -> dict[str, object]:
    times: list[tuple[str, float, int]] = []
    sessions = [Session(port, number, times) for number in range(options.sessions)]
    for begin in range(0, len(sessions), 10):
        await asyncio.gather(*(session.arrive(invitation) for session in sessions[begin : begin + 10]))
    arrived = len(times)
    print(f"{len(sessions)} sessions are in", file=sys.stderr)
    memory, cpu_before, own_before = [resident_mib(process)], cpu_seconds(process), time.process_time()
    busy_before = busy_seconds()
    started = time.monotonic()
    cadence = options.sessions / options.votes_a_second
    lateness: list[float] = []

    async def votes(number: int) -> None:
        due = started + number / options.votes_a_second
        while due < started + options.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            lateness.append(time.monotonic() - due)
            await sessions[number].judge()
            due += cadence

    async def watch() -> None:
        while True:
            await asyncio.sleep(10)
            memory.append(resident_mib(process))

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(votes(number) for number in range(len(sessions))))
    watcher.cancel()
    took = time.monotonic() - started
    memory.append(resident_mib(process))
    server_used, own_used = cpu_seconds(process) - cpu_before, time.process_time() - own_before
    others_used = busy_seconds() - busy_before - server_used - own_used
    own = times[arrived:]
    by_kind = defaultdict(list)
    for what, milliseconds, _ in own:
        by_kind[what].append(milliseconds)
    cast = [status for what, _, status in own if what == "vote"]
    return {
        "sessions": options.sessions,
        "seconds": round(took, 1),
        "votes": len(cast),
        "votes_taken": sum(status == 303 for status in cast),
        "votes_a_second": round(len(cast) / took, 1),
        "requests_a_second": round(len(own) / took, 1),
        "statuses": {str(status): count for status, count in sorted(Counter(status for *_, status in own).items())},
        "errors_5xx": sum(status >= 500 or status == 0 for *_, status in own),
        "all": quantiles([milliseconds for _, milliseconds, _ in own]),
        "by_request": {what: quantiles(values) for what, values in sorted(by_kind.items())},
        "client_late_p95_ms": round(1000 * float(np.percentile(lateness, 95)), 1),
        "server_cpu_ms_a_vote": round(1000 * server_used / len(cast), 1),
        "client_cpu_ms_a_vote": round(1000 * own_used / len(cast), 1),
        "others_used_cores": round(others_used / took, 2),
        "memory_mib": [round(value) for value in memory],
        "cores": os.cpu_count(),
        "load_average_at_start": [round(value, 1) for value in options.load_before],
        "load_average_at_end": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--votes-a-second", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "arena_load.json")
    options = parser.parse_args()
    options.load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name) / "videos")
        arguments = ["arena", "serve", "--videos", f"{name}/videos", "--work", f"{name}/work", "--port", "0"]
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, *arguments, "--behind-proxy"], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout
        try:
            lines = [server.stdout.readline() for _ in range(3)]
            port, invitation = re.findall(r":(\d+)(/i/\S+)", lines[0])[0]
            found = asyncio.run(load(int(port), invitation, server.pid, options))
        finally:
            server.terminate()
            server.wait(30)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
