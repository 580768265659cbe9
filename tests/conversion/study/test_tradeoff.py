"""A whole trade-off on a tiny bundle: document, table, CSV and page say the same."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from conversion.check.answers import LatticeAnswers, prefixes_of
from conversion.check.cascade import Configuration, Rule, run
from conversion.check.on_board import Joules, figure
from conversion.check.risk import RULES
from conversion.check.rows import load_rows, save_rows
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.study.document import Context, to_csv, to_document, to_table
from conversion.study.fronts import computation
from conversion.study.latency import Timing
from conversion.study.page import risk_rows, to_html
from conversion.study.tradeoff import (
    Tradeoff,
    _judge,
    check_lattice,
    evaluate_tradeoff,
    needed_bytes,
    shipped,
)
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import write_bundle
from firmware_py.contracts.errors import BundleFormatError
from firmware_py.testing.tiny_bundle import tiny_files

DIMS = {"d_model": 16.0, "heads": 4.0, "latent": 8.0, "rope": 4.0, "ffn": 32.0, "layers": 1.0}
INTENTS = ("turn_on", "turn_off")
VOID = {"meta", "line", "polyline", "polygon"}
# What makes a browser fetch something, or run it.
LOADS = re.compile(
    r"url\(|@import|<(script|link|iframe|object|embed|base)\b|https?://|\b(src|href|srcset)\s*=|javascript:|\son[a-z]+\s*=",
    re.IGNORECASE,
)


def rows(count: int, seed: int) -> tuple[Sentence, ...]:
    random = np.random.default_rng(seed)
    out = []
    for number in range(count):
        text = " ".join(["turn", "on"] + ["light"] * int(random.integers(0, 12))) + f" {number}"
        out.append(Sentence(text, "oos" if number % 10 == 9 else INTENTS[int(random.integers(2))]))
    return tuple(out)


DATA = TaskData(
    name="tiny-en", task="home", languages=("en",), labels=(*INTENTS, "oos"), slots=("area",), train=(),
    selection=rows(100, 1), temperature=rows(80, 2), thresholds=rows(400, 3), report=rows(150, 4),
)  # fmt: skip


def ask(texts: Sequence[str], prefixes: Sequence[tuple[int, ...]]) -> LatticeAnswers:
    """Deeper and wider is more often right; which rows are hard is the row's own."""
    every = {
        row.text: row
        for name in ("selection", "temperature", "thresholds", "report")
        for row in DATA.split(name)
    }
    random = np.random.default_rng(0)
    target = np.array([DATA.labels.index(every[text].intent) for text in texts])
    hard = random.normal(size=len(texts))
    logits, tags = {}, {}
    for prefix in prefixes:
        one = random.normal(size=(len(texts), 3)).astype(np.float32)
        one[np.arange(len(texts)), target] += (2.5 + len(prefix) + 0.2 * sum(prefix) - 2 * hard).astype(
            np.float32
        )
        logits[prefix] = one
        tags[prefix] = np.full((len(texts), 16), -1, np.int16)
    return LatticeAnswers(logits, tags)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    manifest, files = tiny_files(rich=True)
    # As a build ships them: one asks exit 0, the other was found by another walk than the one made here.
    rules = {**manifest.exit_rules, "risk-1": (0.9, 0.9, 0.0), "risk-2": (0.77, 0.77, 0.0)}
    manifest = replace(manifest, exit_rules=rules, zeroth_rules={**manifest.zeroth_rules, "risk-1": 0.9})
    folder = tmp_path_factory.mktemp("tiny")
    write_bundle(folder / "tiny.bundle", replace(manifest, dims=DIMS), files)
    return unpack(folder / "tiny.bundle", Trust(None, allow_unsigned=True), folder / "store")


@pytest.fixture(scope="module")
def found(unpacked: Unpacked) -> Tradeoff:
    return evaluate_tradeoff(unpacked, DATA, ask)


