"""The linear SVM that a model is held against, whatever the number of classes."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.check.baselines import linear_svm
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData

pytest.importorskip("sklearn", reason="needs scikit-learn: run in .venvs/train")

TEXTS = {"on": "turn on the {}", "off": "switch off that {}", "oos": "who sang {} first"}
THINGS = ("lamp", "fan", "heater", "radio", "kettle")


def task(*intents: str) -> TaskData:
    rows = tuple(Sentence(TEXTS[intent].format(thing), intent) for intent in intents for thing in THINGS)
    return TaskData("x", "x", ("en",), tuple(intents), (), rows, rows, rows, rows, rows)


@pytest.mark.parametrize("intents", [("on", "off"), ("on", "oos"), ("on", "off", "oos")])
def test_the_svm_tells_two_classes_apart_as_it_does_three(intents: tuple[str, ...]) -> None:
    said = linear_svm(task(*intents), [TEXTS[intent].format("stove") for intent in intents])
    assert said.label.tolist() == [-1 if name == "oos" else place for place, name in enumerate(intents)]
    assert said.score.shape == (len(intents),)
    if "oos" in intents:
        assert int(np.argmax(said.score)) == intents.index("oos")
