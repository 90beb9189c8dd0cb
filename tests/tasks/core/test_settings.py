from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import ConfigurationError
from tasks.core.settings import Settings, declarations, make, setting


@dataclass(frozen=True)
class Oven(Settings):
    """Settings of every kind."""

    mode: str = setting("fan", "how heat moves", choices=("fan", "grill"))
    name: str = setting("oven", "what it is called")
    recipe: str | None = setting(None, "file of a recipe")
    trays: int = setting(2, "in it", low=1, high=6)
    lights: int | None = setting(None, "in it, none for as many as there are", low=1)
    power: float = setting(0.5, "of its highest", above=0, high=1, noun="share")
    loss: float = setting(0.1, "of its heat", above=0, below=1)
    heat: float = setting(180.0, "of its air, degrees Celsius", above=0)
    steps: tuple[int, ...] = setting((), "of its temperature")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "gril"}, "mode is 'gril': did you mean grill? it is one of fan, grill"),
        ({"mode": ["fan"]}, "mode is ['fan']: did you mean fan? it is one of fan, grill"),
        ({"name": 3}, "name is 3: it is a text"),
        ({"name": None}, "name is None: it is a text"),
        ({"recipe": 3}, "recipe is 3: it is a text"),
        ({"trays": 0}, "trays is 0: it is a whole number, from 1 to 6"),
        ({"trays": 7}, "trays is 7: it is a whole number, from 1 to 6"),
        ({"trays": 2.0}, "trays is 2.0: it is a whole number, from 1 to 6"),
        ({"trays": True}, "trays is True: it is a whole number, from 1 to 6"),
        ({"trays": None}, "trays is None: it is a whole number, from 1 to 6"),
        ({"lights": 0}, "lights is 0: it is a whole number, 1 or more"),
        ({"lights": 1.5}, "lights is 1.5: it is a whole number, 1 or more"),
        ({"power": 0}, "power is 0.0: it is a share, above 0 and at most 1"),
        ({"power": 1.1}, "power is 1.1: it is a share, above 0 and at most 1"),
        ({"power": "1"}, "power is '1': it is a share, above 0 and at most 1"),
        ({"power": float("nan")}, "power is nan: it is a share, above 0 and at most 1"),
        ({"heat": float("inf")}, "heat is inf: it is a number, above 0"),
        ({"loss": 1}, "loss is 1.0: it is a number, above 0 and below 1"),
        ({"loss": False}, "loss is False: it is a number, above 0 and below 1"),
        ({"steps": 8}, "steps is 8: it is a list, as (8, 16)"),
        ({"steps": "8"}, "steps is '8': it is a list, as (8, 16)"),
        ({"zzz": 3}, "oven has no setting 'zzz': it has mode, name"),
        ({"tray": 3}, "oven has no setting 'tray': did you mean trays? it has mode"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_the_remedy(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make(Oven, "oven", wrong)
    assert str(raised.value).startswith(message)


@given(
    st.sampled_from(["fan", "grill"]),
    st.one_of(st.none(), st.text()),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(1)),
    st.floats(0, 1, exclude_min=True),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_a_value_within_its_range_is_kept(
    mode: str, recipe: str | None, trays: int, lights: int | None, power: float, loss: float
) -> None:
    given_settings = {
        "mode": mode,
        "recipe": recipe,
        "trays": trays,
        "lights": lights,
        "power": power,
        "loss": loss,
    }
    oven = make(Oven, "oven", given_settings)
    assert oven.values() == given_settings | {"name": "oven", "heat": 180.0, "steps": ()}
    assert make(Oven, "oven", oven.changed()) == oven


def test_a_setting_has_the_type_of_its_default_however_it_was_given() -> None:
    oven = Oven(power=1, steps=[8, 16])  # type: ignore[arg-type]
    assert repr(oven.power) == "1.0"
    assert oven.steps == (8, 16)
    assert hash(oven) == hash(Oven(power=1.0, steps=(8, 16)))


def test_what_is_not_declared_is_no_setting() -> None:
    assert [name for name, _, _ in declarations(Oven)] == list(Oven().values())
    assert Oven().changed() == {}
