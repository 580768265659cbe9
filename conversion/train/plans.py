"""How each model is trained: what differs between tasks, in one table.

The figures were chosen on the model-selection split and by the clock: two cores train everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conversion.nets.deepseek_lite import Dims
from conversion.train.distil import Settings
from conversion.train.general import HOME, PUBLIC, Corpus
from conversion.train.teacher import Run
from conversion.train.teaching import Making


@dataclass(frozen=True, slots=True)
class Plan:
    """Teacher runs, sizes and the student's course of one model.

    `runs`: how MiniLM is tuned, each logged; none: the teacher is `larger`, of the student's own
    architecture, from nothing. `speakers`: how many of the tuned ones, the best first, speak in the lesson.
    `folds`: teachers tuned like the first run, each without one fold of the training rows, who speak, too.
    `general`: what the general stage reads. `making`: which texts are made of each training text for the teachers to label.
    """

    vocabulary: int
    runs: tuple[Run, ...]
    making: Making
    settings: Settings
    speakers: int = 2
    folds: int = 0
    general: Corpus = HOME
    larger: Dims | None = None
    larger_settings: Settings = field(default_factory=lambda: Settings(0))


_USUAL = (Run(epochs=6, rate=2e-4), Run(epochs=5, rate=4e-4, seed=1))
_HOME = (Run(epochs=2, rate=2e-4, batch=64, rows=8000), Run(epochs=2, rate=4e-4, batch=64, rows=8000, seed=1))

PLANS = {
    "hwu64": Plan(
        16_000, _USUAL, Making(4, 4, 6), Settings(0, epochs=8, unlabelled=3.0), speakers=1, folds=4
    ),
    "banking77": Plan(16_000, _USUAL, Making(6), Settings(0, epochs=8, unlabelled=2.0)),
    "clinc150": Plan(
        16_000,
        (Run(epochs=5, rate=2e-4), Run(epochs=4, rate=4e-4, seed=1)),
        Making(2, 2, 3),
        Settings(0, epochs=8, unlabelled=3.0),
        speakers=1,
        folds=4,
        general=PUBLIC,
    ),
    "snips7": Plan(
        16_000,
        (Run(epochs=1, rate=2e-4), Run(epochs=1, rate=4e-4, seed=1)),
        Making(),
        Settings(0, epochs=5, unlabelled=0.0),
        speakers=1,
    ),
    # Smaller heads: names need a large table, and both must fit 2.2 MB.
    "home-en": Plan(
        16_000,
        _HOME,
        Making(),
        Settings(0, epochs=12, unlabelled=0.0, head_hidden=(48, 44)),
        speakers=1,
    ),
    "home-multi": Plan(
        16384,
        (),
        Making(),
        # Most pieces start from nothing here: the table learns faster than where MiniLM knows every word.
        # A teacher of labels alone knows little more than its student; heard as loudly as a tuned MiniLM, it held it back.
        Settings(0, epochs=7, unlabelled=0.0, embedding_rate=0.25, kl=0.2, cosine=0.0),
        larger=Dims(vocabulary=0, d=192, heads=8, latent=32, ffn=512, table_bits=32),
        # Of its tags nothing is heard.
        larger_settings=Settings(
            0, epochs=2, unlabelled=0.0, sandwich=False, rate=2e-3, embedding_rate=0.5, tags=1.0
        ),
    ),
}
