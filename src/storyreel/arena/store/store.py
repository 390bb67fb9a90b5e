"""The store of a study that is running: raters, pairs served, votes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storyreel.arena.store.records import Finding, OpenPair, Outcome, Progress, RaterState, Receipt
from storyreel.arena.study import Study
from storyreel.arena.votes import Vote, Winner


class Store:
    """One study in one database. All methods may be called from any thread, and each is one transaction.

    Every method that changes something is durable when it returns, and raises StoreUnavailable if it could not be.
    """

    @classmethod
    def open(
        cls,
        database: str | Path,
        study: Study,
        *,
        clips_hash: str,
        clip_seconds: Mapping[tuple[str, str], float],
        seed: int,
        key: bytes,
        adaptive: bool = False,
    ) -> Store:
        """Opens or makes the database: a path (SQLite), or a URL of SQLAlchemy (sqlite:///, postgresql://).

        `clip_seconds` has the length of each (method, story), gold clips included; `clips_hash` stands for all clips'
        bytes. `key`: 16 bytes or more, secret; raters' hashes are made with it. DataError: the database holds another
        study, was made with another key, or by a newer version. StoreUnavailable: it cannot be opened.
        """
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def admit(self, identity: str, source: str = "link") -> RaterState:
        """The rater that `identity` stands for, made if new; the identity itself is kept nowhere.

        Give "prolific:" and the participant's id, or a random token of 128 bits or more. `source` is kept.
        """
        raise NotImplementedError

    def state(self, rater: str) -> RaterState:
        """PairRefused: no such rater."""
        raise NotImplementedError

    def consent(self, rater: str, given: bool) -> RaterState:
        """Notes the answer; a refusal ends the session, a later yes opens it again."""
        raise NotImplementedError

    def device(self, rater: str, fits: bool) -> RaterState:
        """Notes whether the rater's device can show the study."""
        raise NotImplementedError

    def comprehension(self, rater: str, passed: bool) -> RaterState:
        """Counts a try. StepRefused: no consent, passed already, or both tries used up."""
        raise NotImplementedError

    def note_check(self, rater: str, name: str, finding: Finding) -> None:
        """Notes what a check outside of the store found (a token, a captcha); one that could not run is "unknown"."""
        raise NotImplementedError

    def end(self, rater: str, outcome: Outcome) -> RaterState:
        """Ends a session before its first vote (SCREENED_OUT, FIXED_SCREENOUT). StepRefused: any other outcome."""
        raise NotImplementedError

    def exclude(self, rater: str, reason: str) -> None:
        """A person's decision not to use the rater's votes; they stay in the database. An empty reason undoes it."""
        raise NotImplementedError

    def serve(self, rater: str) -> OpenPair | None:
        """The rater's open pair (after a reload, too), else the next one; None when the rater has finished.

        StepRefused: the rater may not rate (see RaterState.may_rate). PairRefused: no such rater.
        """
        raise NotImplementedError

    def play(
        self, pair_id: str, rater: str, left_seconds: float = 0.0, right_seconds: float = 0.0, *, stalls: int = 0
    ) -> Progress:
        """Notes how much of each clip was played so far in this attempt; the first call starts the server's clock.

        What is reported counts up to the time that has passed since the start, and never goes back. Call it when play
        begins, and then every 10 s or so, or only before the vote. PairRefused: not this rater's open pair.
        """
        raise NotImplementedError

    def vote(self, pair_id: str, rater: str, answers: Mapping[str, Winner]) -> Receipt:
        """Takes the answers, one for each of the pair's axes ("model_a": left); "tie" only if the study has ties.

        The same answers again (double click, retry) give the same receipt. TooEarly: not enough watched.
        VoteRefused: other answers than before, or no answers. PairRefused: another rater's pair, stalled, released.
        """
        raise NotImplementedError

    def stalled(self, pair_id: str, rater: str) -> None:
        """Playback broke down: the pair is closed, and comes again after another one. Of a closed pair: nothing."""
        raise NotImplementedError

    def release(self, rater: str) -> int:
        """Gives up the unanswered pairs of a rater who has left, so that others are shown them; how many."""
        raise NotImplementedError

    def release_idle(self, seconds: float) -> int:
        """Releases the pairs of raters who did nothing for `seconds`; how many pairs."""
        raise NotImplementedError

    def alarms(self) -> list[str]:
        """What a person should look at now, a line each (exclusions or unknown checks above 20% in the last hour)."""
        raise NotImplementedError

    def votes(self) -> list[Vote]:
        """All votes in order, checks and unused ones included (`used` says so)."""
        raise NotImplementedError
