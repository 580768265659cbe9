"""An encoder as a bundle of one stage a layer: the same numbers as transformers, and an answer of the agent's engine."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.check.answers import LatticeAnswers
from conversion.check.parity import Parity
from conversion.data.task import TaskData
from conversion.export.make import Place
from conversion.export.to_tflite import find_tool
from conversion.staged import build
from conversion.staged.build import Target, build_staged, staged_refusals
from conversion.staged.graph import LayerGraph
from conversion.staged.teacher import Staged, embedding_bytes, read_layers, says, torch_says, train_heads
from conversion.train.teacher import Run, Teacher, model_folder, tune
from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.opening import DelegateSpec, open_loader
from firmware_py.bundles.read import unpack
from firmware_py.bundles.sign import new_key
from firmware_py.bundles.verify import Trust
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.errors import ConversionError, ToolMissingError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.engine import Engine, Weights
from firmware_py.inference.golden import self_test
from firmware_py.inference.tensors import Embedding, bias
from firmware_py.tasks.intent import IntentTask
from tests.conversion.small import filled

ROOT = Path(__file__).resolve().parents[2]
SAID = {
    "light_on": ("turn on the {} light", "switch the {} lamp on", "light in the {} please"),
    "light_off": ("turn off the {} light", "switch the {} lamp off", "make the {} dark"),
    "weather": ("is it raining in {}", "what is the weather in {}", "forecast for {}"),
}
FILLED = ("kitchen", "garden", "berlin", "attic", "paris", "hall", "office", "london", "cellar", "rome")


def tiny_bert(folder: Path, layers: int) -> Path:
    """A random BERT over the words of the rows, written as a checkpoint."""
    from transformers import BertConfig, BertModel

    words = sorted(
        {word for texts in SAID.values() for text in texts for word in text.split() if word != "{}"}
    )
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *FILLED]
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=48, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=70, initializer_range=0.1,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    return filled(tmp_path_factory.mktemp("rows"), SAID, FILLED)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory, data: TaskData) -> Staged:
    """Six layers, tuned for a moment, a head behind each."""
    teacher = Teacher(tiny_bert(tmp_path_factory.mktemp("bert"), 6), len(data.labels))
    texts, targets = (
        [row.text for row in data.train],
        torch.tensor([data.labels.index(row.intent) for row in data.train]),
    )
    tune(teacher, texts, targets, Run(epochs=20, rate=1e-3, batch=16), lambda _: None)
    return Staged(teacher, train_heads(teacher, texts, targets, lambda _: None))


@pytest.mark.parametrize("n", [1, 5, 16])
def test_layers_as_graphs_are_the_encoder(n: int, staged: Staged) -> None:
    """Embedded by the device's table, padded to a bucket, on the device's bias, layer after layer."""
    bert, bucket = staged.teacher.bert, 16
    ids = torch.randint(2, bert.config.vocab_size, (1, n))
    with torch.no_grad():
        expected = bert(input_ids=ids, output_hidden_states=True).hidden_states
        embedding = Embedding.from_bytes(embedding_bytes(staged.teacher, bucket))
        h = torch.from_numpy(embedding.lookup(ids[0].tolist(), bucket))
        torch.testing.assert_close(h[:n], expected[0][0], atol=0.05, rtol=0)  # the table's rows are int8
        h[:n] = expected[0][0]
        mask = torch.from_numpy(bias(n, bucket, causal=False).copy())
        empty = torch.zeros(bucket, 2)
        for layer, wanted in zip(staged.layers, expected[1:], strict=True):
            h, state = LayerGraph(layer)(h, mask, empty, empty)
            assert state.shape == (bucket, 96)
            torch.testing.assert_close(h[:n], wanted[0], atol=5e-3, rtol=0)  # gelu's tanh form


def test_minilms_first_layer_is_the_graph() -> None:
    from transformers import BertModel

    bert = BertModel.from_pretrained(
        model_folder(), add_pooling_layer=False, attn_implementation="eager"
    ).eval()
    ids = torch.randint(1000, 20000, (1, 11))
    with torch.no_grad():
        rows = bert(input_ids=ids, output_hidden_states=True).hidden_states
        empty = torch.zeros(11, 2)
        said, _ = LayerGraph(bert.encoder.layer[0])(rows[0][0], torch.zeros(11, 11), empty, empty)
    torch.testing.assert_close(said, rows[1][0], atol=5e-3, rtol=0)


def test_the_last_head_says_what_the_classifier_says(staged: Staged, data: TaskData) -> None:
    pools, taught = read_layers(staged.teacher, [row.text for row in data.report])
    said = says(staged.heads[-1], pools[-1]).argmax(-1)
    assert (said == taught.argmax(-1)).float().mean() > 0.9
    assert len(staged.heads) == 6


@pytest.mark.slow
def test_six_layers_become_a_signed_bundle_that_answers(
    staged: Staged, data: TaskData, tmp_path: Path
) -> None:
    """The whole way: graphs, calibration, gate, signature, unpacking, self-test, an answer through the engine."""
    try:
        find_tool(ROOT)
    except ToolMissingError as error:
        pytest.skip(error.message)
    new_key(tmp_path / "keys", "test")
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "test.pub").write_bytes((tmp_path / "keys" / "test.pub").read_bytes())
    vocabulary = Path(staged.teacher.bert.config.name_or_path, "vocab.txt").read_bytes()
    target = Target(
        tmp_path / "rooms-staged.bundle",
        tmp_path / "keys" / "test.key",
        Place(ROOT, tmp_path / "cache", 1),
        (8, 16),
        gate_rows=10,
        about={"settings": {"seed": 0}},
    )
    shares: list[float] = []
    report = build_staged(staged, vocabulary, data, target, shares.append)
    assert report["stages"] == 6
    assert report["parity"]["agreement"] >= 0.985
    assert len(report["accuracy_by_exit"]) == 6
    assert report["accuracy_by_exit"][-1] > 0.9
    assert shares == sorted(shares)

    unpacked = unpack(target.path, Trust(trust), tmp_path / "store")
    manifest = unpacked.manifest
    assert (manifest.stages, manifest.attention, len(manifest.graphs)) == (6, "bidirectional", 12)
    assert manifest.provenance == {"settings": {"seed": 0}, "parity": report["parity"]}
    self_test(unpacked, DelegateSpec(), SystemClock())
    name, loader = open_loader(unpacked.folder, manifest, DelegateSpec())
    clock = SystemClock()
    engine = Engine(
        Weights.load(unpacked), [ModelCache(manifest.graphs, loader, name)], clock, DelegateHealth(clock)
    )
    task = IntentTask(manifest, unpacked.read(manifest.tokenizer.name))
    try:
        for row in data.report[:12]:
            said = engine.run(task.encode({"text": row.text}), Limits(inf, manifest.default_rule))
            reference = torch_says(staged, [row.text], 16).logits[(4,) * said.record.exit]
            assert said.verdict.label_index == int(np.argmax(reference))
    finally:
        engine.close()


def test_layers_that_say_no_number_leave_a_report_of_why(
    staged: Staged, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a wrong conversion says is found before anything is calibrated on it."""

    def made(one: Staged, target: Target, _tell: Any) -> dict[GraphKey, Path]:
        keys = [
            GraphKey(bucket, stage, 4) for bucket in target.buckets for stage in range(1, len(one.heads) + 1)
        ]
        (tmp_path / "graph").write_bytes(b"not run")
        return dict.fromkeys(keys, tmp_path / "graph")

    def run(_unpacked: Any, texts: list[str], *_where: Any) -> LatticeAnswers:
        right = torch_says(staged, texts, 16)
        return replace(right, logits={p: np.full_like(row, np.nan) for p, row in right.logits.items()})

    monkeypatch.setattr(build, "make_graphs", made)
    monkeypatch.setattr(build, "run_bundle", run)
    vocabulary = Path(staged.teacher.bert.config.name_or_path, "vocab.txt").read_bytes()
    target = Target(tmp_path / "rooms-staged.bundle", None, Place(ROOT, tmp_path, 1), (8, 16), gate_rows=4)
    with pytest.raises(ConversionError, match="not finite on the gate's sentences, temperature, report"):
        build_staged(staged, vocabulary, data, target, lambda _: None)
    assert not target.path.exists()
    found = json.loads((tmp_path / "rooms-staged.refused.json").read_text("utf-8"))["refused"]
    assert found[0]["figures"]["mean_logit_error"] is None


@pytest.mark.parametrize(
    ("early", "last", "error", "passes"),
    [(0.978, 0.987, 0.04, True), (0.95, 0.987, 0.04, False), (0.978, 0.98, 0.04, False), (0.978, 0.987, 0.3, False)],
)  # fmt: skip
def test_early_exits_may_be_less_sure_the_last_may_not(
    early: float, last: float, error: float, passes: bool
) -> None:
    by_prefix = {(4,): (early, error), (4, 4): (last, error)}
    parity = Parity(
        "dyn8", "here", 232, min(early, last), 1.0, 0.97, error, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, by_prefix, {}
    )
    assert (staged_refusals(parity, (4, 4)) == []) == passes
