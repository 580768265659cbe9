"""Which ways through the lattice a bundle offers: exit rules, width combinations, the zeroth exit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conversion.check import cascade
from conversion.check.answers import LatticeAnswers, Prefix
from conversion.check.calibrate import preset_rules
from conversion.check.judge import Costs, Judge
from conversion.check.risk import RULES, Risk, guess, shared_sequence
from conversion.export.lattice import widths_by_bucket
from conversion.release.listen import Trained
from conversion.study import choose
from firmware_py.contracts.manifest import Variant
from firmware_py.tasks.text import WordPiece

ZEROTH_LOSS = 0.005  # accuracy on the selection split: half of what risk-1 may harm

Lattices = Mapping[str, cascade.Lattice]


def judge_of(trained: Trained, tokenizer: WordPiece, sides: Mapping[str, LatticeAnswers]) -> Judge:
    """Temperatures and the scope threshold from their split: the rows that test the rules have no part in it."""
    costs = Costs.of(trained.student, widths_by_bucket())
    return Judge.fitted(trained.data, tokenizer, sides["temperature"], trained.strangeness, costs)


@dataclass(frozen=True, slots=True)
class Ways:
    """What was chosen: rules at full width, thresholds of exit 0 for those that ask it, and by compute budget.

    `risks`: the risk control behind each configuration that has one.
    """

    full: Prefix
    rules: Mapping[str, tuple[float, ...]]
    zeroth: Mapping[str, float]
    best: Mapping[float, cascade.Configuration]
    risks: Mapping[cascade.Configuration, Risk]

    @property
    def asks_zeroth(self) -> bool:
        """Whether any of them asks exit 0: else its head is not shipped."""
        return bool(self.zeroth) or any(way.rule.zeroth is not None for way in self.best.values())

    def by_rule(self) -> dict[str, cascade.Configuration]:
        """Every rule at full width by name, and `full`: the last exit answers everything."""
        rules = [cascade.Rule(name, row, self.zeroth.get(name)) for name, row in self.rules.items()]
        last = cascade.static(len(self.full), len(self.full))
        return {rule.name: cascade.Configuration(self.full, rule) for rule in rules} | {
            "full": cascade.Configuration(self.full, last)
        }


def find_ways(lattices: Lattices) -> Ways:
    """Risk rules are tested on the thresholds' rows; everything else is chosen on those of selection.

    Of a risk rule's two forms the one that ships is fixed without a look at how the tests went.
    """
    tests, selection = lattices["thresholds"], lattices["selection"]
    widths = sorted({p for p in tests.verdicts if len(p) == tests.depth}, reverse=True)
    found = choose.candidates(widths, tests)
    rules, zeroth = _rules(found, selection, widths[0])
    return Ways(widths[0], rules, zeroth, _front(found, selection), found.risks)


def shipped_variants(
    ways: Ways, report: cascade.Lattice, temperature: Mapping[Prefix, float]
) -> tuple[Variant, ...]:
    """The calibration of other widths than the full one: uniform ones and those that a budget's best way has."""
    uniform = sorted(
        {p for p in report.verdicts if len(p) == report.depth and len(set(p)) == 1}, reverse=True
    )
    out = []
    for widths in dict.fromkeys([*uniform, *(way.widths for way in ways.best.values())]):
        if widths == ways.full:
            continue
        tested = [way.rule for way in ways.risks if way.widths == widths and way.rule.zeroth is None]
        out.append(
            Variant(
                widths=widths,
                temperatures=tuple(temperature[widths[:n]] for n in range(1, len(widths) + 1)),
                exit_rules=preset_rules(len(widths)) | {rule.name: rule.thresholds for rule in tested},
                accuracy=accuracy(report, widths),
                macs=int(report.compute.upto(widths, zeroth=False)[-1].mean()),
            )
        )
    return tuple(out)


def accuracy(lattice: cascade.Lattice, prefix: Prefix) -> float:
    """Of one exit alone, in scope, templates weighing the same."""
    known = lattice.truth.inside
    return round(cascade.weighted(lattice.right[prefix][known], lattice.truth.weight[known]), 5)


def joins(selection: cascade.Lattice, full: Prefix, epsilon: float) -> bool:
    """Whether the zeroth exit takes part in a risk rule, said by the selection rows alone.

    Both forms are tested on the thresholds' rows. Whoever looked at both results first and then took one would
    have two chances to pass a bad rule, so the form is fixed before, by where each walk would end on these rows.
    """
    if () not in selection.verdicts:
        return False
    guessed = [_guessed(selection, full, epsilon, zeroth=zeroth) for zeroth in (False, True)]
    if guessed[1].rule.zeroth is None or guessed[1].rule.zeroth > 1.0:
        return False
    scores = choose.score(selection, guessed)
    cheaper = bool(scores.ratio[1] < scores.ratio[0])
    return cheaper and bool(scores.goodness[1] >= scores.goodness[0] - ZEROTH_LOSS)


def forms(selection: cascade.Lattice, full: Prefix) -> dict[str, bool]:
    """Whether the zeroth exit takes part in each risk rule: as `joins` says, but a rule that may harm more costs no more.

    Where it would, by the guesses on these rows, it takes the stricter rule's form: its walk in that form passes every
    rule that the stricter one's does. Fixed before the test, as everything here.
    """
    out: dict[str, bool] = {}
    stricter: tuple[bool, float] | None = None
    for name, epsilon in sorted(RULES.items(), key=lambda rule: rule[1]):
        early = joins(selection, full, epsilon)
        if stricter is not None and _cost(selection, full, epsilon, zeroth=early) > stricter[1]:
            early = stricter[0]
        out[name] = early
        stricter = (early, _cost(selection, full, epsilon, zeroth=early))
    return out


def _cost(selection: cascade.Lattice, full: Prefix, epsilon: float, *, zeroth: bool) -> float:
    """Compute of a guess on the selection rows, as a share of full."""
    return float(choose.score(selection, [_guessed(selection, full, epsilon, zeroth=zeroth)]).ratio[0])


def _guessed(
    selection: cascade.Lattice, full: Prefix, epsilon: float, *, zeroth: bool
) -> cascade.Configuration:
    said = cascade.answered(selection, full, zeroth=zeroth)
    found = guess(said, shared_sequence(len(said.sure)), epsilon)
    first, later = (found[0], found[1:]) if zeroth else (None, found)
    return cascade.Configuration(full, cascade.Rule("guess", (*later, 0.0), first))


def _rules(
    found: choose.Candidates, selection: cascade.Lattice, full: Prefix
) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """Presets and risk rules at full width; what the test said of the form that was fixed before it."""
    rules = preset_rules(len(full))
    zeroth: dict[str, float] = {}
    tested = {
        (risk.epsilon, c.rule.zeroth is not None): c.rule
        for c, risk in found.risks.items()
        if c.widths == full
    }
    joined = forms(selection, full)
    for name, epsilon in RULES.items():
        rule = tested[epsilon, joined[name]]
        rules[name] = rule.thresholds
        if rule.zeroth is not None and rule.zeroth <= 1.0:  # else the test showed nothing: no exit is early
            zeroth[name] = rule.zeroth
    return rules, zeroth


def _front(found: choose.Candidates, selection: cascade.Lattice) -> dict[float, cascade.Configuration]:
    """The best configuration within each compute budget that one can be had for."""
    scores = choose.score(selection, found.configurations)
    best = {ratio: choose.best_within(scores, ratio) for ratio in choose.RATIOS}
    return {ratio: found.configurations[number] for ratio, number in best.items() if number is not None}