def context(found: Tradeoff) -> Context:
    """As if timed: seconds follow the widths."""
    parts = {f"{name} {b}": 1e-5 for name in ("host", "words", "tags") for b in (8, 16)}
    parts |= {f"head {e}/{b}": 2e-5 for e in range(4) for b in (8, 16)}
    parts |= {f"graph {b}/{s}/{w}": w * 1e-4 for b in (8, 16) for s in (1, 2, 3) for w in (1, 2, 3, 4)}
    answers = {name: np.full(50, 1e-4 * sum(way.widths)) for name, way in found.ways().items()}
    timing = Timing("scripted", parts, answers, 1.5)
    return Context(
        "tiny.bundle", 1234, "scripted", {"scripted": timing},
        lambda seconds: Joules(2.0 * seconds.mean(), 0.1 * seconds.mean(), "metered", "a test", simulated=True), "a-board",
    )  # fmt: skip


def test_every_ratio_has_the_best_way_within_it(found: Tradeoff) -> None:
    assert [line.name for line in found.ratios] == [f"{0.1 * step:.1f}" for step in range(1, 11)]
    goodness = [line.selected_accuracy for line in found.ratios if line.selected_accuracy is not None]
    assert goodness == sorted(goodness)
    assert found.ratios[-1].configuration is not None
    assert [line.name for line in found.equal] == ["static-1", "static-2", "static-3"]
    budgets = [line.budget for line in found.equal if line.budget]
    assert budgets == sorted(budgets)
    assert {line.name for line in found.points} >= {"exit-0", "exit-3", "balanced", "risk-1"}


def test_a_bundle_whose_exits_ask_slots_is_judged_so(unpacked: Unpacked) -> None:
    """A row that is sure of its label and of no slot goes to the end, and each exit asks its tag head in vain."""
    data = replace(DATA, slots=unpacked.manifest.slots)
    texts, prefixes = [row.text for row in data.report], prefixes_of([(4, 4, 4)])
    said = ask(texts, prefixes)
    said = replace(said, slots_sure={prefix: np.full(len(texts), 0.5) for prefix in prefixes})
    rule = Configuration((4, 4, 4), Rule("some", (0.1, 0.1, 0.0)))
    for asks in ("label", "least_sure"):
        told = replace(unpacked, manifest=replace(unpacked.manifest, exit_confidence=asks))
        judge = _judge(told, data, dict.fromkeys(prefixes, 1.0))
        assert judge.asks_slots == (asks == "least_sure")
        outcome = run(judge.lattice(data.report, said), replace(rule, rule=Rule("some", (0.6, 0.6, 0.0))))
        kept = ~outcome.rejected
        assert (outcome.in_vain[kept] > 0).any() == judge.asks_slots
        assert (outcome.exits[kept] == 3).all() == judge.asks_slots


def test_rules_of_the_bundle_stand_for_themselves(found: Tradeoff, unpacked: Unpacked) -> None:
    own = {str(one): one for one in shipped(unpacked.manifest)}
    balanced = next(line for line in found.points if line.name == "careful")
    assert balanced.shipped
    assert balanced.configuration == own["w4-4-4 careful"]
    assert own["w4-4-4 thrifty"].rule.zeroth == 0.7
    assert own["w4-2-2 careful"].rule.thresholds == (0.9, 0.9, 0.0)


def test_every_risk_rule_has_its_record_the_bundle_s_own_too(found: Tradeoff, unpacked: Unpacked) -> None:
    own = [one for one in shipped(unpacked.manifest) if one.rule.name in RULES]
    assert own
    for configuration in own:
        risk = found.candidates.risks[configuration]
        zeroth = configuration.rule.zeroth
        asked = (*(() if zeroth is None else (zeroth,)), *configuration.rule.thresholds[:-1])
        assert risk.thresholds == asked
        assert risk.epsilon == RULES[configuration.rule.name]
        assert risk.rows > 0
    document = json.loads(json.dumps(to_document(found, unpacked, Context("tiny.bundle", 1, "scripted"))))
    listed = {one["configuration"] for one in document["risks"]}
    assert {"w4-4-4 risk-1", "w4-4-4 risk-1+z"} <= listed
    first = risk_rows(document)[0]
    assert first["configuration"] == "w4-4-4 risk-1"
    assert first["shipped"]
    line = next(line for line in found.points if line.name == "risk-1")
    assert line.report is not None
    assert first["realised"] == pytest.approx(line.report.harm, abs=1e-6)
    assert "<td>w4-4-4 risk-1 *</td>" in to_html(document)


