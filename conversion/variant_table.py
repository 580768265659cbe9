"""Students to compare with, and what each changes of the settings that ship.

A *static* student has one exit and one width; the others change one thing. Apart from `variants`, which trains
them: their names are asked for where there is no torch.

There is none without the texts that are made from training texts: they come into pool and lesson, which every
student of a build folder shares, before any setting is read. `no-unlabelled` leaves all texts without labels out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATIC = tuple(f"static-{depth}" for depth in (1, 2, 3))
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"stages": int(name[-1]), "sandwich": False, "exits": False} for name in STATIC},
    "as-shipped": {},
    "no-kl": {"kl": 0.0},
    "no-cosine": {"cosine": 0.0},
    "no-labels": {"labels": 0.0},
    "no-teacher": {"kl": 0.0, "cosine": 0.0, "unlabelled": 0.0},
    "no-unlabelled": {"unlabelled": 0.0},
    "no-perturbation": {"perturbed": 0.0},
    "no-marks": {"punctuated": 0.0},
    "gates-fixed": {"learned_gates": False},
    "groups-random": {"learned_gates": False, "order": "random"},
    "groups-magnitude": {"learned_gates": False, "order": "magnitude"},
    "no-sandwich": {"sandwich": False},
}
