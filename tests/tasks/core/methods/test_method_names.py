from __future__ import annotations

import pytest

from tasks.core.errors import ConfigurationError
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.patchcore import PatchCore
from tasks.core.methods.registry import METHODS, method_label, parse_method


def test_a_name_alone_has_the_published_settings() -> None:
    for name, kind in METHODS.items():
        assert parse_method(name) == kind()
        assert method_label(kind()) == name


def test_settings_stand_in_brackets() -> None:
    assert parse_method(" dn2( k = 5 ) ") == DN2(k=5)
    found = parse_method("patchcore(share=0.01, strides=(4, 8))")
    assert found == PatchCore(share=0.01, strides=(4, 8))
    assert method_label(found) == "patchcore(strides=(4, 8), share=0.01)"


@pytest.mark.parametrize(
    "text",
    [
        "dn2",
        "dn2(k=7)",
        "padim(dimensions=20, seed=3)",
        "patchcore(strides=(4, 8), share=0.25)",
        "ensemble",
        "ensemble(methods=('spade', 'dn2(k=7)'), rule='ranks')",
    ],
)
def test_a_label_names_the_same_method(text: str) -> None:
    assert method_label(parse_method(text)) == text


def test_a_published_setting_is_not_part_of_the_label() -> None:
    assert method_label(parse_method("dn2(k=2)")) == "dn2"


def test_methods_of_an_ensemble_are_named_as_their_own_columns() -> None:
    text = "ensemble(methods=(' dn2( k = 2 )', 'spade'))"
    assert method_label(parse_method(text)) == "ensemble(methods=('dn2', 'spade'))"


@pytest.mark.parametrize(
    "text",
    [
        *("", "nothing", "dn2(2)", "dn2(**{})", "dn2(k=x)", "dn2(j=2)", "dn2(k=0)", "a.b", "dn2(k=1)(k=2)"),
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
