"""`storyreel arena`: people's votes on pairs of videos, and ratings from them. Thin wrappers of `storyreel.arena`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from storyreel.cli.arena_store import archive, read_study
from storyreel.errors import ConfigError, DataError, refusal
from storyreel.wording import counted

if TYPE_CHECKING:
    from storyreel.arena.ratings import Report
    from storyreel.arena.study import Study
    from storyreel.arena.votes import Vote

VOTES, PAGE, JSON = "votes.jsonl", "report.html", "report.json"
NO_STRENGTHS = "(default: the paper's averages at 63 s)"


@dataclass(frozen=True)
class ArenaRatings:
    """Print the ratings that follow from votes, in a file or a database, with intervals.

    Bradley-Terry with ties and a term for the side of the screen, on Elo's scale; the intervals take raters, not
    votes, as what was sampled. A method that never lost, or never won, is named and not rated.

    Example: storyreel arena ratings votes.jsonl --html report.html
    """

    votes: Annotated[Positional[str], arg(metavar="VOTES")]
    """Votes as JSONL or CSV, or a database: its file, or postgresql://USER@HOST/NAME (docs/arena.md)."""
    study: Annotated[
        Path | None,
        arg(metavar="FOLDER_OR_CSV", help_behavior_hint="(default: the database's, or what is in the votes)"),
    ] = None
    """The study: votes on anything else are an error, and methods without a vote are listed."""
    half_width: Annotated[float, arg(metavar="ELO")] = 20.0
    """Half-width of the intervals that is wanted."""
    json: bool = False
    """Print everything as one JSON object."""
    html: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Write everything, with plots, to one HTML page."""
    csv: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Write the votes as CSV, too; what a spreadsheet could take for a formula is defused."""


@dataclass(frozen=True)
class ArenaSimulate:
    """Run a whole study with simulated raters: votes.jsonl, report.json and report.html in a folder.

    Raters differ in taste, favour the left side a little, tie, and some click at random or collude. Pairs are
    chosen as for people, ratings are computed as from people's votes.

    Example: storyreel arena simulate simulated --raters 200
    """

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder for votes and report; made if there is none."""
    raters: Annotated[int, arg(metavar="N")] = 200
    """Simulated raters."""
    methods: Annotated[tuple[str, ...], arg(metavar="NAME=ELO", help_behavior_hint=NO_STRENGTHS)] = (
        "mamba2=978", "gated_deltanet=991", "sliding_window=999", "ttt_mlp=1033",
    )  # fmt: skip
    """Methods with their true strengths."""
    stories: Annotated[int, arg(metavar="N")] = 100
    """Stories."""
    votes_per_axis: Annotated[int, arg(metavar="N")] = 30
    """Votes that each rater gives on each axis."""
    taste: Annotated[float, arg(metavar="ELO")] = 61.0
    """Standard deviation of a rater's own liking for each method."""
    side: Annotated[float, arg(metavar="ELO")] = 17.0
    """What being on the left is worth to the raters."""
    ties: bool = False
    """Raters may answer that both are equal."""
    clickers: Annotated[int, arg(metavar="N")] = 0
    """Raters who click at random."""
    colluders: Annotated[int, arg(metavar="N")] = 0
    """Raters who always vote for the first of the methods."""
    adaptive: bool = False
    """Show pairs whose order is in doubt more often."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of everything."""


def run_ratings(options: ArenaRatings) -> None:
    """Prints the table, or the JSON object; writes the page and the CSV if asked to."""
    from storyreel.arena.ballots import ballots
    from storyreel.arena.page import report_as_page
    from storyreel.arena.ratings import report
    from storyreel.arena.table import report_as_json, report_as_lines
    from storyreel.arena.votes import votes_as_csv
    from storyreel.data.files import write_whole

    if not 0 < options.half_width < float("inf"):
        raise ConfigError(refusal("--half-width", options.half_width, "it must be above 0", "Try 20"))
    votes, study = _votes_and_study(options.votes, read_study(options.study))
    if not votes:
        raise DataError(f"{options.votes} holds no vote. Give a file that does.")
    columns = ballots(votes, study.methods, study.axis_names) if study else ballots(votes)
    found = report(columns, options.half_width)
    print(report_as_json(found) if options.json else "\n".join(report_as_lines(found)))
    if options.html:
        write_whole(options.html, report_as_page(found, f"Ratings of {Path(options.votes).stem}"))
    if options.csv:
        write_whole(options.csv, votes_as_csv(votes))


