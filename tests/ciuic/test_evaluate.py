"""`ciuic eval` and `ciuic key` from outside: one JSON document, a table, codes for bad rows."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciuic.cli import main
from ciuic.evaluate import table
from ciuic.progress import Progress
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.clock import VirtualClock
from firmware_py.tasks.intent import Encoded, IntentTask
from firmware_py.testing.metrics import summarise
from firmware_py.testing.tiny_bundle import write_tiny_bundle

ROWS: list[dict[str, Any]] = [
    {"text": "turn on the kitchen light", "intent": "turn_on", "slots": [[12, 19, "area"]]},
    {"text": "off", "intent": "turn_off"},
    {"text": "please turn off the garden", "intent": "turn_off", "slots": [[20, 26, "area"]]},
    {"text": "on", "intent": "turn_off"},
    {"text": "play a song", "intent": "oos", "split": "ignored"},
    {"text": "", "intent": "oos"},
]
KEYS = {
    "n", "accuracy", "macro_f1", "accuracy_by_exit", "exit_share", "mean_depth", "slot_f1", "out_of_scope",
    "latency_s", "energy_j", "zeroth", "calibration", "rule", "widths",
}  # fmt: skip


def write(folder: Path, *lines: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def evaluate(folder: Path, data: Path, *more: str, rich: bool = False) -> int:
    bundle = folder / "tiny.bundle"
    write_tiny_bundle(bundle, rich=rich)
    words = ["eval", "--bundle", str(bundle), "--data", str(data), "--store", str(folder / "store")]
    return main([*words, "--allow-unsigned", "--profile", "simulated", "--meter", "off", *more])


def test_the_json_has_the_keys_of_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path, *map(json.dumps, ROWS))
    assert evaluate(tmp_path, data, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert set(summary) == KEYS
    assert (summary["n"], summary["accuracy"], summary["slot_f1"]) == (4, 0.75, 1.0)
    assert summary["exit_share"] == [0.5, 0.5, 0.0]
    assert summary["accuracy_by_exit"] == [0.75, 0.75, 0.75]
    assert summary["out_of_scope"] == {"n": 2, "auroc": 1.0, "recall": 1.0, "in_scope_accuracy": 0.75}
    assert [one["exit"] for one in summary["calibration"]] == [1, 2, 3]
    assert set(summary["calibration"][0]) == {"exit", "error", "perfect", "perfect_p95"}
    assert summary["energy_j"]["source"] == "estimated"
    assert summary["energy_j"]["methods"] == {"estimated": 5}  # the empty text ran nothing
    assert summary["energy_j"]["simulated"] is True
    assert 0.0 < summary["latency_s"]["p50"] <= summary["latency_s"]["p99"]


def test_the_table_says_what_the_joules_rest_on() -> None:
    joules = {"mean": 0.003, "u95": 0.001, "source": "estimated", "simulated": True, "n": 10}
    for methods, words in (
        ({"estimated": 10}, "(estimated, simulated)"),
        ({"predicted": 1, "estimated": 9}, "(9 estimated, 1 predicted, simulated)"),
    ):
        summary = summarise([], exits=0) | {
            "latency_s": {"p50": 0.1, "p99": 0.2},
            "rule": "balanced",
            "widths": [],
        }
        assert words in table(summary | {"energy_j": joules | {"methods": methods}})


def test_rule_and_widths_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`on` leaves at exit 2 at full width and at exit 1 at 4-2-2; `thrifty` asks exit 0, which costs no stage."""
    data = write(tmp_path, *map(json.dumps, ROWS))

    def summary(*more: str) -> dict[str, Any]:
        assert evaluate(tmp_path, data, "--json", *more, rich=True) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    full = summary()
    assert (full["rule"], full["widths"], full["exit_share"]) == ("balanced", [4, 4, 4], [0.5, 0.5, 0.0])
    assert full["zeroth"] == {"accuracy": 0.75, "exit_share": 0.0}
    narrow = summary("--widths", "4-2-2")
    assert (narrow["widths"], narrow["exit_share"]) == ([4, 2, 2], [1.0, 0.0, 0.0])
    thrifty = summary("--rule", "thrifty")
    assert (thrifty["rule"], thrifty["exit_share"]) == ("thrifty", [0.5, 0.0, 0.0])
    assert thrifty["zeroth"]["exit_share"] == 0.5
    assert thrifty["mean_depth"] < 1.0
    assert thrifty["energy_j"]["mean"] > 0.0


