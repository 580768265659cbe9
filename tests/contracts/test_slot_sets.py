"""What a manifest says of slots that go together is checked; a manifest from before says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.slot_sets import MAX_SPANS, SlotSets
from firmware_py.testing.tiny_bundle import tiny_files

MANIFEST = tiny_files()[0]  # three labels, one slot


def with_sets(sets: Any, weight: Any = 0.5) -> dict[str, Any]:
    return MANIFEST.to_dict() | {"slot_sets": {"weight": weight, "sets": sets}}


def test_they_read_back_equal() -> None:
    sets = SlotSets(0.5, {0: {(): 3, (0, 0): 1}, 1: {(0,): 7}})
    manifest = replace(MANIFEST, slot_sets=sets)
    assert manifest.to_dict()["slot_sets"]["sets"] == [[0, 3], [0, 1, 0, 0], [1, 7, 0]]
    assert parse_manifest(manifest.to_dict()) == manifest


def test_a_manifest_from_before_has_none() -> None:
    old = MANIFEST.to_dict()
    assert old.pop("slot_sets") is None
    assert parse_manifest(old).slot_sets is None
    assert parse_manifest(with_sets([])).slot_sets == SlotSets(0.5, {})


@pytest.mark.parametrize(
    "sets",
    [
        [[0]],
        [[3, 1]],
        [[0, 0, 0]],
        [[0, 1, 1]],
        [[0, 1, -1]],
        [[0, 1.0, 0]],
        [[0, 2**53 + 1]],
        [[0, 10**400]],
        [[0, 3], [0, 4]],
        [[0, True, 0]],
        [["on", 1, 0]],
        [[0, 1, *[0] * (MAX_SPANS + 1)]],
        [{}],
        [None],
        {},
        "sets",
        None,
    ],
)
def test_what_is_no_set_is_refused(sets: Any) -> None:
    with pytest.raises(BundleFormatError):
        parse_manifest(with_sets(sets))


@pytest.mark.parametrize("weight", [-0.1, 101, "1", None, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(weight: Any) -> None:
    with pytest.raises(BundleFormatError):
        parse_manifest(with_sets([], weight))


@pytest.mark.parametrize("field", [[], "sets", 1, {"weight": 1}, {"sets": []}])
def test_a_field_of_another_form_is_refused(field: Any) -> None:
    with pytest.raises(BundleFormatError):
        parse_manifest(MANIFEST.to_dict() | {"slot_sets": field})


def test_slots_of_a_set_stand_in_order() -> None:
    two = MANIFEST.to_dict() | {"slots": ["area", "name"]}
    assert parse_manifest(two | {"slot_sets": {"weight": 1, "sets": [[0, 1, 0, 1]]}}).slot_sets is not None
    with pytest.raises(BundleFormatError):
        parse_manifest(two | {"slot_sets": {"weight": 1, "sets": [[0, 1, 1, 0]]}})
