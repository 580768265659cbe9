"""What the model must beat, and what it is not compared with on equal terms.

The linear SVM sees the same training rows. hassil, the recogniser that the home templates are written for, is
shown the templates themselves, held-out ones included, and the evaluation's names: it cannot be wrong on
them for lack of knowledge, and knows nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conversion.check.figures import Guesses
from conversion.data.names import load_names
from conversion.data.task import TaskData
from conversion.data.templates import Grammar
from firmware_py.tasks.intent import OUT_OF_SCOPE


def linear_svm(data: TaskData, texts: Sequence[str]) -> Guesses:
    """TF-IDF of words (1-2) and characters (2-5 within words), LinearSVC; out of scope is one more class."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+"),  # noqa: S106 - words, no secret
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    model = make_pipeline(features, LinearSVC(C=1.0, random_state=0))
    model.fit([row.text.lower() for row in data.train], [row.intent for row in data.train])
    margins = model.decision_function([text.lower() for text in texts])
    classes = list(model.classes_)
    if margins.ndim == 1:  # two classes have one margin, of the second
        margins = np.stack([-margins, margins], 1)
    place = {label: number for number, label in enumerate(data.labels)}
    number = np.array([-1 if name == OUT_OF_SCOPE else place[name] for name in classes])
    score = margins[:, classes.index(OUT_OF_SCOPE)] if OUT_OF_SCOPE in classes else -margins.max(-1)
    return Guesses(number[margins.argmax(-1)], score)


def hassil_recogniser(grammar: Grammar, data: TaskData, texts: Sequence[str]) -> Guesses:
    """hassil's own answers, with the evaluation's names as the house's entities and areas."""
    from hassil.recognize import recognize_best

    lists = _entities()
    place = {label: number for number, label in enumerate(data.labels)}
    out = []
    for text in texts:
        result = recognize_best(
            text, grammar.parsed, slot_lists=lists, best_slot_name="name", language="en",
            intent_context={"area": "here"},
        )  # fmt: skip
        out.append(-1 if result is None else place[str(result.intent.name)])
    label = np.array(out, np.int64)
    return Guesses(label, (label == -1).astype(float))


def _entities() -> dict[str, Any]:
    from hassil.intents import TextSlotList

    names = load_names("eval").values
    people = ("light", "switch", "fan", "media_player", "input_boolean", "climate", "cover", "valve", "lock",
              "scene", "script", "button", "vacuum", "lawn_mower", "todo", "weather", "person", "sensor",
              "binary_sensor")  # fmt: skip
    entities = [(name, name, {"domain": domain}) for domain in people for name in names[domain]]
    entities += [(name, name, {"domain": "light"}) for name in names["light_modifier"]]
    return {
        "name": TextSlotList.from_tuples(entities, name="name"),
        "area": TextSlotList.from_tuples([(name, name) for name in names["area"]], name="area"),
        "floor": TextSlotList.from_tuples([(name, name) for name in names["floor"]], name="floor"),
    }