def test_one_computation_goes_by_one_name(found: Tradeoff) -> None:
    """The cascade within one stage's compute asks the first exit alone: it is `exit-1`, and timed once."""
    known = {
        computation(one.widths, one.rule.thresholds, one.rule.zeroth): str(one)
        for line in found.points
        if (one := line.configuration) is not None
    }
    for line in (*found.ratios, *found.equal):
        way = line.configuration
        if way is not None:
            key = computation(way.widths, way.rule.thresholds, way.rule.zeroth)
            assert known.get(key, str(way)) == str(way)
            assert way.rule.name != "t0"


@pytest.mark.parametrize(
    "change", [{"attention": "bidirectional"}, {"frame": (1, 2)}, {"dims": {"d_model": 384.0, "heads": 12.0}}]
)
def test_a_bundle_without_a_lattice_is_refused_before_anything_runs(
    unpacked: Unpacked, change: dict[str, object]
) -> None:
    def never(*_: object) -> LatticeAnswers:
        raise AssertionError

    manifest = replace(unpacked.manifest, **change)  # type: ignore[arg-type]
    with pytest.raises(BundleFormatError, match="no DeepSeekLite") as caught:
        evaluate_tradeoff(replace(unpacked, manifest=manifest), DATA, never)
    assert "ciuic eval" in caught.value.hint
    check_lattice(unpacked.manifest)


def test_calibration_is_that_of_every_exit_on_the_report_split(found: Tradeoff, unpacked: Unpacked) -> None:
    document = to_document(found, unpacked, Context("tiny.bundle", 1, "scripted"))
    assert [one["exit"] for one in document["calibration"]] == [0, 1, 2, 3]
    inside = found.report.truth.inside
    for one in document["calibration"]:
        assert sum(part["rows"] for part in one["bins"]) == one["rows"] == inside.sum()
        right = sum(part["rows"] * part["right"] for part in one["bins"])
        assert right == pytest.approx(found.report.right[(4,) * one["exit"]][inside].sum(), abs=0.01)
        gaps = sum(part["rows"] * abs(part["right"] - part["confidence"]) for part in one["bins"])
        assert one["error"] == pytest.approx(gaps / one["rows"], abs=1e-4)
    assert "Calibration of the exits" in to_html(document)


@pytest.mark.parametrize(
    ("value", "u95", "text"),
    [
        (2.18003e-4, 5.9087e-6, "218.0 ± 5.9 µJ"), (1.234e-3, 4.1e-6, "1.2340 ± 0.0041 mJ"), (0.0138, 0.0123, "14 ± 12 mJ"),
        (2.5, 0.25, "2.50 ± 0.25 J"), (3e-7, 4e-8, "0.300 ± 0.040 µJ"), (2.18e-4, None, "218 µJ"), (2.18e-4, 0.0, "218 µJ"),
    ],
)  # fmt: skip
def test_a_spread_is_written_with_its_own_digits(value: float, u95: float | None, text: str) -> None:
    assert figure(value, u95, "J") == text


def test_the_bundle_s_temperatures_are_kept_and_the_rest_fitted(found: Tradeoff, unpacked: Unpacked) -> None:
    heads = {head.exit: head.temperature for head in unpacked.manifest.heads}
    assert found.temperatures[()] == heads[0]
    assert found.temperatures[4, 4, 4] == heads[3]
    assert found.temperatures[4, 2] == unpacked.manifest.variants[0].temperatures[1]
    assert len(found.temperatures) == 85


def test_a_bundle_without_a_zeroth_exit_may_have_unreachable_ratios(tmp_path: Path) -> None:
    manifest, files = tiny_files()
    path = tmp_path / "plain.bundle"
    write_bundle(path, replace(manifest, dims=DIMS), files)
    plain = unpack(path, Trust(None, allow_unsigned=True), tmp_path / "plain")
    found = evaluate_tradeoff(plain, DATA, ask)
    first = found.ratios[0]
    assert first.configuration is None
    assert first.cheapest is not None
    assert first.cheapest > 0.1
    document = to_document(found, plain, Context("plain.bundle", 1, "scripted"))
    assert document["rows"][0] == {
        "name": "0.1", "budget": 0.1, "reachable": False, "cheapest_ratio": first.cheapest,
    }  # fmt: skip
    assert "unreachable" in to_table(document)
    assert "Nothing in this bundle is so cheap: 0.1" in to_html(document)
    assert "Nothing was timed" in to_html(document)


