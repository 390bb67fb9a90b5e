"""Prompts: versioned text files in the package, with places to fill in.

    version 1
    ---
    what the model is told about its task
    ---
    what it is asked, with $names

The version is part of every cache key and of a caption's provenance: whoever changes a prompt raises it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from string import Template


@dataclass(frozen=True)
class Prompt:
    """A prompt file. `key` names it with its version, as in "paragraph v1"."""

    name: str
    version: int
    instructions: str
    question: str

    @property
    def key(self) -> str:
        return f"{self.name} v{self.version}"

    def filled(self, **values: object) -> str:
        """The question with every $name replaced; KeyError for one that is not given."""
        return Template(self.question).substitute(values)


def load_prompt(package: str, name: str) -> Prompt:
    """The prompt `name`.txt of a package's folder "prompts"; ValueError for one that is not of this form."""
    text = files(package).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    head, instructions, question = (part.strip() for part in text.split("\n---\n"))
    word, version = head.split()
    if word != "version":
        raise ValueError(f"{name}.txt does not begin with its version")
    return Prompt(name, int(version), instructions, question)
