"""What a request may carry: small forms with known fields, and JSON of known shape."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MOST_BYTES = 16 * 1024
BODY_SECONDS = 10.0
MOST_FIELDS = 20
Body = TypeVar("Body", bound=BaseModel)

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
PlayedSeconds = Annotated[float, Field(ge=0, le=24 * 3600, allow_inf_nan=False)]
Frames = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Played(BaseModel):
    """What the page reports of a viewing. `drift`: how far apart both ran, in frames, as median and 95th percentile."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    form: Name
    pair: Name
    left: PlayedSeconds
    right: PlayedSeconds
    stalls: Annotated[int, Field(ge=0, le=10_000)] = 0
    drift: Annotated[list[Frames], Field(min_length=2, max_length=2)] | None = None


class Stalled(BaseModel):
    """The page gives a viewing up, since a clip does not arrive or does not play."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    form: Name
    pair: Name


async def read_json(request: Request, kind: type[Body]) -> Body:
    """The body as `kind`; HTTP 400, 408, 413 or 415 for anything else."""
    _check_type(request, "application/json")
    try:
        return kind.model_validate_json(await _body(request))
    except ValidationError:
        raise HTTPException(400) from None


async def read_form(request: Request, names: Collection[str]) -> dict[str, str]:
    """The fields of a form, each at most once and none but `names`; HTTP 400, 408, 413 or 415 for anything else."""
    _check_type(request, "application/x-www-form-urlencoded")
    try:
        text = (await _body(request)).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise HTTPException(400) from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or not fields.keys() <= set(names):
        raise HTTPException(400)
    return fields


def _check_type(request: Request, wanted: str) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        raise HTTPException(415)


async def _body(request: Request) -> bytes:
    if int(_digits(request.headers.get("content-length", "0"))) > MOST_BYTES:
        raise HTTPException(413)
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > MOST_BYTES:
                    raise HTTPException(413)
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(408) from None
    return bytes(data)


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdigit() and len(text) < 20 else "0"
