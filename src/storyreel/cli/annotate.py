"""`storyreel data annotate`: a page on this machine where people write and correct the segments' texts."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from storyreel.wording import counted


@dataclass(frozen=True)
class Annotate:
    """Open a page where people write or correct the text of each segment, which loops beside it. Ctrl-C ends it.

    What they write is saved as they type, in CAPTIONS/edited; the step captions then takes it before everything else.

    Example: storyreel data annotate dataset/segments dataset/captions
    """

    segments: Annotated[Positional[Path], arg(metavar="SEGMENTS")]
    """Folder of step 3."""
    captions: Annotated[
        Positional[Path | None], arg(metavar="CAPTIONS", help_behavior_hint="(default: captions beside SEGMENTS)")
    ] = None
    """Folder of step 4, which need not be there: without drafts people write from nothing."""
    by: Annotated[str, arg(metavar="NAME")] = ""
    """Who writes; kept beside each text."""
    port: int = 0
    """Port on this machine; 0 for any that is free."""


def run_annotate(options: Annotate) -> int:
    """Serves the page until Ctrl-C; prints its address, and at the end what was written."""
    from storyreel.data.annotation.app import HOST, make_server, open_port
    from storyreel.data.annotation.desk import Desk

    captions = options.captions or options.segments.resolve().parent / "captions"
    desk = Desk(options.segments, captions, " ".join(options.by.split()))
    token = secrets.token_urlsafe(16)
    with open_port(options.port) as own, tempfile.TemporaryDirectory(prefix="storyreel-") as clips:
        server = make_server(desk, token, Path(clips))
        print(f"http://{HOST}:{own.getsockname()[1]}/{token}/", flush=True)
        print("Open this address in a browser on this machine. Ctrl-C ends the page.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[own])
    print(f"{captions}: {counted(desk.written(), 'text')} by people. To take them into the data set:")
    print(f"storyreel data captions {options.segments} {captions}    (with the --model or --from of before)")
    return 0
