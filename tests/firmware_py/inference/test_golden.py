"""The self-test catches wrong answers and dead interpreters, in a child, and is not repeated in vain."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_py.backends.opening import DelegateSpec
from firmware_py.backends.scripted import ScriptedGraph
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import member, write_bundle
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import BundleFormatError, GoldenTestError
from firmware_py.contracts.golden import GoldenRow, parse_golden, write_golden
from firmware_py.inference import golden
from firmware_py.inference.engine import Weights
from firmware_py.inference.golden import check_rows, load_rows, self_test
from firmware_py.testing.tiny_bundle import tiny_files

HERE = Path(__file__).parent
ANYONE = Trust(None, allow_unsigned=True)


def runner(unpacked: Unpacked) -> ModelCache:
    return ModelCache(unpacked.manifest.graphs, ScriptedGraph, "scripted")


def bundle_with(folder: Path, **rows: Any) -> Unpacked:
    """The tiny bundle with its first golden row changed."""
    first, *rest = parse_golden(tiny_files()[1]["golden.jsonl"])
    return bundle_of(folder, [replace(first, **rows), *rest])


def bundle_of(folder: Path, rows: Iterable[GoldenRow]) -> Unpacked:
    """The tiny bundle with other golden rows."""
    manifest, files = tiny_files()
    files["golden.jsonl"] = write_golden(rows)
    manifest = replace(manifest, golden=member("golden.jsonl", files["golden.jsonl"]))
    write_bundle(folder / "x.bundle", manifest, files)
    return unpack(folder / "x.bundle", ANYONE, folder / "store")


def test_rows_are_written_and_read_back() -> None:
    row = GoldenRow("turn on", (2, 3), ((1.0, -2.5), (0.0, 1.25)), 0.1, (0, 1))
    assert parse_golden(write_golden([row])) == (row,)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"nope", b"\xff", b'{"text":"a","ids":["x"]}'])
def test_what_is_no_golden_file_is_refused(data: bytes) -> None:
    with pytest.raises(BundleFormatError):
        parse_golden(data)


def test_right_answers_pass(tiny: Unpacked) -> None:
    check_rows(Weights.load(tiny), runner(tiny), load_rows(tiny))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"logits": ((9.0, 0.0, 0.0),) * 3}, "row 1, exit 1: a logit is"),
        ({"logits": ((0.0, 0.0),) * 3}, "no logits of this form for exit 1"),
        ({"logits": ()}, "no logits of this form for exit 1"),
        ({"tags": (2, 2, 2, 2, 2)}, "golden slot tags agree"),
    ],
)
def test_wrong_answers_fail_and_say_where(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    unpacked = bundle_with(tmp_path, **change)
    with pytest.raises(GoldenTestError, match=said):
        check_rows(Weights.load(unpacked), runner(unpacked), load_rows(unpacked))


def test_not_a_number_fails(tiny: Unpacked) -> None:
    """NaN is further off than any tolerance."""
    graphs = tiny.manifest.graphs
    silly = ModelCache(
        graphs, lambda g: ScriptedGraph(g, lambda _, t: {"h_out": t["h"] * np.nan}), "scripted"
    )
    with pytest.raises(GoldenTestError):
        check_rows(Weights.load(tiny), silly, load_rows(tiny))


@pytest.mark.parametrize(("share", "refused"), [(0.05, False), (0.12, True)])
def test_small_errors_everywhere_fail_where_no_row_alone_does(
    tmp_path: Path, share: float, refused: bool
) -> None:
    """As a stage that does nothing looks like within the tolerance of an accelerator's recipe."""
    rows = parse_golden(tiny_files()[1]["golden.jsonl"])
    spread = float(np.std([row.logits[-1] for row in rows]))

    def moved(row: GoldenRow, by: float) -> GoldenRow:
        last = tuple(value + by * (-1) ** at for at, value in enumerate(row.logits[-1]))
        return replace(row, logits=(*row.logits[:-1], last), atol=9.0)

    unpacked = bundle_of(tmp_path, [moved(row, share * spread) for row in rows])
    with pytest.raises(GoldenTestError, match="exit 3: logits are") if refused else nullcontext():
        check_rows(Weights.load(unpacked), runner(unpacked), load_rows(unpacked))


