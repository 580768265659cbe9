"""What a manifest says of exit 0, of widths and of the out-of-scope score is checked; old ones stay readable."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.manifest import Variant, parse_manifest
from firmware_py.testing.tiny_bundle import tiny_files

NEW = ("zeroth_rules", "variants", "out_of_scope_score", "exit_confidence")


def form() -> dict[str, Any]:
    """The rich bundle's manifest as JSON gives it."""
    return tiny_files(rich=True)[0].to_dict()


def test_it_reads_back_equal() -> None:
    manifest, _ = tiny_files(rich=True)
    assert parse_manifest(manifest.to_dict()) == manifest
    assert manifest.variants == (
        Variant((4, 2, 2), (1.0, 1.0, 1.0), {"careful": (0.9, 0.9, 0.0)}, 0.75, 1000),
    )
    assert (manifest.zeroth_rules, manifest.full_widths) == ({"thrifty": 0.7}, (4, 4, 4))
    assert sorted(head.exit for head in manifest.heads) == [0, 1, 2, 3]


def test_a_manifest_from_before_has_none_of_it() -> None:
    old = {name: value for name, value in tiny_files()[0].to_dict().items() if name not in NEW}
    manifest = parse_manifest(old)
    assert (manifest.zeroth_rules, manifest.variants, manifest.out_of_scope_score) == ({}, (), "label")
    assert not manifest.asks_slots


def test_exits_may_ask_slots() -> None:
    assert parse_manifest(form() | {"exit_confidence": "least_sure"}).asks_slots


def test_a_head_0_that_no_rule_asks_is_allowed() -> None:
    assert parse_manifest(form() | {"zeroth_rules": {}}).zeroth_rules == {}


VARIANT: dict[str, Any] = {"widths": [4, 2, 2], "temperatures": [1.0, 1.0, 1.0], "exit_rules": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"zeroth_rules": {"fastest": 0.5}},
        {"zeroth_rules": {"thrifty": "0.5"}},
        {"zeroth_rules": {"thrifty": None}},
        {"zeroth_rules": [0.5]},
        {"out_of_scope_score": "energy"},
        {"exit_confidence": "energy"},
        {"exit_confidence": "least_sure", "slots": []},
        {"variants": {}},
        {"variants": [VARIANT, VARIANT]},
        {"variants": [VARIANT | {"widths": [4, 2]}]},
        {"variants": [VARIANT | {"widths": [4, 2, 0]}]},
        {"variants": [VARIANT | {"widths": [4, 2, 5]}]},
        {"variants": [VARIANT | {"temperatures": [1.0, 1.0]}]},
        {"variants": [VARIANT | {"temperatures": [1.0, 1.0, 0.0]}]},
        {"variants": [VARIANT | {"exit_rules": {"fastest": [0.1, 0.1, 0.1]}}]},
        {"variants": [VARIANT | {"exit_rules": {"thrifty": [0.1, 0.1]}}]},
        {"variants": [VARIANT | {"accuracy": 95.0}]},
        {"variants": [VARIANT | {"macs": 1.5}]},
        {"variants": [VARIANT | {"zeroth_rules": {"fastest": 0.5}}]},
    ],
)
def test_other_forms_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BundleFormatError):
        parse_manifest(form() | change)


def test_a_frame_leaves_room_for_a_text() -> None:
    graphs = [graph | {"length": 2} for graph in form()["graphs"] if graph["length"] == 8]
    with pytest.raises(BundleFormatError, match="no room for a text"):
        parse_manifest(form() | {"frame": [1, 2], "buckets": [2], "graphs": graphs})


def test_heads_and_graphs_must_be_there_for_what_is_named() -> None:
    heads = form()["heads"]
    for wrong in (heads[1:], heads[:-1], [*heads, heads[0]]):
        with pytest.raises(BundleFormatError):
            parse_manifest(form() | {"heads": wrong})
    later = [g | {"past": 8 * (g["length"] == 16 and g["stage"] == 2)} for g in form()["graphs"]]
    with pytest.raises(BundleFormatError, match="lacks stage 2 of length 16"):
        parse_manifest(form() | {"graphs": later})
    narrow = [graph for graph in form()["graphs"] if (graph["stage"], graph["width"]) != (2, 2)]
    with pytest.raises(BundleFormatError, match="widths that no graph has"):
        parse_manifest(form() | {"graphs": narrow})
