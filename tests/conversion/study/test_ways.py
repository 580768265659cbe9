"""Which form of a risk rule ships is fixed before it is tested (`conversion/release/ways.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`")

from conversion.check.cascade import Lattice
from conversion.check.risk import DELTA, NEVER, RULES, Answered, binomial_tail, guess, shared_sequence
from conversion.release.ways import find_ways, forms, joins
from conversion.study.choose import risk_rules, score

FULL = (4, 4, 4)


def with_zeroth(whole: Lattice, *, confidence: float, right: float, seed: int = 0) -> Lattice:
    """The same rows with a zeroth exit that is equally sure of all and right so often."""
    rows = len(whole.truth.target)
    said = replace(whole.verdicts[()], confidence=np.full(rows, confidence))
    hit = np.random.default_rng(seed).uniform(size=rows) < right
    return replace(whole, verdicts={**whole.verdicts, (): said}, right={**whole.right, (): hit})


def without_zeroth(whole: Lattice) -> Lattice:
    kept = {prefix: one for prefix, one in whole.verdicts.items() if prefix}
    return replace(whole, verdicts=kept, right={prefix: whole.right[prefix] for prefix in kept})


def test_a_zeroth_exit_that_is_cheap_and_right_joins(lattice: Callable[..., Lattice]) -> None:
    good = with_zeroth(lattice(300), confidence=0.9999, right=1.0)
    assert joins(good, FULL, 0.01)
    assert not joins(with_zeroth(lattice(300), confidence=0.9999, right=0.5), FULL, 0.01)  # it would harm
    assert not joins(with_zeroth(lattice(300), confidence=0.0, right=1.0), FULL, 0.0)  # it saves nothing
    assert not joins(without_zeroth(lattice(300)), FULL, 0.01)


@pytest.mark.parametrize("good", [False, True])
def test_the_form_is_the_same_however_the_test_goes(lattice: Callable[..., Lattice], *, good: bool) -> None:
    """Who takes the better of two tested rules tests twice: no result of the test may change the form."""
    selection = with_zeroth(lattice(300, seed=1), confidence=0.9999, right=1.0 if good else 0.5)
    asked = set()
    for seed, right in ((2, 1.0), (3, 0.5), (4, 0.9)):
        tests = with_zeroth(lattice(700, seed=seed), confidence=0.9999, right=right)
        ways = find_ways({"thresholds": tests, "selection": selection})
        for name in RULES:
            tested = {
                zeroth: {c.rule.name: c.rule for c in risk_rules(FULL, tests, zeroth=zeroth)}
                for zeroth in (False, True)
            }
            form = tested[good][f"{name}+z" if good else name]
            assert ways.rules[name] == form.thresholds
            passed = form.zeroth is not None and form.zeroth <= 1.0
            assert ways.zeroth.get(name) == (form.zeroth if passed else None)
            asked.add(passed)
    assert asked == ({False, True} if good else {False})  # the tests above did differ


@pytest.mark.parametrize(("confidence", "cheap"), [(0.9999, True), (0.0, False)])
def test_a_rule_that_may_harm_more_is_not_dearer(
    lattice: Callable[..., Lattice], monkeypatch: pytest.MonkeyPatch, *, confidence: float, cheap: bool
) -> None:
    """risk-1 asks exit 0, risk-2 by itself would not: it does where it would cost more than risk-1 otherwise."""
    monkeypatch.setattr("conversion.release.ways.joins", lambda _, __, epsilon: epsilon < 0.015)
    selection = with_zeroth(lattice(300, seed=1), confidence=confidence, right=1.0)
    assert forms(selection, FULL) == {"risk-1": True, "risk-2": cheap}
    tests = with_zeroth(lattice(900, seed=3), confidence=confidence, right=1.0)
    ways = find_ways({"thresholds": tests, "selection": selection})
    assert ("risk-2" in ways.zeroth) == cheap
    by_rule = ways.by_rule()
    first, second = score(tests, [by_rule[name] for name in ("risk-1", "risk-2")]).ratio
    assert second <= first


def test_a_form_that_its_test_refuses_is_not_replaced_by_the_other(lattice: Callable[..., Lattice]) -> None:
    """The plain rule would have passed; taking it now would be a second chance."""
    selection = with_zeroth(lattice(300, seed=1), confidence=0.9999, right=1.0)
    tests = with_zeroth(lattice(900, seed=3), confidence=0.9999, right=0.5)
    plain = {c.rule.name: r for c, r in risk_rules(FULL, tests, zeroth=False).items()}
    assert plain["risk-2"].holds
    assert plain["risk-2"].thresholds[0] < NEVER
    ways = find_ways({"thresholds": tests, "selection": selection})
    assert ways.rules["risk-2"] == (NEVER, NEVER, 0.0)
    assert "risk-2" not in ways.zeroth


def test_one_form_is_tested_at_the_level_that_is_promised(lattice: Callable[..., Lattice]) -> None:
    ways = find_ways({"thresholds": lattice(900, seed=3), "selection": lattice(300, seed=1)})
    for name, epsilon in RULES.items():
        form = f"{name}+z" if name in ways.zeroth else name
        (risk,) = [r for c, r in ways.risks.items() if c.widths == FULL and c.rule.name == form]
        assert risk.delta == DELTA
        assert binomial_tail(risk.harmed, risk.rows, epsilon) <= DELTA


def test_a_guess_is_the_last_rule_before_too_many_are_harmed() -> None:
    confidence = np.linspace(0.0, 0.99, 100)[None]
    right = np.ones((2, 100), bool)
    right[0, :30] = False  # the unsure ones
    sequence = shared_sequence(1)
    assert guess(Answered(confidence, right), sequence, 0.0) == (0.3,)
    assert guess(Answered(confidence, right), sequence, 0.11) == (0.2,)
    assert guess(Answered(confidence, right), sequence, 1.0) == (0.0,)
    right[0] = False
    assert guess(Answered(confidence, right), sequence, 0.0) == (0.992,)  # asked of none
