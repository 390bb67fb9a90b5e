"""`storyreel arena serve`: a study's pages for raters, and one for whoever runs it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from storyreel.errors import ConfigError, refusal
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.arena.web.hosting import Secrets
    from storyreel.arena.web.settings import Settings


@dataclass(frozen=True)
class ArenaServe:
    """Open the page where people compare two videos of a story, without names, and vote. Ctrl-C ends it.

    VIDEOS is a folder a method with a video a story (METHOD/STORY.mp4), or a CSV with the columns method,story,video.
    At the start every clip is checked and made alike; then the links for raters and for you are printed. Run the same
    line again to go on.

    Example: storyreel arena serve --videos videos --work study
    """

    videos: Annotated[Path, arg(metavar="FOLDER_OR_CSV")]
    """What is compared."""
    work: Annotated[Path, arg(metavar="DIR")] = Path("arena")
    """Folder of the clips, the secrets and, unless --database says otherwise, the votes; made if there is none."""
    database: Annotated[str, arg(metavar="URL", help_behavior_hint="(default: arena.sqlite in --work)")] = ""
    """Where votes are kept: sqlite:///FILE or postgresql://USER@HOST/NAME."""
    port: int = 8000
    """Port on this machine; 0 for any that is free."""
    public_url: Annotated[str, arg(metavar="URL", help_behavior_hint="(default: this machine alone)")] = ""
    """The address by which raters come, if a proxy with https stands in front: https://arena.example.org."""
    behind_proxy: bool = False
    """Believe the last address of X-Forwarded-For; only with a proxy of your own in front."""
    votes_per_axis: Annotated[int, arg(metavar="N")] = 30
    """The most that one rater gives on one axis."""
    axes: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: all four)")] = ()
    """Axes of the study."""
    all_axes: bool = False
    """Ask all questions about each pair, after one viewing."""
    ties: bool = False
    """Offer the answer that both are about equal."""
    adaptive: bool = False
    """Show pairs whose order is in doubt more often."""
    gold: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None
    """Hidden checks: FOLDER/better/STORY.mp4 is known to be better than FOLDER/worse/STORY.mp4."""
    repeat_after: Annotated[int, arg(metavar="N")] = 0
    """Show an earlier pair again, mirrored, once in so many; 0 for never."""
    storyboards: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None
    """Folder of STORY.json (storyboards) or STORY.txt, shown to raters on demand."""
    prolific: bool = False
    """Raters come from Prolific; its completion codes are in STORYREEL_PROLIFIC_COMPLETED and so on, or in a file."""
    prolific_codes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the environment)")] = None
    """A JSON file of the completion codes: {"COMPLETED": "C1A2B3D4", ...}."""
    prolific_keys: Annotated[str, arg(metavar="URL_OR_FILE", help_behavior_hint="(default: no tokens)")] = ""
    """Ask for Prolific's signed token, and check it with these keys (JWKS)."""
    prolific_audience: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: --public-url)")] = ""
    """What the token must be made out to."""
    title: Annotated[str, arg(metavar="TEXT")] = "Which video is better?"
    """Heading of the first page, and name of all."""
    consent: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: a short text of its own)")] = None
    """Text (UTF-8) of what raters agree to; an empty line begins a new paragraph."""
    contact: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: nobody)")] = ""
    """Whom raters may ask, below every page: a mail or web address becomes a link."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the choice of pairs."""


def run_serve(options: ArenaServe) -> int:
    """Prepares the clips with progress on standard error, prints the links, and serves until Ctrl-C."""
    from storyreel.arena.clips.library import prepare
    from storyreel.arena.web.hosting import check_writable, hosted, read_secrets, read_storyboards, study_with_gold
    from storyreel.arena.web.server import allow_many_connections, open_port, settle_memory
    from storyreel.cli.progress import Counter, open_progress

    study, videos = study_with_gold(options.videos, options.gold, _changes(options))
    storyboards = read_storyboards(options.storyboards, study) if options.storyboards else {}
    check_writable(options.work)
    secrets = read_secrets(options.work)
    settings = _settings(options, secrets)
    allow_many_connections()
    with open_port(options.port) as own:
        with open_progress() as progress:
            progress.stage("stories whose clips are alike", len({story for _, story in videos}))
            clips = prepare(videos, options.work / "clips", Counter(progress))
        database = options.database or str(options.work / "arena.sqlite")
        store_key = secrets.derived("store")
        with hosted(
            database, study, clips, settings, store_key=store_key, seed=options.seed, adaptive=options.adaptive,
            storyboards=storyboards,
        ) as (server, store):  # fmt: skip
            _print_links(options, own.getsockname()[1], secrets)
            settle_memory()
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[own])
            votes = len(store.votes())
    print(f"{counted(votes, 'vote')} so far. The same line goes on.")
    return 0


def _changes(options: ArenaServe) -> dict[str, Any]:
    """Fields of the study that options change."""
    from storyreel.arena.study import AXES

    known = {axis.name: axis for axis in AXES}
    unknown = [name for name in options.axes if name not in known]
    if unknown:
        raise ConfigError(refusal("--axes", unknown[0], f"axes are {', '.join(known)}", "Choose among these"))
    return {
        "axes": tuple(known[name] for name in options.axes or known),
        "votes_per_axis": options.votes_per_axis,
        "all_axes_a_viewing": options.all_axes,
        "repeat_after": options.repeat_after,
        "ties": options.ties,
    }


def _settings(options: ArenaServe, secrets: Secrets) -> Settings:
    from storyreel.arena.completion import completion_codes
    from storyreel.arena.prolific import TokenCheck
    from storyreel.arena.web.settings import Settings
    from storyreel.arena.web.texts import CONSENT, Texts, read_consent

    consent = read_consent(options.consent) if options.consent else CONSENT
    check = None
    if options.prolific_keys:
        audience = options.prolific_audience or options.public_url
        if not options.prolific or not audience:
            raise ConfigError("--prolific-keys needs --prolific, and --prolific-audience or --public-url. Add them.")
        check = TokenCheck(options.prolific_keys, audience)
    return Settings(
        key=secrets.derived("pages"), invitation=secrets.invitation, admin_secret=secrets.admin_secret,
        public_url=options.public_url.rstrip("/"), behind_proxy=options.behind_proxy,
        codes=completion_codes(options.prolific_codes) if options.prolific else None, token_check=check,
        texts=Texts(options.title, consent, options.contact),
    )  # fmt: skip


def _print_links(options: ArenaServe, port: int, secrets: Secrets) -> None:
    """The admin secret stands behind a #, which browsers send to nobody; it is printed only when it was just made."""
    from storyreel.arena.web.hosting import SECRETS
    from storyreel.arena.web.server import HOST

    root = options.public_url.rstrip("/") or f"http://{HOST}:{port}"
    query = ""
    if options.prolific:
        names = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
        query = "?" + "&".join(f"{name}={{{{%{name}%}}}}" for name in names)
    print(f"For raters: {root}/i/{secrets.invitation}{query}")
    shown = f"#{secrets.admin_secret}" if secrets.fresh else f"    (its secret is in {options.work / SECRETS})"
    print(f"For you:    {root}/admin{shown}")
    print(f"Listening on {HOST}:{port}. Ctrl-C ends it; the same line goes on.", flush=True)
