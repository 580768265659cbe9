"""The teacher in onnxruntime, fp32 and dynamic int8: the uncompressed model that a student is held against.

What a user without this project would run: one ONNX file, dynamic length, one thread, the Rust tokenizer of
the `tokenizers` package. Accuracy is of the same rows; dynamic int8 is onnxruntime's own quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

FORMS = ("fp32", "int8")
OPSET = 18

Array = npt.NDArray[Any]
Tell = Callable[[float], None]


class TorchTeacher(Protocol):
    """A BERT-family encoder with a linear classifier on the mean of its rows (`train.teacher.Teacher`)."""

    bert: Any
    classify: Any

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Framed ids of each text."""


def export_teacher(teacher: TorchTeacher, folder: Path) -> dict[str, Path]:
    """Write `teacher-fp32.onnx` and `teacher-int8.onnx` (ids int64 [1,T] -> logits [1,C], any T).

    Files that are there are kept: delete the folder when the teacher changed.
    """
    paths = {form: folder / f"teacher-{form}.onnx" for form in FORMS}
    folder.mkdir(parents=True, exist_ok=True)
    if not paths["fp32"].exists():
        _export(teacher, paths["fp32"])
    if not paths["int8"].exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(paths["fp32"], paths["int8"], weight_type=QuantType.QInt8)
    return paths


def _export(teacher: TorchTeacher, path: Path) -> None:
    import onnx
    import torch
    from torch import nn

    class Whole(nn.Module):
        """One sentence without padding: no mask is needed."""

        def __init__(self) -> None:
            super().__init__()
            self.bert, self.classify = teacher.bert, teacher.classify

        def forward(self, ids: Tensor) -> Tensor:
            hidden = self.bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            logits: Tensor = self.classify(hidden.mean(1))
            return logits

    ids = torch.tensor([[101, 2735, 2006, 1996, 2422, 102]])
    temporary = path.with_suffix(".part")
    length = torch.export.Dim("length", min=2, max=512)
    torch.onnx.export(
        Whole().eval(), (ids,), str(temporary), dynamo=True, opset_version=OPSET, external_data=False,
        input_names=["ids"], output_names=["logits"], dynamic_shapes={"ids": {1: length}},
    )  # fmt: skip
    # The exporter's notes on inner shapes contradict the quantiser's own once weights are turned.
    model = onnx.load(str(temporary))
    del model.graph.value_info[:]
    onnx.save(model, str(temporary))
    temporary.rename(path)


class OrtTeacher:
    """One ONNX file on one thread."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def logits(self, ids: Sequence[int]) -> Array:
        """float32 [C] of one framed text."""
        found: Array = self._session.run(None, {"ids": np.array([ids], np.int64)})[0][0]
        return found


def answers(teacher: OrtTeacher, coded: Sequence[Sequence[int]], tell: Tell = lambda _: None) -> Array:
    """Logits float32 [N,C] of framed texts, one by one."""
    out = []
    for number, ids in enumerate(coded, 1):
        out.append(teacher.logits(ids))
        tell(number / len(coded))
    return np.stack(out)


def right(logits: Array, labels: Sequence[str], intents: Sequence[str]) -> Array:
    """Whether the best label is each row's intent, bool [N]; `oos` is a label like any other here."""
    place = {label: number for number, label in enumerate(labels)}
    target = np.array([place.get(intent, -1) for intent in intents])
    found: Array = logits.argmax(-1) == target
    return found


def fast_tokenizer(vocabulary: Path) -> Callable[[str], list[int]]:
    """The Rust tokenizer over the teacher's own vocabulary: text -> framed ids."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    tokenizer.enable_truncation(66)
    return lambda text: list(tokenizer.encode(text).ids)