def test_only_what_a_way_uses_is_needed(found: Tradeoff, unpacked: Unpacked) -> None:
    exits = {line.name: line.configuration for line in found.points}
    zeroth, full = exits["exit-0"], exits["exit-3"]
    assert zeroth is not None
    assert full is not None
    head = next(one.file.size_bytes for one in unpacked.manifest.heads if one.exit == 0)
    assert needed_bytes(unpacked.manifest, zeroth) == needed_bytes(unpacked.manifest, full) + head
    whole = sum(member.size_bytes for member in unpacked.manifest.members())
    assert needed_bytes(unpacked.manifest, full) < whole


def test_document_table_csv_and_page_say_the_same(
    found: Tradeoff, unpacked: Unpacked, tmp_path: Path
) -> None:
    document = json.loads(json.dumps(to_document(found, unpacked, context(found))))
    row = document["rows"][-1]
    assert row["energy"]["source"] == "a test"
    latency = row["latency_s"]["scripted"]
    assert row["energy"]["energy_j"] == pytest.approx(2.0 * latency["mean"])
    assert latency["composed_mean"] != pytest.approx(latency["mean"], rel=0.05)
    table = list(csv.DictReader(io.StringIO(to_csv(document))))
    assert len(table) == len(document["rows"]) + len(document["equal_compute"]) + len(document["points"])
    assert float(table[9]["accuracy"]) == row["report"]["accuracy"]
    assert float(table[9]["latency_mean_s scripted"]) == row["latency_s"]["scripted"]["mean"]
    assert f"{row['report']['accuracy']:.2%}" in to_table(document)
    assert "busy machine" in to_table(document)
    assert f"{row['needed_bytes'] / 1e6:.2f} MB" in to_table(document)
    head = to_table(document).splitlines()[0]
    assert head.split()[-3:] == ["size", "latency", "energy"]
    html = to_html(document)
    assert f"{row['report']['accuracy']:.2%}" in html
    assert "Accuracy over energy" in html
    assert "Accuracy over latency in scripted" in html
    assert "do not publish" in html
    assert "added-up parts" not in html
    assert "added-up parts" in to_html({**document, "energy_from": None})  # as older documents are
    (tmp_path / "page.html").write_text(html)


def test_the_page_loads_nothing_and_is_well_formed(found: Tradeoff, unpacked: Unpacked) -> None:
    html = to_html(to_document(found, unpacked, context(found)))
    opened: list[str] = []
    loads: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            loads.extend(f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset"})
            if tag not in VOID:
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in VOID:
                assert opened.pop() == tag

    Reader().feed(html)
    assert opened == []
    assert loads == []
    assert LOADS.search(html) is None


@pytest.mark.parametrize(
    "planted",
    [
        "<style>body{background:url(x.png)}</style>", "<style>a{b:url('//x.example/y')}</style>", "<script>1</script>",
        "<SCRIPT src=x>", "<p>see http://x.example</p>", "<p>https://x.example/</p>", '<link rel="icon">',
        "<style>@import 'x.css';</style>", '<image href="//x.example/y.png"/>', "<iframe></iframe>", '<p onclick="x()">',
    ],
)  # fmt: skip
def test_the_look_for_what_a_page_loads_can_find_it(planted: str) -> None:
    assert LOADS.search(f"<html><body><p>0.9 of 1</p>{planted}</body></html>") is not None


def test_rows_of_every_line_are_kept_for_pairing(found: Tradeoff, tmp_path: Path) -> None:
    save_rows(tmp_path / "rows.npz", found.rows())
    back = load_rows(tmp_path / "rows.npz")
    assert back.sha256 == DATA.hashes()["report"]
    line = found.equal[1]
    assert line.report is not None
    system = back.systems[line.name]
    assert system.right[back.truth.inside].mean() == pytest.approx(line.report.accuracy)
    assert system.macs is not None
    assert system.macs[back.truth.inside].mean() == pytest.approx(line.report.macs)
