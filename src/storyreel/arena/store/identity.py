"""Who a rater is to the store (a salted hash), and whether a database belongs to a study."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from storyreel.arena.store.schema import META
from storyreel.arena.study import Axis, Gold, Study
from storyreel.errors import ConfigError, DataError, refusal

KEY_BYTES = 16
WAY_OUT = "Give what it was made with, or another database"


def rater_hash(key: bytes, identity: str) -> str:
    """32 hexadecimal digits that say nothing about `identity` to one without the key (HMAC-SHA256)."""
    return hmac.new(key, b"rater " + identity.encode(), hashlib.sha256).hexdigest()[:32]


def check_key(key: bytes) -> None:
    """ConfigError: a key of fewer than 16 bytes."""
    if len(key) < KEY_BYTES:
        raise ConfigError(
            refusal("the key's length", len(key), f"it must be {KEY_BYTES} bytes or more", "Make a random one")
        )


def claim(connection: Connection, where: str, study: Study, clips_hash: str, seed: int, key: bytes) -> None:
    """Writes what holds for the whole study into a new database; DataError if it holds something else already."""
    wanted = {
        "study": study_as_json(study),
        "clips": clips_hash,
        "seed": str(seed),
        "key": hmac.new(key, b"print of the key", hashlib.sha256).hexdigest()[:16],
    }
    known = known_facts(connection)
    if "study" in known and known["study"] != wanted["study"]:
        what = _difference(json.loads(known["study"]), json.loads(wanted["study"]))
        raise DataError(f"{where} holds another study: {what}. {WAY_OUT}.")
    if known.get("clips", clips_hash) != clips_hash:
        raise DataError(f"{where} was made with other clips, so its votes are on other videos. {WAY_OUT}.")
    if known.get("seed", wanted["seed"]) != wanted["seed"]:
        raise DataError(f"{where} was made with the seed {known['seed']}, not {seed}. {WAY_OUT}.")
    if known.get("key", wanted["key"]) != wanted["key"]:
        raise DataError(f"{where} was made with another key, so no rater would be known again. {WAY_OUT}.")
    for name, value in wanted.items():
        if name not in known:
            connection.execute(insert(META).values(name=name, value=value))


def known_facts(connection: Connection) -> dict[str, str]:
    """What the database says of itself: study, clips, seed, key, as far as it has them."""
    return {row.name: row.value for row in connection.execute(select(META))}


def study_as_json(study: Study) -> str:
    return json.dumps(asdict(study), sort_keys=True, ensure_ascii=False)


def study_of_json(text: str) -> Study:
    """The study of `study_as_json`."""
    plain = json.loads(text)
    axes = tuple(Axis(**axis) for axis in plain.pop("axes"))
    gold = tuple(Gold(**one) for one in plain.pop("gold"))
    names = {name: tuple(plain.pop(name)) for name in ("methods", "stories")}
    return Study(**names, axes=axes, gold=gold, **plain)


def _difference(stored: Mapping[str, object], given: Mapping[str, object]) -> str:
    """The first part of the study that differs, with what is there and here."""
    for field in fields(Study):
        there, here = stored.get(field.name), given.get(field.name)
        if there == here:
            continue
        if isinstance(there, list) and isinstance(here, list):
            gone = [one for one in there if one not in here]
            new = [one for one in here if one not in there]
            if gone or new:
                parts = [f"{_name(gone[0])} is missing here" if gone else "", f"{_name(new[0])} is new" if new else ""]
                return f"{field.name} differ ({', '.join(part for part in parts if part)})"
            return f"the order of {field.name} differs"
        return f"{field.name} is {there} there and {here} here"
    return "it was written in another way"


def _name(one: object) -> str:
    return str(one["name"] if isinstance(one, dict) and "name" in one else one)
