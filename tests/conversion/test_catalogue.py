"""The table of our models is the one of the rows and of the plans."""

from __future__ import annotations

import pytest

from conversion.catalogue import MODELS, Model, model_of
from conversion.data.public import SETS
from conversion.data.sources import HOME, NAMES
from tests.conversion.conftest import TORCH


def test_every_model_has_rows() -> None:
    assert tuple(MODELS) == NAMES
    assert HOME == ("home-en", "home-multi")
    assert set(NAMES) == {*HOME, *SETS}


def test_every_model_has_a_plan_and_every_recipe_exists() -> None:
    pytest.importorskip("torch", reason=TORCH)
    from conversion.export.recipes import RECIPES
    from conversion.train.plans import PLANS

    assert set(PLANS) == set(MODELS)
    assert {recipe for model in MODELS.values() for recipe in model.recipes} <= set(RECIPES)


def test_nothing_is_special_about_a_model_that_is_not_ours() -> None:
    assert model_of("home-of-mine") == Model()