def test_what_is_asked_wrongly_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path, json.dumps(ROWS[0]))
    for words, code in (
        (["--widths", "4-9-2"], "config_invalid"),
        (["--widths", "4-2"], "config_invalid"),
        (["--rule", "fastest"], "unknown_accuracy"),
    ):
        assert evaluate(tmp_path, data, *words) != 0
        assert f"[{code}]" in capsys.readouterr().err


def test_the_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path, write(tmp_path, json.dumps(ROWS[1]))) == 0
    out = capsys.readouterr().out
    assert "accuracy        100.0%" in out
    assert "slot F1         -" in out
    assert "rule balanced, widths 4-4-4" in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "rows.jsonl:2 is not JSON"),
        ("[]", "rows.jsonl:2 is not an object"),
        ('{"text": "on"}', "rows.jsonl:2.intent is missing"),
        ('{"text": 5, "intent": "x"}', "rows.jsonl:2.text is not a string"),
        ('{"text": "on", "intent": "x", "slots": {}}', "rows.jsonl:2.slots is not an array"),
        (
            '{"text": "on", "intent": "x", "slots": [[0, 1]]}',
            "rows.jsonl:2: a slot is not [start, end, name]",
        ),
        (
            '{"text": "on", "intent": "x", "slots": [[0, 3, "area"]]}',
            "rows.jsonl:2: a slot lies outside its text",
        ),
        (
            '{"text": "on", "intent": "x", "slots": [["0", 1, "area"]]}',
            "rows.jsonl:2: a slot's start or end is not an integer",
        ),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """Exit status 2, the stable code, the line; never the row's text."""
    assert evaluate(tmp_path, write(tmp_path, json.dumps(ROWS[0]), line)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "[data_invalid]" in err
    assert "kitchen" not in err


def test_intents_that_the_model_does_not_know_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One counts as wrong and is said; where all are unknown, the rows are another model's."""
    strange = json.dumps({"text": "turn on the light", "intent": "Bogus"})
    assert evaluate(tmp_path, write(tmp_path, json.dumps(ROWS[0]), strange), "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["accuracy"] == 0.5
    assert "1 rows have an intent that the model does not know" in said.err
    assert evaluate(tmp_path, write(tmp_path, strange, strange)) == 2
    assert "none of the rows' intents is one of the" in capsys.readouterr().err


def test_slots_that_the_model_does_not_know_are_said_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of the house's names adds the kinds of things that a node finds without the model."""
    row = {"text": "turn on the kitchen light", "intent": "turn_on"}
    data = write(
        tmp_path,
        json.dumps(row | {"slots": [[12, 19, "area"]]}),
        json.dumps(row | {"slots": [[12, 19, "floor"], [20, 25, "lamp"]]}),
    )
    assert evaluate(tmp_path, data) == 0
    assert "2 slots have a name that the model does not know ('floor', 'lamp')" in capsys.readouterr().err
    names = tmp_path / "names.toml"
    names.write_text("[[area]]\nid = 'k'\nname = 'Kitchen'\n", "utf-8")
    assert evaluate(tmp_path, data, "--names", str(names)) == 0
    assert "1 slots have a name that the model does not know ('lamp')" in capsys.readouterr().err


def test_rows_that_a_node_refuses_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ROWS[0], {"text": "?!", "intent": "turn_on"}, {"text": "on " * 2000, "intent": "turn_on"}]
    assert evaluate(tmp_path, write(tmp_path, *map(json.dumps, rows))) == 0
    assert "2 rows are refused by a node before it runs them" in capsys.readouterr().err
    assert evaluate(tmp_path, write(tmp_path, json.dumps(ROWS[0]))) == 0
    assert capsys.readouterr().err == ""


def test_a_row_is_cut_into_pieces_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = IntentTask.encode

    def counting(task: IntentTask, asked: Mapping[str, str]) -> Encoded:
        seen.append(asked["text"])
        return encode(task, asked)

    monkeypatch.setattr(IntentTask, "encode", counting)
    assert evaluate(tmp_path, write(tmp_path, *map(json.dumps, ROWS)), "--self-test", "never") == 0
    assert seen == [row["text"] for row in ROWS]


def test_absent_and_empty_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path, tmp_path / "none.jsonl") == 2
    assert "[data_missing]" in capsys.readouterr().err
    assert evaluate(tmp_path, write(tmp_path, "")) == 2
    assert "has no rows [data_invalid]" in capsys.readouterr().err
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xff", "intent": "x"}\n')
    assert evaluate(tmp_path, tmp_path / "latin.jsonl") == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_a_refused_bundle_has_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path, json.dumps(ROWS[0]))
    assert main(["eval", "--bundle", str(tmp_path / "none.bundle"), "--data", str(data)]) == 2
    assert "[bundle_missing]" in capsys.readouterr().err


