"""What whoever runs a study chooses for its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from storyreel.arena.prolific import TokenCheck
from storyreel.arena.store.records import Outcome
from storyreel.arena.web.texts import Texts
from storyreel.errors import ConfigError, refusal

LOOPBACK_HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Settings:
    """`key` signs cookies, forms and clip names; `invitation` is in the link that raters get; both are secret.

    With `public_url` ("https://HOST[:PORT]") the pages answer to that name too and cookies are bound to it.
    `behind_proxy`: the last address of X-Forwarded-For is the visitor's; else the header means nothing. `codes`: raters
    come from Prolific, and go back with these; `token_check`: and are to bring a signed token.
    """

    key: bytes = field(repr=False)
    invitation: str = field(repr=False)
    admin_secret: str = field(repr=False)
    public_url: str = ""
    behind_proxy: bool = False
    codes: Mapping[Outcome, str] | None = field(default=None, repr=False)
    token_check: TokenCheck | None = None
    texts: Texts = field(default_factory=Texts)

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if self.public_url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/")):
            raise ConfigError(
                refusal("--public-url", self.public_url, "it must be https://HOST", "Try https://arena.example.org")
            )
        if len(self.key) < 16 or len(self.invitation) < 8 or len(self.admin_secret) < 16:
            raise ConfigError(
                "a secret is too short: the key needs 16 bytes, the invitation 8 characters, the admin secret 16. "
                "Make longer ones."
            )

    @property
    def secure(self) -> bool:
        """Whether raters come by https."""
        return self.public_url.startswith("https://")

    @property
    def hosts(self) -> frozenset[str]:
        """Names that requests may be addressed to, without ports."""
        own = urlsplit(self.public_url).hostname
        return frozenset((*LOOPBACK_HOSTS, *([own] if own else [])))

    def cookie(self, name: str) -> str:
        """The name of a cookie: bound to its host by __Host- where that is possible, that is, with https."""
        return f"__Host-{name}" if self.secure else name
