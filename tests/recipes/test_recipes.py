import dataclasses

import pytest

from storyreel.errors import ConfigError
from storyreel.recipes import RECIPES, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_frozen_config_that_equals_itself(name):
    recipe = get_recipe(name)
    assert recipe == get_recipe(name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "other"


def test_changes_are_typed_and_nested():
    recipe = get_recipe("demo-3s", ("steps=7", "optimiser.learning_rate=0.5", "compile_blocks=true", "name=mine"))
    assert (recipe.steps, recipe.optimiser.learning_rate, recipe.compile_blocks, recipe.name) == (7, 0.5, True, "mine")
    assert dataclasses.replace(
        recipe,
        steps=get_recipe("demo-3s").steps,
        optimiser=get_recipe("demo-3s").optimiser,
        compile_blocks=False,
        name="3s",
    ) == get_recipe("demo-3s")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("demo-4s", "", "no recipe 'demo-4s', but 'demo-"),
        ("demo-3s", "step=7", "no field 'step'"),
        ("demo-3s", "steps", "has no '='"),
        ("demo-3s", "steps=many", "'many' is no int"),
        ("demo-3s", "transformer=x", "cannot be set"),
        ("demo-3s", "compile_blocks=maybe", "neither true nor false"),
    ],
)
def test_mistakes_are_told_in_one_line(name, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        get_recipe(name, (change,) if change else ())
    assert "\n" not in str(caught.value)


def test_stages_differ_from_the_base_only_where_they_should():
    base, three, nine = (get_recipe(f"demo-{name}") for name in ("base", "3s", "9s"))
    assert {**three.transformer, "mixer": "local"} == base.transformer
    assert nine.transformer == three.transformer
    assert nine.seconds == 9
    assert nine.text_dropout == three.text_dropout == base.text_dropout == 0.1
