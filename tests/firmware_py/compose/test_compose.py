"""Real parts from a profile and a configuration: verified, tested, metered; refused when not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from device_profiles.loader import load_profile
from device_profiles.profile import ProfileError
from firmware_py.backends.scripted import ScriptedGraph
from firmware_py.bundles import sign
from firmware_py.bundles.write import member, write_bundle
from firmware_py.compose import CHECKOUT, assembled, board_of, build_node, node_name, profile_values, shipped
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import (
    BundleError,
    BundleMissingError,
    BundleUnsignedError,
    BundleUntrustedError,
    ConfigError,
    GoldenTestError,
)
from firmware_py.contracts.golden import parse_golden, write_golden
from firmware_py.contracts.reply import Route
from firmware_py.contracts.request import Qos, Request
from firmware_py.contracts.seams import Tensors
from firmware_py.resources.governor import Ask
from firmware_py.testing.tiny_bundle import tiny_files, write_tiny_bundle
from tests.firmware_py.compose.rig import CLOCK, ask, until


def test_a_node_answers_and_says_that_it_is_simulated(config: AgentConfig) -> None:
    with build_node(config) as node:
        reply = node.answer(ask())
        assert (reply.status, reply.route.simulated, reply.route.node) == ("ok", True, "n1")
        assert (node.board.profile, node.board.simulated) == ("simulated", True)
        assert reply.energy.method == "estimated"
        assert reply.energy.simulated
        assert node.board.cost_lines()[0].configuration == "8/w4-4-4/balanced/fp32"


def test_asked_joules_bind_the_first_time_that_a_stage_could_run(config: AgentConfig) -> None:
    """A metered node that has timed nothing yet: its profile's watts and the stage before price the next."""
    with build_node(replace(config, meter="auto", calibrate_s=0.0, cache_entries=0)) as node:

        def route(text: str, energy_j: float | None) -> Route:
            return node.answer(ask(text, energy_j)).route

        first = route("on", 1e-12)  # not sure at exit 1
        assert (first.exit, first.over_budget) == (1, True)
        assert first.fallback == "exit 1: no joules for the next stage"
        longer = route("on " * 9, 1e-12)  # the next length, where nothing ran either
        assert (longer.exit, longer.over_budget, longer.configuration) == (1, True, "16/w4-4-4/balanced/fp32")
        for energy_j in (None, 10.0):
            full = route("on", energy_j)
            assert (full.exit, full.over_budget, full.fallback) == (2, False, None)


def test_a_board_whose_watts_nobody_knows_bounds_nothing(config: AgentConfig) -> None:
    with build_node(replace(config, profile="coral-dev-board")) as node:
        reply = node.answer(ask("on", 1e-12))
        assert (reply.route.exit, reply.route.over_budget, reply.energy.energy_j) == (2, False, None)