def test_a_key_pair_is_made_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", "me", "--folder", str(tmp_path), "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["keys"]
    assert main(["key", "show", "--folder", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"] == [made]
    assert len(made["id"]) == 16
    assert main(["key", "new", "me", "--folder", str(tmp_path)]) == 2
    assert "[key_invalid]" in capsys.readouterr().err


def test_no_key_yet_is_said_with_the_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "show", "--folder", str(tmp_path / "none")]) == 0
    assert "make one with `ciuic key new NAME`" in capsys.readouterr().out
    assert main(["key", "show", str(tmp_path / "none.pub")]) == 2


def test_a_bundle_signed_with_a_key_of_ones_own_is_taken_by_who_trusts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, keys = tmp_path / "tiny.bundle", ["--folder", str(tmp_path / "keys")]
    write_tiny_bundle(bundle)
    assert main(["key", "new", "me", *keys, "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["keys"]
    assert main(["key", "sign", str(bundle), "me", *keys, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["key"] == made["id"]
    assert read_bundle(bundle, Trust(tmp_path / "keys")).sha256 == said["sha256"]
    assert main(["key", "sign", str(bundle), "me", *keys]) == 0  # again, in its place
    assert main(["key", "sign", str(bundle), "you", *keys]) == 2
    assert "[key_invalid]" in capsys.readouterr().err
    assert main(["key", "sign", str(write(tmp_path, "text")), "me", *keys]) == 1
    said_why = capsys.readouterr().err
    assert "[bundle_" in said_why
    assert "delete it first" not in said_why
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert main(["key", "sign", str(bundle), "me", *keys]) == 1  # changed since it was signed
    assert "[bundle_truncated]" in capsys.readouterr().err


def test_a_bundle_that_replaced_another_is_signed_once_the_other_s_signature_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, keys = tmp_path / "tiny.bundle", ["--folder", str(tmp_path / "keys")]
    write_tiny_bundle(bundle)
    assert main(["key", "new", "me", *keys]) == 0
    assert main(["key", "sign", str(bundle), "me", *keys]) == 0
    write_tiny_bundle(bundle, rich=True)
    capsys.readouterr()
    assert main(["key", "sign", str(bundle), "me", *keys]) == 1
    assert "tiny.bundle.sig is an earlier bundle's, delete it first" in capsys.readouterr().err
    bundle.with_name("tiny.bundle.sig").unlink()
    assert main(["key", "sign", str(bundle), "me", *keys]) == 0


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def test_progress_is_silent_for_two_seconds_and_then_draws() -> None:
    clock, terminal, pipe = VirtualClock(), Terminal(), io.StringIO()
    with Progress("work", 10, clock, terminal) as bar, Progress("work", 10, clock, pipe) as lines:
        clock.advance(1.9)
        bar(1)
        lines(1)
        assert terminal.getvalue() + pipe.getvalue() == ""
        for done in range(2, 11):
            clock.advance(1.0)
            bar(done)
            lines(done)
    assert "work [###############               ]  50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
    assert pipe.getvalue().splitlines()[0] == "work: 20%, 12 s left"
    assert len(pipe.getvalue().splitlines()) == 9