def _votes_and_study(source: str, study: Study | None) -> tuple[list[Vote], Study | None]:
    """The votes of a file or a database, and the study that is given, or else the database's."""
    from storyreel.arena.votes import check_votes, read_votes

    if "://" in source or _is_sqlite(Path(source)):
        with archive(source) as found:
            votes, stored = found.votes(), found.study()
        check_votes(votes, study or stored, source)
        return votes, study or stored
    return read_votes(Path(source), study), study


def _is_sqlite(file: Path) -> bool:
    from storyreel.arena.store.database import is_database

    return is_database(str(file))


def run_simulate(options: ArenaSimulate) -> None:
    """Simulates with progress on standard error, writes votes and report, and prints the table."""
    import math

    from storyreel.arena.ballots import ballots
    from storyreel.arena.elo import ELO_PER_LOGIT
    from storyreel.arena.ratings import report
    from storyreel.arena.simulate import Population, simulate
    from storyreel.arena.study import Study
    from storyreel.arena.table import report_as_lines
    from storyreel.arena.votes import write_votes
    from storyreel.cli.progress import Counter, open_progress

    if options.out.exists() and not options.out.is_dir():
        raise DataError(f"{options.out} is a file, but the result is a folder. Give another name.")
    if options.stories < 1:
        raise ConfigError(refusal("--stories", options.stories, "it must be 1 or more", "Try 100"))
    strengths = dict(map(parse_strength, options.methods))
    stories = tuple(f"story {number}" for number in range(options.stories))
    study = Study(
        tuple(parse_strength(one)[0] for one in options.methods), stories, votes_per_axis=options.votes_per_axis
    )
    population = Population(
        strengths, options.taste, options.side / ELO_PER_LOGIT, -1.5 if options.ties else -math.inf,
        options.clickers, options.colluders, study.methods[0],
    )  # fmt: skip
    with open_progress() as progress:
        progress.stage("simulated votes", options.raters * options.votes_per_axis * len(study.axes))
        simulated = simulate(
            study, population, options.raters, options.seed, adaptive=options.adaptive, on_votes=Counter(progress)
        )
        progress.stage("ratings")
        found = report(ballots(simulated.votes, study.methods, study.axis_names))
    write_votes(simulated.votes, options.out / VOTES)
    _write_report(found, options.out)
    print("\n".join(report_as_lines(found)))
    print(f"\n{options.out}: {counted(len(simulated.votes), 'vote')} in {VOTES}; the report is {PAGE} and {JSON}")


def _write_report(found: Report, out: Path) -> None:
    from storyreel.arena.page import report_as_page
    from storyreel.arena.table import report_as_json
    from storyreel.data.files import write_whole

    write_whole(out / JSON, report_as_json(found) + "\n")
    write_whole(out / PAGE, report_as_page(found, "A simulated study"))


def parse_strength(text: str) -> tuple[str, float]:
    """(name, Elo) of "NAME=ELO"; ConfigError for anything else.

    >>> parse_strength("ttt_mlp=1033")
    ('ttt_mlp', 1033.0)
    """
    found = re.fullmatch(r"(.+)=(-?\d{1,5}(?:\.\d+)?)", text)
    if found is None:
        raise ConfigError(refusal("--methods", text, "each must be NAME=ELO", "Try ttt_mlp=1033 mamba2=978"))
    return found[1], float(found[2])
