"""What the owner of a study says to raters in their own words: title, consent, contact."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from storyreel.errors import ConfigError, DataError, refusal

TITLE = "Which video is better?"
CONSENT = """\
We keep your answers, when you gave them, and how much of the videos was played. No name and no account: a code stands \
for you. The answers may be published in this form.

You must be 18 or older to take part."""
MOST_TITLE, MOST_CONTACT, MOST_CONSENT = 100, 200, 20_000


@dataclass(frozen=True)
class Texts:
    """`consent`: what raters agree to, as paragraphs with an empty line between them. `contact`: whom they may ask.

    All of it is text, never HTML. ConfigError: one is too long, or not printable; the title or the consent is empty.
    """

    title: str = TITLE
    consent: str = CONSENT
    contact: str = ""

    def __post_init__(self) -> None:
        for name, text, most in (
            ("--title", self.title, MOST_TITLE),
            ("--contact", self.contact, MOST_CONTACT),
            ("--consent", self.consent, MOST_CONSENT),
        ):
            if len(text) > most:
                raise ConfigError(refusal(name, f"{len(text)} characters long", f"at most {most} fit", "Shorten it"))
            if not text.replace("\n", " ").isprintable() or (name != "--consent" and "\n" in text):
                raise ConfigError(f"{name} holds characters that cannot be shown in its place. Take them out.")
        for name, text in (("--title", self.title), ("--consent", self.consent)):
            if not text.strip():
                raise ConfigError(f"{name} is empty. Say something, or leave the option out.")

    @property
    def paragraphs(self) -> list[str]:
        """The consent's, with the line ends within them."""
        return [part.strip() for part in re.split(r"\n\s*\n", self.consent.strip())]

    @property
    def contact_link(self) -> str:
        """An address to click, where the contact as a whole is a mail or web address; else empty."""
        if re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", self.contact, re.ASCII):
            return f"mailto:{self.contact}"
        return self.contact if re.fullmatch(r"https://[\w.-]+(/[\w./~%?=&-]*)?", self.contact, re.ASCII) else ""


def read_consent(file: Path) -> str:
    """The text of a file in UTF-8. DataError: it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}. Give a text in UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\t", " ")