@pytest.mark.parametrize("profile", ["simulated", "raspberry-pi-5", "raspberry-pi-zero-2w"])
def test_slower_boards_take_longer(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    """Each stage takes the profile's factor times what it took here: 2 ms of a clock that nothing else moves."""
    clock, run = VirtualClock(), ScriptedGraph.run

    def timed(graph: ScriptedGraph, tensors: Tensors) -> Tensors:
        clock.advance(0.002)
        return run(graph, tensors)

    monkeypatch.setattr(ScriptedGraph, "run", timed)
    factor = load_profile(profile).simulation.speed_factor
    assert factor is not None
    assert (factor > 1.0) == (profile != "simulated")
    with build_node(replace(config, profile=profile), clock) as node:
        reply = node.answer(Request("1", "home", {"text": "on"}, arrived_s=clock.now_s()))
    assert (reply.status, reply.route.simulated, reply.route.exit) == ("ok", True, 2)
    assert reply.time.run_s == pytest.approx(2 * factor * 0.002)


def test_a_board_that_no_source_times_cannot_be_simulated(config: AgentConfig) -> None:
    with pytest.raises(ConfigError, match="cannot be simulated"):
        build_node(replace(config, profile="qemu-virt"))
    with pytest.raises(ProfileError, match="no-such-board"):
        build_node(replace(config, profile="no-such-board"))


def test_unsigned_untrusted_and_missing_bundles_are_refused(config: AgentConfig, tmp_path: Path) -> None:
    path = tmp_path / "own.bundle"
    write_tiny_bundle(path)
    strict = replace(config, model=(str(path),), allow_unsigned=False)
    with pytest.raises(BundleUnsignedError):
        build_node(strict)
    sign.sign_file(path, sign.new_key(tmp_path / "keys", "me"))
    with pytest.raises(BundleUntrustedError):
        build_node(strict)
    with build_node(replace(strict, trust=str(tmp_path / "keys"))) as node:
        assert node.answer(ask()).status == "ok"
    with pytest.raises(BundleMissingError):
        build_node(replace(config, model=(str(tmp_path / "none.bundle"),)))
    with pytest.raises(ConfigError, match="trust folder"):
        build_node(replace(config, trust=str(tmp_path / "nowhere")))


def test_a_bundle_that_answers_wrongly_is_refused_at_start(config: AgentConfig, tmp_path: Path) -> None:
    manifest, files = tiny_files()
    rows = [replace(row, logits=((9.0, 9.0, 9.0),) * 3) for row in parse_golden(files["golden.jsonl"])]
    files["golden.jsonl"] = write_golden(rows)
    manifest = replace(manifest, golden=member("golden.jsonl", files["golden.jsonl"]))
    write_bundle(tmp_path / "wrong.bundle", manifest, files)
    wrong = replace(config, model=(str(tmp_path / "wrong.bundle"),))
    with pytest.raises(GoldenTestError):
        build_node(wrong)
    with build_node(replace(wrong, self_test="never")) as node:
        assert node.answer(ask()).status == "ok"


def test_two_bundles_of_one_task_are_refused(config: AgentConfig) -> None:
    with pytest.raises(ConfigError, match="serve the task"):
        build_node(replace(config, model=config.model * 2))


def test_names_fit_a_topic_level(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "My Pi_5.local")
    assert node_name(replace(config, node="")) == "my-pi-5-local"
    assert node_name(config) == "n1"


def test_the_machine_decides_what_is_simulated(tmp_path: Path) -> None:
    """A board that this machine is, is real; any other is played."""
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_bytes(b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert (board_of("", tmp_path)[0].name, board_of("", tmp_path)[1]) == ("raspberry-pi-5", False)
    assert board_of("raspberry-pi-4", tmp_path)[1]
    assert board_of("", tmp_path / "none")[0].name == "simulated"


def test_small_boards_hold_fewer_graphs() -> None:
    assert profile_values("raspberry-pi-zero-2w")["memory_bytes"] < 48 * 2**20
    assert profile_values("raspberry-pi-5") == {}


def test_an_assembly_is_closed_with_its_block(config: AgentConfig) -> None:
    with assembled(config) as assembly:
        engine = assembly.slots[0].engines["home"]
        encoded = assembly.served["home"].task.encode({"text": "on"})
        assert len(engine.every_exit(encoded)) == 3


def test_the_agent_imports_no_training_broker_or_bus_library() -> None:
    """What a node need not load, it does not load."""
    code = (
        "import sys, firmware_py.agent, firmware_py.compose\n"
        "bad = {'torch', 'onnx', 'paho', 'smbus2', 'cryptography', 'pytest', 'ai_edge_litert', 'tflite_runtime'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_node_that_checked_its_bundle_holds_no_cryptography(tmp_path: Path) -> None:
    """The library for signatures would take 10 MB of every board for one check at the start."""
    bundle = CHECKOUT / "models" / "home-en.bundle"
    code = (
        "import sys\nfrom pathlib import Path\nfrom firmware_py.bundles.read import unpack\n"
        "from firmware_py.compose import trust_of\nfrom firmware_py.config import AgentConfig\n"
        f"unpack(Path({str(bundle)!r}), trust_of(AgentConfig()), Path({str(tmp_path)!r}))\n"
        "print('cryptography' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
    assert any(tmp_path.iterdir())


def test_over_the_power_limit_only_the_first_exit_runs(config: AgentConfig) -> None:
    """The rail's power reaches the governor; a limit of a milliwatt is passed by any board."""
    with assembled(replace(config, meter="auto", power_limit_w=0.001)) as assembly:
        ask_ = Ask(Qos(), CLOCK.now_s() + 60.0, "balanced")
        until(lambda: assembly.limits(ask_, 3).max_stages == 1)
    with assembled(config) as assembly:
        assert assembly.limits(ask_, 3).max_stages is None


def test_a_bundle_whose_graph_kills_its_interpreter_is_refused_at_start(
    config: AgentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child dies of it, this process hears which signal it was."""
    (tmp_path / "sitecustomize.py").write_text(
        "import firmware_py.backends.scripted as s, os\n"
        "s.ScriptedGraph.run = lambda *_: os.kill(os.getpid(), 11)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    with pytest.raises(GoldenTestError, match="SIGSEGV") as caught:
        build_node(config)
    assert caught.value.code == "golden_failed"
    assert caught.value.hint


@pytest.mark.parametrize("damage", ["corrupt", "truncated"])
def test_a_damaged_bundle_is_refused_at_start(config: AgentConfig, tmp_path: Path, damage: str) -> None:
    data = Path(config.model[0]).read_bytes()
    middle = len(data) // 2
    bad = (
        data[:middle]
        if damage == "truncated"
        else data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    )
    (tmp_path / "bad.bundle").write_bytes(bad)
    with pytest.raises(BundleError) as caught:
        build_node(replace(config, model=(str(tmp_path / "bad.bundle"),)))
    assert caught.value.code.startswith("bundle_")
    assert caught.value.hint


def test_no_bundle_is_a_setting_at_fault(config: AgentConfig) -> None:
    with pytest.raises(ConfigError, match="no bundle"):
        build_node(replace(config, model=()))


def test_a_shipped_bundle_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped("models/home-en.bundle") == CHECKOUT / "models" / "home-en.bundle"
    assert shipped("models/none.bundle") == Path("models/none.bundle")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "home-en.bundle").write_bytes(b"mine")
    assert shipped("models/home-en.bundle") == Path("models/home-en.bundle")