def test_a_passed_test_is_stamped_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = bundle_with(tmp_path)
    self_test(unpacked, DelegateSpec(), VirtualClock())
    stamp = json.loads((tmp_path / "store" / f"{unpacked.sha256}.tested.json").read_text(encoding="utf-8"))
    assert list(stamp) == [f"scripted 1 {os.uname().machine} xnnpack"]

    def never(*_args: object, **_more: object) -> None:
        pytest.fail("a passed test ran again")

    monkeypatch.setattr(subprocess, "Popen", never)
    self_test(unpacked, DelegateSpec(), VirtualClock())


def test_a_stamp_that_cannot_be_written_fails_no_test(
    tiny: Unpacked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(golden, "write_atomic", full)
    self_test(tiny, DelegateSpec(), VirtualClock())
    assert "No space left on device" in caplog.text


def test_a_child_that_cannot_be_had_is_a_failed_test(tiny: Unpacked, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_args: object, **_more: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", none)
    with pytest.raises(GoldenTestError, match="could not be started: Cannot allocate memory"):
        self_test(tiny, DelegateSpec(), VirtualClock())


def test_the_child_reports_what_failed_and_nothing_is_stamped(tmp_path: Path) -> None:
    unpacked = bundle_with(tmp_path, logits=((9.0, 0.0, 0.0),) * 3)
    with pytest.raises(GoldenTestError, match="row 1, exit 1"):
        self_test(unpacked, DelegateSpec(), VirtualClock())
    assert not (tmp_path / "store" / f"{unpacked.sha256}.tested.json").exists()


def test_other_tokens_fail_in_the_child(tmp_path: Path) -> None:
    unpacked = bundle_with(tmp_path, text="turn off the kitchen light")
    with pytest.raises(GoldenTestError, match="row 1 is cut into other tokens"):
        self_test(unpacked, DelegateSpec(), VirtualClock())


def test_a_damaged_file_fails_in_the_child(tmp_path: Path) -> None:
    """Same size, other bytes: the start-up's size check passes, the self-test does not."""
    unpacked = bundle_with(tmp_path)
    graph = unpacked.path(unpacked.manifest.graphs[0].file.name)
    graph.chmod(0o644)
    graph.write_bytes(bytes(graph.stat().st_size))
    with pytest.raises(GoldenTestError, match="changed or damaged"):
        self_test(unpacked, DelegateSpec(), VirtualClock())


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_graph_that_kills_its_interpreter_kills_only_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The child dies by a signal in the middle of a graph; this process lives and says which."""
    unpacked = bundle_with(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(
        "import firmware_py.backends.scripted as s, os\n"
        f"s.ScriptedGraph.run = lambda *_: os.kill(os.getpid(), {int(number)})\n",
        encoding="utf-8",
    )
    root = Path(golden.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    with pytest.raises(GoldenTestError, match=f"killed its interpreter .*{number.name}"):
        self_test(unpacked, DelegateSpec(), VirtualClock())


def test_a_file_that_kills_the_real_runtime_kills_only_the_child(shipped: Unpacked, tmp_path: Path) -> None:
    """Garbage behind the right identifier: tflite-runtime 2.14 dies of it (SIGSEGV), litert refuses it."""
    manifest = shipped.manifest
    files = {entry.name: shipped.read(entry.name) for entry in manifest.members()}
    first, *rest = manifest.graphs
    files[first.file.name] = b"TFL3" * 100
    bad = replace(first, file=member(first.file.name, files[first.file.name]))
    write_bundle(tmp_path / "bad.bundle", replace(manifest, graphs=(bad, *rest)), files)
    unpacked = unpack(tmp_path / "bad.bundle", ANYONE, tmp_path / "store")
    with pytest.raises(GoldenTestError, match=r"killed its interpreter|cannot be loaded"):
        self_test(unpacked, DelegateSpec(), VirtualClock())


def test_the_shipped_bundle_passes_here(shipped: Unpacked) -> None:
    self_test(shipped, DelegateSpec(), VirtualClock())
