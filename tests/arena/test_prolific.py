"""Tokens of Prolific: good ones pass, forged ones are refused, and an outage is nobody's fault."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

jwt = pytest.importorskip("jwt", reason="needs pyjwt")
rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa", reason="needs cryptography")

from storyreel.arena.completion import completion_codes, completion_url  # noqa: E402
from storyreel.arena.prolific import RETRY_SECONDS, Arrival, TokenCheck, TokenRefused  # noqa: E402
from storyreel.arena.store.records import Outcome  # noqa: E402
from storyreel.errors import ConfigError, DataError  # noqa: E402

AUDIENCE = "https://arena.example.org"
ARRIVAL = Arrival("5f1e0c", "64aa", "65bb")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write_keys(file: Path, **keys: Any) -> str:
    """A file of public keys by kid."""
    found = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "alg": "RS256", "use": "sig"}
        for kid, key in keys.items()
    ]
    file.write_text(json.dumps({"keys": found}))
    return str(file)


def token_of(key: Any = KEY, kid: str | None = "one", alg: str = "RS256", claim: Any = None, **change: Any) -> str:
    names = {"PROLIFIC_PID": "5f1e0c", "STUDY_ID": "64aa", "SESSION_ID": "65bb", "workspace_id": "w"}
    claims = {"exp": time.time() + 600, "aud": AUDIENCE, "prolific": names | (claim or {})} | change
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        key, algorithm=alg, headers={"kid": kid} if kid else {},
    )  # fmt: skip


@pytest.fixture
def check(tmp_path: Path) -> TokenCheck:
    return TokenCheck(write_keys(tmp_path / "jwks.json", one=KEY), AUDIENCE)


def public_pem() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_with_the_public_key() -> str:
    """The old confusion of keys: an HMAC whose secret is the public key that everybody knows."""
    import hashlib
    import hmac

    def coded(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    head = coded(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    body = coded(json.dumps({"exp": time.time() + 600, "aud": AUDIENCE}).encode())
    sign = hmac.new(public_pem(), head + b"." + body, hashlib.sha256).digest()
    return b".".join((head, body, coded(sign))).decode()


def test_a_good_token_passes(check: TokenCheck) -> None:
    assert check.check(token_of(), ARRIVAL) == "pass"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: "", "no valid token"),
        (lambda: "a.b.c", "no valid token"),
        (lambda: token_of(exp=time.time() - 3600), "expired"),
        (lambda: token_of(exp=None), "not valid"),
        (lambda: token_of(aud="https://elsewhere.example.org"), "another study"),
        (lambda: token_of(aud=None), "not valid"),
        (lambda: token_of(OTHER_KEY), "not valid"),
        (lambda: token_of(OTHER_KEY, kid="two"), "signed by someone else"),
        (lambda: token_of(kid=None), "not signed as"),
        (lambda: token_of("", alg="none"), "not signed as"),
        (lambda: token_of("s" * 32, alg="HS256"), "not signed as"),
        (signed_with_the_public_key, "not signed as"),
        (lambda: token_of(KEY, alg="RS512"), "not signed as"),
        (lambda: token_of(claim={"PROLIFIC_PID": "someone"}), "two people"),
        (lambda: token_of(claim={"SESSION_ID": "99cc"}), "two people"),
        (lambda: token_of(claim={"STUDY_ID": None}), "no STUDY_ID"),
        (lambda: token_of(prolific="5f1e0c"), "two people"),
        (lambda: token_of()[:-6] + "AAAAAA", "not valid"),
    ],
)
def test_what_is_refused(check: TokenCheck, make: Callable[[], str], complaint: str) -> None:
    with pytest.raises(TokenRefused, match=complaint):
        check.check(make(), ARRIVAL)


def test_an_outage_is_unknown_and_ends(tmp_path: Path) -> None:
    now = [0.0]
    check = TokenCheck(str(tmp_path / "jwks.json"), AUDIENCE, lambda: now[0])
    assert check.check(token_of(), ARRIVAL) == "unknown"
    (tmp_path / "jwks.json").write_text("<html>502</html>")
    now[0] += RETRY_SECONDS
    assert check.check(token_of(), ARRIVAL) == "unknown"
    write_keys(tmp_path / "jwks.json", one=KEY)
    assert check.check(token_of(), ARRIVAL) == "unknown"
    now[0] += RETRY_SECONDS
    assert check.check(token_of(), ARRIVAL) == "pass"
    (tmp_path / "jwks.json").unlink()
    now[0] += 2 * 86_400
    assert check.check(token_of(), ARRIVAL) == "pass"
    assert check.check(token_of(OTHER_KEY, kid="two"), ARRIVAL) == "unknown"


def test_new_keys_are_found(tmp_path: Path) -> None:
    now = [0.0]
    check = TokenCheck(write_keys(tmp_path / "jwks.json", one=KEY), AUDIENCE, lambda: now[0])
    assert check.check(token_of(), ARRIVAL) == "pass"
    write_keys(tmp_path / "jwks.json", two=OTHER_KEY)
    now[0] += RETRY_SECONDS
    assert check.check(token_of(OTHER_KEY, kid="two"), ARRIVAL) == "pass"
    with pytest.raises(TokenRefused, match="someone else"):
        check.check(token_of(), ARRIVAL)


def test_keys_come_by_https_or_from_a_file() -> None:
    with pytest.raises(ConfigError, match="https"):
        TokenCheck("http://api.prolific.com/jwks.json", AUDIENCE)


@pytest.mark.parametrize("wrong", ["", "x" * 65, "../etc", "<script>", "a b", "é", None, 5])
def test_ids_are_ids(wrong: object) -> None:
    with pytest.raises(TokenRefused, match="no PROLIFIC_PID"):
        Arrival.of({"PROLIFIC_PID": wrong, "STUDY_ID": "64aa", "SESSION_ID": "65bb"})


CODES = {outcome.value: f"C{at}AB" for at, outcome in enumerate(Outcome)}


def test_every_outcome_has_a_code(tmp_path: Path) -> None:
    file = tmp_path / "codes.json"
    file.write_text(json.dumps(CODES))
    codes = completion_codes(file, {"STORYREEL_PROLIFIC_COMPLETED": "DONE1"})
    assert completion_url(Outcome.COMPLETED, codes) == "https://app.prolific.com/submissions/complete?cc=DONE1"
    assert codes[Outcome.NO_CONSENT] == CODES["NO_CONSENT"]
    assert len(set(codes.values())) == 6


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"COMPLETED": ""}, "COMPLETED is ''"),
        ({"COMPLETED": "a&b"}, "letters and digits"),
        ({"COMPLETED": CODES["NO_CONSENT"]}, "two outcomes"),
    ],
)
def test_codes_that_are_none(tmp_path: Path, change: dict[str, str], complaint: str) -> None:
    file = tmp_path / "codes.json"
    file.write_text(json.dumps(CODES | change))
    with pytest.raises(ConfigError, match=complaint):
        completion_codes(file, {})


@pytest.mark.parametrize("text", ["[]", "{", '{"COMPLETED": 5}', '{"PAID": "C1"}'])
def test_files_of_codes_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "codes.json").write_text(text)
    with pytest.raises(DataError, match="codes"):
        completion_codes(tmp_path / "codes.json", {})
