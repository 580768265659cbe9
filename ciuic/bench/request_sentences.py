"""The sentences that benchmarks ask: made from forms, so that a run needs no data set and repeats itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from firmware_py.contracts.errors import ConfigError

MIN_SENTENCES = 1000  # of a measurement: fewer say little about percentiles

_VERBS = ("turn on", "turn off", "switch on", "switch off", "please turn on", "please turn off")
_THINGS = ("light", "lights", "lamp", "fan", "heater", "radio", "ceiling light", "desk lamp", "air purifier")
_PLACES = (
    "kitchen", "garden", "garage", "bedroom", "living room", "hallway", "bathroom", "office", "attic",
    "basement", "dining room", "guest room", "nursery", "porch", "laundry room", "study", "pantry",
)  # fmt: skip
_FORMS = ("{verb} the {thing} in the {place}", "{verb} the {place} {thing}")
_OTHERS = (
    "set the {place} {thing} to {number} percent",
    "what is the temperature in the {place}",
    "is the {thing} in the {place} on",
    "set a timer for {number} minutes",
    "open the blinds in the {place}",
    "make the {place} {number} degrees",
    "how long is the flight to {place} {number}",
    "tell me a story about a {thing} and a {place}",
)


def sentences(count: int) -> list[str]:
    """Distinct commands, questions and strangers, every 4th not a switch; the same every time.

    Raises:
        ConfigError: more than the forms can make.
    """
    switches = (
        form.format(verb=verb, thing=thing, place=place)
        for place, form, verb, thing in itertools.product(_PLACES, _FORMS, _VERBS, _THINGS)
    )
    others = (
        form.format(thing=thing, place=place, number=number)
        for number, place, thing, form in itertools.product(range(5, 60, 5), _PLACES, _THINGS, _OTHERS)
    )
    found: dict[str, None] = {}
    while len(found) < count:
        source: Iterator[str] = others if len(found) % 4 == 3 else switches
        text = next(source, None)
        if text is None:
            msg = f"the forms make fewer than {count} sentences"
            raise ConfigError(msg, hint=f"Ask for {len(found)} at most (-n).")
        found[text] = None
    return list(found)
