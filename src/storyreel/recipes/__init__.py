"""Full runs by name. A recipe is a function without arguments that returns a frozen configuration."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import TypeVar

from storyreel.errors import ConfigError
from storyreel.recipes import demo
from storyreel.recipes.limits import check_value
from storyreel.training.config import Run

Config = TypeVar("Config")

RECIPES: dict[str, Callable[[], Run]] = {
    "demo": demo.plan,
    "demo-more": demo.more,
    "demo-decoder": demo.decoder,
    "demo-clips-3s": demo.clips_3s,
    "demo-clips-9s": demo.clips_9s,
    "demo-vae-parts": demo.vae_parts,
    "demo-vae": demo.vae,
    "demo-latents-stills": demo.latents_stills,
    "demo-latents-3s": demo.latents_3s,
    "demo-latents-9s": demo.latents_9s,
    "demo-stills": demo.stills,
    "demo-base": demo.base,
    "demo-3s": demo.stage_3s,
    "demo-9s": demo.stage_9s,
    "demo-vae-decoder": demo.vae_decoder,
    "demo-probe": demo.probe,
    "demo-actions": demo.actions,
    "demo-pack": demo.package,
}


def get_recipe(name: str, changes: tuple[str, ...] = ()) -> Run:
    """The recipe `name`, with `changes` such as "steps=100" or "optimiser.learning_rate=1e-4" made to it.

    ConfigError for an unknown recipe or field, or a value of another type or out of its range.
    """
    if name not in RECIPES:
        nearest = difflib.get_close_matches(name, RECIPES, 1)
        raise ConfigError(
            f"no recipe {name!r}{f', but {nearest[0]!r}' if nearest else ''}. There are: {', '.join(RECIPES)}."
        )
    recipe = RECIPES[name]()
    for change in changes:
        recipe = _changed(recipe, change)
    return recipe


def _changed(recipe: Run, change: str) -> Run:
    path, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change!r} has no '='. Write it as key=value, for example steps=100.")
    return _with(recipe, path.split("."), text, change)


def _with(config: Config, path: list[str], text: str, change: str) -> Config:
    fields = {field.name for field in dataclasses.fields(config)}  # pyright: ignore[reportArgumentType]
    if path[0] not in fields:
        raise ConfigError(f"--set {change!r}: no field {path[0]!r}. There are: {', '.join(sorted(fields))}.")
    old = getattr(config, path[0])
    if len(path) > 1 and dataclasses.is_dataclass(old):
        new = _with(old, path[1:], text, change)
    elif isinstance(old, bool):
        if text not in ("true", "false"):
            raise ConfigError(f"--set {change!r}: {text!r} is neither true nor false. Give one of them.")
        new = text == "true"
    elif not isinstance(old, int | float | str):
        raise ConfigError(f"--set {change!r}: {path[0]} cannot be set from the command line. Set a number or a word.")
    else:
        try:
            new = type(old)(text)
        except ValueError as error:
            raise ConfigError(f"--set {change!r}: {text!r} is no {type(old).__name__}. Give one like {old}.") from error
        check_value(type(config), path[0], change.partition("=")[0], new, old)
    return dataclasses.replace(config, **{path[0]: new})  # pyright: ignore[reportArgumentType]
