"""What torch says, sentence by sentence, in the form of the child's answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from conversion.check.runtime import Answers
from conversion.nets.student import Student
from firmware_py.tasks.text import WordPiece


def torch_answers(student: Student, tokenizer: WordPiece, texts: Sequence[str], longest: int) -> Answers:
    """Logits and tags of every exit in float32, without padding."""
    logits, tags = [], np.full((len(texts), student.trunk.dims.stages, longest), -1, np.int16)
    with torch.no_grad():
        for row, text in enumerate(texts):
            ids = torch.tensor([tokenizer.encode(text).ids[:longest]])
            said = student(ids, torch.ones(ids.shape))
            logits.append(np.stack([one[0][0].numpy() for one in said]))
            for exit_, one in enumerate(said):
                tags[row, exit_, : ids.shape[1]] = one[1][0].argmax(-1).numpy()
    return Answers(np.array(logits, np.float32), tags)
