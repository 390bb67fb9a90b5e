"""Every error that a user can cause, as one tree.

A message says what was given, what the limit is and the way out, in one line. The command line prints it and exits with
status 1; nothing below the command line catches it.
"""


class StoryreelError(Exception):
    """A mistake that the user can mend. `str(error)` is one line."""


class GeometryError(StoryreelError, ValueError):
    """A size that no video, latent or token sequence can have."""


class StoryboardError(StoryreelError, ValueError):
    """A storyboard that cannot be read, or cannot be made into a video."""


class WeightsError(StoryreelError):
    """A model folder or checkpoint that is missing, damaged or does not fit the model."""


class OutputError(StoryreelError, OSError):
    """A place that cannot be written."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class KernelUnavailable(StoryreelError):
    """A backend that cannot serve a problem; the message says what it needs, what it got and what could serve."""


class ConfigError(StoryreelError, ValueError):
    """An option or recipe value out of its range."""


class DataError(StoryreelError):
    """A film, a list of shots or a folder of a data step that cannot be used as it is."""


class TrainingError(StoryreelError):
    """A training run that cannot go on, or lacks what an earlier run should have made."""


class ServiceError(StoryreelError):
    """A language model that does not answer, refuses, costs more than is allowed, or answers nothing usable."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, where it is known what is kept: `str(stopped)` says so, and how to go on."""


def refusal(what: str, value: object, limit: str, way_out: str) -> str:
    """One line of the form "WHAT is VALUE, but LIMIT. WAY OUT."

    >>> refusal("--seconds", 7, "it must be a multiple of 3", "Try 6 or 9")
    '--seconds is 7, but it must be a multiple of 3. Try 6 or 9.'
    """
    return f"{what} is {value}, but {limit}. {way_out}."
