from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.patchcore import PatchCore
from tasks.core.methods.registry import METHODS, parse_method, parse_methods
from tasks.core.methods.spade import Spade
from tasks.core.settings import declarations


def settings_of(kind: type[Method]) -> st.SearchStrategy[dict[str, Any]]:
    """Any settings that a method may have, not always all."""
    drawn: dict[str, st.SearchStrategy[Any]] = {}
    for name, declared, default in declarations(kind):
        if declared.choices:
            drawn[name] = st.sampled_from(declared.choices)
        elif isinstance(default, float):
            low, high = declared.above or 0, declared.high or declared.below or 1e6
            drawn[name] = st.floats(low, high, exclude_min=True, exclude_max=declared.below is not None)
        elif name == "levels":
            strides = st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True).map(sorted)
            layers = st.lists(st.sampled_from(["layer2", "blocks.3+norm"]), unique=True)
            drawn[name] = st.tuples(strides, layers).map(lambda both: (*both[0], *both[1]))
        elif name == "level":
            drawn[name] = st.sampled_from([1, 8, "layer2", "blocks.3+norm"])
        elif name != "methods":
            drawn[name] = st.integers(int(declared.low or 0), 10**9)
    return st.fixed_dictionaries({}, optional=drawn)


def methods_of(kind: type[Method]) -> st.SearchStrategy[Method]:
    return settings_of(kind).map(lambda settings: kind(**settings))


def any_method() -> st.SearchStrategy[Method]:
    """A method with any settings; an ensemble of several."""
    kinds = [kind for kind in METHODS.values() if kind is not Ensemble]
    single: st.SearchStrategy[Method] = st.one_of([methods_of(kind) for kind in kinds])
    several = st.lists(single, min_size=2, max_size=3, unique_by=lambda method: method.label)
    joined = st.builds(
        lambda methods, settings: Ensemble(methods=tuple(methods), **settings), several, settings_of(Ensemble)
    )
    return st.one_of(single, joined)


@given(any_method())
def test_a_label_names_the_same_method(method: Method) -> None:
    again = parse_method(method.label)
    assert again == method
    assert again.label == method.label
    assert again.description() == method.description()


def test_a_name_alone_has_the_published_settings() -> None:
    for name, kind in METHODS.items():
        assert parse_method(name) == kind()
        assert kind().label == name


def test_settings_stand_in_brackets() -> None:
    assert parse_method(" dn2( k = 5 ) ") == DN2(k=5)
    found = parse_method("patchcore(share=0.01, levels=(4, 8))")
    assert found == PatchCore(share=0.01, levels=(4, 8))
    assert found.label == "patchcore(levels=(4, 8), share=0.01)"


@pytest.mark.parametrize(
    "text",
    [
        "dn2",
        "dn2(k=7)",
        "padim(dimensions=20, seed=3)",
        "patchcore(levels=(4, 8), share=0.25)",
        "spade(levels=(8,), fusion='average', k_image=3)",
        "ensemble",
        "ensemble(methods=('spade', 'dn2(k=7)'), rule='ranks')",
        "ensemble(methods=(\"spade(fusion='average')\", 'dn2'))",
    ],
)
def test_a_label_is_the_text_that_names_it(text: str) -> None:
    assert parse_method(text).label == text


def test_a_published_setting_is_not_part_of_the_label() -> None:
    assert parse_method("dn2(k=2)").label == "dn2"


def test_equal_settings_have_one_label() -> None:
    assert parse_method("patchcore(share=1)").label == parse_method("patchcore(share=1.0)").label
    assert parse_method("padim(levels=[4, 8])").label == "padim(levels=(4, 8))"
    assert parse_method("spade(levels=[16, 8, 16])").label == "spade(levels=(8, 16))"


def test_methods_of_an_ensemble_are_named_as_their_own_columns() -> None:
    text = "ensemble(methods=(' dn2( k = 2 )', 'spade'))"
    assert parse_method(text).label == "ensemble(methods=('dn2', 'spade'))"


def test_methods_are_each_once() -> None:
    assert parse_methods(["spade", "dn2(k=2)", " dn2 "]) == (Spade(), DN2())


def test_settings_that_are_given_are_those_of_a_method_that_does_not_set_them_itself() -> None:
    given_settings = {"spade": {"k_image": 3, "kappa": 2}}
    assert parse_method("spade(k_image=5)", given_settings) == Spade(k_image=5, kappa=2)
    assert parse_method("dn2", given_settings) == DN2()
    expected = (Spade(k_image=3, kappa=2), PatchCore())
    assert parse_method("ensemble", given_settings) == Ensemble(methods=expected)
    text = "ensemble(methods=('dn2', 'spade(kappa=1)'))"
    assert parse_method(text, given_settings) == Ensemble(methods=(DN2(), Spade(k_image=3)))


@pytest.mark.parametrize(
    "text",
    [
        *("", "nothing", "dn2(2)", "dn2(**{})", "dn2(k=x)", "dn2(j=2)", "dn2(k=0)", "a.b", "dn2(k=1)(k=2)"),
        "spade(levels=8)",
        "spade(levels=(4, ''))",
        "spade(levels=((4,),))",
        "spade(levels=(0,))",
        "padim(levels=8)",
        "ensemble(rule='best')",
        "ensemble(methods='dn2')",
        "ensemble(methods=('dn2',))",
        "ensemble(methods=('dn2', 'dn2'))",
        "ensemble(methods=('dn2', 'dn2(k=2)'))",
        "ensemble(methods=('dn2', 'nothing'))",
        "ensemble(methods=('dn2', 'ensemble'))",
        "ensemble(seed=-1)",
        "ensemble(k=1)",
    ],
)
def test_what_is_no_method_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_method(text)
