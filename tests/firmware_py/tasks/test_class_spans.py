"""A garage door is one kind of device, whatever the model took its words for."""

from __future__ import annotations

import pytest

from firmware_py.tasks.class_spans import with_whole_classes
from firmware_py.tasks.number_spans import Found
from firmware_py.tasks.values import SlotValues

VALUES = SlotValues(["en", "es"])


def test_a_name_and_a_kind_that_are_one_kind_are_one_slot() -> None:
    sentence = "cierra la puerta del garaje"
    found = with_whole_classes([Found("name", 10, 20), Found("device_class", 21, 27)], sentence, VALUES)
    assert found == [Found("device_class", 10, 27)]
    assert VALUES.value("device_class", sentence[10:27]) == "garage"
    assert VALUES.value("device_class", "garaje") == "garage"


@pytest.mark.parametrize("kind", ["device_class", "state"])
def test_others_stay(kind: str) -> None:
    found = [Found("name", 0, 3), Found(kind, 4, 8)]
    assert with_whole_classes(found, "Bob door", VALUES) == found
    assert with_whole_classes([], "garage door", VALUES) == []
