"""The command's own manners: exit status, error text, lazy verbs."""

from __future__ import annotations

import argparse
import importlib
import sys
import types

import pytest

from ciuic import cli, verbs
from ciuic.bench.cli import BENCHES
from ciuic.parser import Parser
from device_profiles.profile import ProfileError
from firmware_py.contracts.errors import ConfigError, NoReplyError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A verb `probe` whose run does what a test tells it to."""
    module = types.ModuleType("a_probe")
    vars(module).update(configure=lambda parser: parser.add_argument("--json", action="store_true"))
    vars(module).update(run=lambda args: 0)
    monkeypatch.setitem(sys.modules, "a_probe", module)
    monkeypatch.setitem(verbs.VERBS, "probe", verbs.Verb("a_probe", "bridge", "a test"))
    return module


def _raise(error: BaseException) -> object:
    def run(_args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "first"),
    [
        (ConfigError("no such flag"), 2, "error: no such flag [config_invalid]"),
        (NoReplyError("silence"), 1, "error: silence [no_reply]"),
        (ProfileError("x.toml: cores is 0"), 2, "error: x.toml: cores is 0 [profile_invalid]"),
        (
            PermissionError(13, "Permission denied", "out"),
            2,
            "error: out: Permission denied [config_invalid]",
        ),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_an_error_is_two_lines_and_a_status(
    verb: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    first: str | None,
) -> None:
    vars(verb)["run"] = _raise(error)
    assert cli.main(["probe"]) == status
    lines = capsys.readouterr().err.splitlines()
    if first is not None:
        assert lines[0] == first
        assert lines[1].startswith("hint: ")


def test_the_hint_of_a_verb_that_has_none_of_its_own_is_that_verbs_help(
    verb: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    vars(verb)["run"] = _raise(ConfigError("no such thing"))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err.splitlines()[1] == "hint: `ciuic probe --help` lists what it takes."


def test_a_foreign_exception_keeps_its_traceback(verb: types.ModuleType) -> None:
    vars(verb)["run"] = _raise(ZeroDivisionError("ours to mend"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_a_missing_package_names_the_extra(
    verb: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    vars(verb)["run"] = _raise(ModuleNotFoundError("No module named 'paho'", name="paho.mqtt"))
    assert cli.main(["probe"]) == 2
    err = capsys.readouterr().err
    assert "[tool_missing]" in err
    assert ".[bridge]" in err


def test_a_verb_with_two_names_in_one_module_gets_its_own(verb: types.ModuleType) -> None:
    vars(verb)["run_probe"] = lambda args: 7 if args.json else 0
    assert cli.main(["probe", "--json"]) == 7


def test_the_exit_status_of_a_verb_is_the_processes(verb: types.ModuleType) -> None:
    vars(verb)["run"] = lambda args: 3
    assert cli.main(["probe"]) == 3


@pytest.mark.parametrize("words", [["--no-such"], ["--log-level", "loud"]])
def test_a_wrong_flag_is_told_like_every_other_error(
    verb: types.ModuleType, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert cli.main(["probe", *words]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert first.endswith("[config_invalid]")
    assert second == "hint: `ciuic probe --help` lists what it takes."


def _lines(verb: str) -> list[list[str]]:
    """The words that lead to each parser of a verb: its own, and one for each of its sub-verbs."""
    parser = Parser(conflict_handler="resolve")
    module = importlib.import_module(verbs.VERBS[verb].module)
    verbs._part(module, "configure", verb)(parser)
    found = [[verb]]
    if verb == "bench":  # which hands the rest of its line to a parser of its own
        found += [[verb, name] for name in BENCHES]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [[verb, name] for name in action.choices]
    return found


def test_the_lines_are_all_the_command_has() -> None:
    lines = [" ".join(line) for verb in verbs.VERBS for line in _lines(verb)]
    assert set(verbs.VERBS) <= set(lines)
    assert {f"bench {name}" for name in ("engine", "request", "energy", "model")} <= set(lines)
    assert {
        "node run",
        "key new",
        "key show",
        "key sign",
        "model build",
        "profile list",
        "profile check",
    } <= set(lines)


@pytest.mark.parametrize("verb", list(verbs.VERBS))
def test_a_wrong_flag_of_a_real_verb_is_told_like_every_other_error(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines and status 2, however deep the flag stands; argparse's own usage text is never seen."""
    for line in _lines(verb):
        assert cli.main([*line, "--no-such-flag"]) == 2, line
        printed = capsys.readouterr()
        first, second = printed.err.splitlines()
        assert first.startswith("error: ")
        assert first.endswith("[config_invalid]")
        # The verb that was typed: its own help lists the flag, the room's lists its sub-verbs only.
        assert second == f"hint: `ciuic {' '.join(line)} --help` lists what it takes."
        assert printed.out == ""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["bench", "engine", "--nope"], "--nope"),
        (["bench", "engine", "-n", "abc"], "'abc'"),
        (["bench", "request", "--kind", "none"], "'none'"),
        (["bench", "energy", "--trials"], "--trials"),
        (["bench", "nothing"], "'nothing'"),
        (["key", "new", "me", "--nope"], "--nope"),
        (["node", "run", "--simulate=yes"], "'yes'"),
        (["demo", "--count", "abc"], "'abc'"),
    ],
)
def test_the_error_names_the_word_that_is_wrong(
    capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert cli.main(words) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("[config_invalid]")
    assert named in first
    assert second.startswith("hint: `ciuic ")


def test_no_verb_is_a_usage_error_that_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "verbs:" in capsys.readouterr().out


def test_an_unknown_verb_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nodes"]) == 2
    assert "'nodes' is not a verb" in capsys.readouterr().err


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(["--help"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert [name for name in verbs.VERBS if f"\n  {name}" not in out] == []


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("ciuic ")


def test_the_log_level_may_stand_behind_a_sub_verb(
    verb: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[str] = []
    monkeypatch.setattr(verbs, "_log", levels.append)
    vars(verb)["configure"] = lambda parser: parser.add_subparsers().add_parser("run").add_argument("--x")
    assert cli.main(["probe", "run", "--x", "1", "--log-level", "info"]) == 0
    assert levels == ["info"]
