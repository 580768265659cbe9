"""Our models by name, and what is special about each; how each is trained is in `train.plans`.

Standard library only: the command line reads it where there is no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """What differs between models outside of their training.

    `recipes`: what a build without --recipe writes. `seeds`: whose runs its report joins. `home`: its rows are drawn
    from Home Assistant's templates, anew for every seed; those of the others are a public set, cut once.
    `invented_names`: among them names made of MiniLM's words. `hassil`: the templates' own recogniser is measured
    beside it. `examples`: the file of the folder `examples` that its sentences supply. `few_foreign`: it has too few
    out-of-scope rows for a label of their own to be the score. `static`, `ablation`: which students its report
    compares it with.
    """

    recipes: tuple[str, ...] = ("dyn8",)
    seeds: tuple[int, ...] = (0,)
    home: bool = False
    invented_names: bool = False
    hassil: bool = False
    examples: str | None = None
    few_foreign: bool = False
    static: bool = False
    ablation: bool = False


_SEVERAL = (0, 1, 2)

MODELS: Mapping[str, Model] = {
    "home-en": Model(
        ("dyn8", "w8"), _SEVERAL, home=True, invented_names=True, hassil=True, examples="home_en.jsonl"
    ),
    "home-multi": Model(home=True),
    "clinc150": Model(few_foreign=True),
    "hwu64": Model(seeds=_SEVERAL, static=True, ablation=True),
    "banking77": Model(seeds=_SEVERAL, static=True),
    "snips7": Model(static=True),
}
_NOT_OURS = Model()


def model_of(name: str) -> Model:
    """What is special about a model; nothing is about one that is not ours."""
    return MODELS.get(name, _NOT_OURS)
