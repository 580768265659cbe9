"""The teacher in onnxruntime says what torch says, at any length; int8 says nearly that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)
pytest.importorskip("onnxruntime", reason="needs onnxruntime: run in .venvs/train")

from conversion.check.teacher_ort import OrtTeacher, answers, export_teacher, fast_tokenizer, right


class Tiny:
    """A BERT of one layer."""

    def __init__(self) -> None:
        from transformers import BertConfig, BertModel

        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=3000, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64
        )
        config._attn_implementation = "eager"
        self.bert = BertModel(config, add_pooling_layer=False).eval()
        self.classify = torch.nn.Linear(32, 5)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[101, *range(200, 200 + len(text)), 102] for text in texts]

    def say(self, ids: list[int]) -> np.ndarray:
        with torch.no_grad():
            hidden = self.bert(input_ids=torch.tensor([ids])).last_hidden_state
            return self.classify(hidden.mean(1))[0].numpy()


@pytest.mark.filterwarnings("ignore")
def test_both_forms_say_what_torch_says(tmp_path: Path) -> None:
    teacher = Tiny()
    paths = export_teacher(teacher, tmp_path)
    coded = teacher.encode(["a", "four", "sixteen letters!", "x" * 60])
    expected = np.stack([teacher.say(ids) for ids in coded])
    whole = answers(OrtTeacher(paths["fp32"]), coded)
    assert np.abs(whole - expected).max() < 1e-4
    # Where the CPU has no VNNI, onnxruntime adds pairs of 8-bit products in 16 bits, which saturate.
    assert np.abs(answers(OrtTeacher(paths["int8"]), coded) - expected).max() < 0.4
    assert paths["int8"].stat().st_size < paths["fp32"].stat().st_size
    stamp = paths["fp32"].stat().st_mtime_ns
    export_teacher(teacher, tmp_path)
    assert paths["fp32"].stat().st_mtime_ns == stamp


def test_right_counts_labels_by_name() -> None:
    logits = np.eye(3, dtype=np.float32)
    assert right(logits, ("a", "b", "oos"), ("a", "a", "oos")).tolist() == [True, False, True]
    assert right(logits, ("a", "b"), ("a", "b", "unknown")).tolist() == [True, True, False]


def test_the_rust_tokenizer_frames_and_cuts(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "turn", "on", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    encode = fast_tokenizer(tmp_path / "vocab.txt")
    assert encode("Turn ons") == [2, 5, 6, 7, 3]
    assert len(encode("on " * 100)) == 66
