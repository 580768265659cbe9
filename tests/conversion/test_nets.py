"""What is exported is what was trained: folded graphs, heads, attention tables, embedding rows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.export.parts import embedding_bytes, packed_arrays, pooled, table_arrays, write_parts
from conversion.export.stage_graph import StageGraph
from conversion.nets.deepseek_lite import DeepSeekLite, Dims
from conversion.nets.heads import Head, npz_bytes
from conversion.nets.rounding import compensated, nearest
from conversion.nets.student import Student, attention_bias, positions
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.tensors import Embedding, bias, position_tables


def trained_like(layers: int, norm: Literal["rms", "dyt"] = "rms") -> DeepSeekLite:
    """A model in which every foldable parameter matters."""
    torch.manual_seed(3)
    model = DeepSeekLite(Dims(50, layers=layers, norm=norm)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        model.gates += torch.randn_like(model.gates) * 0.3
    return model


@pytest.mark.parametrize("norm", ["rms", "dyt"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("widths", [(4, 4, 4), (3, 3, 3), (2, 2, 2), (1, 1, 1), (4, 1, 2), (1, 3, 4)])
def test_folded_stages_say_what_the_model_says(
    widths: tuple[int, ...], layers: int, norm: Literal["rms", "dyt"]
) -> None:
    """At every width, in any combination, padded to a bucket, on the device's own bias and tables."""
    model, n, bucket = trained_like(layers, norm), 11, 16
    ids = torch.randint(1, 50, (1, n))
    with torch.no_grad():
        expected = model(ids, attention_bias(torch.ones(1, n)), positions(n, model.dims.rope), widths)[1:]
        h = torch.zeros(bucket, model.dims.d)
        h[:n] = model.embedding(ids)[0]
        cos, sin = (torch.from_numpy(table.copy()) for table in position_tables(bucket, model.dims.rope))
        for stage, wanted in enumerate(expected, 1):
            graph = StageGraph(model, stage, widths[stage - 1])
            h, state = graph(h, torch.from_numpy(bias(n, bucket).copy()), cos, sin)
            assert state.shape == (bucket, model.dims.state)
            torch.testing.assert_close(h[:n], wanted[0], atol=2e-5, rtol=1e-4)


def test_the_trunk_is_causal() -> None:
    """A longer text leaves the rows of its beginning as they were: what incremental inference rests on."""
    model = trained_like(1)
    ids = torch.randint(1, 50, (1, 12))
    with torch.no_grad():
        long = model(ids, attention_bias(torch.ones(1, 12)), positions(12, 16))[-1]
        short = model(ids[:, :7], attention_bias(torch.ones(1, 7)), positions(7, 16))[-1]
    torch.testing.assert_close(long[:, :7], short, atol=1e-5, rtol=1e-4)


def test_there_are_twelve_gates() -> None:
    assert DeepSeekLite(Dims(10)).gates.numel() == 12


def test_batched_bias_is_the_devices() -> None:
    mask = torch.tensor([[1.0] * 5 + [0.0] * 3])
    assert np.array_equal(attention_bias(mask)[0, 0].numpy(), bias(5, 8))


@pytest.mark.parametrize("slots", [24, 0])
@pytest.mark.parametrize("n", [1, 2, 3, 9, 16])
def test_the_numpy_head_is_the_torch_head(n: int, slots: int) -> None:
    """On weights that int8 holds exactly, so that only the arithmetic is compared."""
    torch.manual_seed(n)
    head = Head(128, 43, slots).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
        device = ExitHead.from_bytes(head.to_bytes(), 1.0)
        for name, stored in head.arrays().items():
            if stored.dtype == np.int8:
                getattr(head, name).copy_(torch.from_numpy(stored * head.arrays()[f"{name}_scale"]))
        h, mask = torch.randn(1, 16, 128) * 3, torch.zeros(1, 16)
        mask[:, :n] = 1
        logits, tags, _ = head(h, mask)
    np.testing.assert_allclose(device.intent(h[0].numpy(), n), logits[0].numpy(), atol=2e-3, rtol=1e-4)
    assert device.tag_count == (slots + 1 if slots else 0)
    if tags is not None:
        np.testing.assert_allclose(
            device.tag_logits(h[0].numpy(), n), tags[0, :n].numpy(), atol=2e-3, rtol=1e-4
        )


def test_int8_heads_are_within_half_a_step_of_the_weights() -> None:
    torch.manual_seed(0)
    head = Head(128, 5, 3)
    arrays = head.arrays()
    assert {name for name in arrays if arrays[name].dtype == np.int8} == {
        "intent_w1", "intent_w2", "tag_w1", "tag_pool", "tag_mix", "tag_w2"
    }  # fmt: skip
    assert arrays["tag_w1_scale"].shape == (6, 1, 64)
    for name in ("intent_w1", "tag_w1"):
        weight, scale = getattr(head, name).detach().numpy(), arrays[f"{name}_scale"]
        assert (np.abs(arrays[name] * scale - weight) <= scale / 2 + 1e-7).all()


def test_a_head_rounded_for_what_it_reads_says_it_more_exactly() -> None:
    """Inputs of few directions, as pooled rows are: what one row of the matrix loses, others can make up for."""
    torch.manual_seed(0)
    head = Head(32, 7, 0).eval()
    mixed = torch.randn(20, 96)
    seen, others = torch.randn(500, 20) @ mixed, torch.randn(200, 20) @ mixed

    def lost(arrays: dict[str, np.ndarray]) -> float:
        kept = torch.from_numpy(arrays["intent_w1"] * arrays["intent_w1_scale"])
        return float((others @ (kept - head.intent_w1.detach())).abs().mean())

    plain, fitted = head.arrays(), head.arrays(seen)
    assert lost(fitted) < 0.5 * lost(plain)
    assert np.abs(fitted["intent_w1"].astype(int)).max() <= 127
    for name in set(plain) - {"intent_w1"}:
        np.testing.assert_array_equal(plain[name], fitted[name])


def test_rounding_depends_on_the_directions_of_what_is_read_and_not_on_its_size() -> None:
    torch.manual_seed(0)
    weight, seen = torch.randn(12, 5), torch.randn(40, 12) @ torch.randn(12, 12)
    weight[:, 2] = 0.0
    levels = compensated(weight, seen)
    assert torch.equal(levels, compensated(weight, 1e4 * seen))
    assert not levels[:, 2].any()
    assert not torch.equal(levels, nearest(weight))
    assert torch.equal(compensated(weight, torch.zeros(3, 12)), nearest(weight))
    assert torch.equal(
        compensated(weight, torch.eye(12)), nearest(weight)
    )  # nothing can make up for anything


def test_the_parts_of_a_bundle_are_rounded_for_the_texts_that_are_given(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = Student(Dims(50, layers=1, stages=2), 3, 0).eval()
    sentences = [tuple(range(2, 2 + length)) for length in (3, 5, 17)] * 20
    write_parts(student, ["a"] * 50, tmp_path / "plain")
    write_parts(student, ["a"] * 50, tmp_path / "fitted", sentences)
    for number, (head, pools) in enumerate(zip(student.heads, pooled(student, sentences), strict=True)):
        name = f"head-{number}.npz"
        assert (tmp_path / "plain" / name).read_bytes() == head.to_bytes()
        assert (tmp_path / "fitted" / name).read_bytes() == head.to_bytes(pools) != head.to_bytes()


def test_pooled_rows_do_not_depend_on_the_sentences_beside() -> None:
    torch.manual_seed(0)
    student = Student(Dims(50, layers=1, stages=2), 3, 0).eval()
    sentences = [tuple(range(2, 2 + length)) for length in (1, 5, 17)]
    together = pooled(student, sentences)
    assert [len(one) for one in together] == [3, 3, 3]
    for number, sentence in enumerate(sentences):
        for alone, beside in zip(pooled(student, [sentence]), together, strict=True):
            torch.testing.assert_close(alone[0], beside[number], atol=1e-5, rtol=1e-4)


def old_embedding_bytes(table: np.ndarray) -> bytes:
    """The member as bundles have it that were built before scales became float16."""
    scale = np.maximum(np.abs(table).max(1), 1e-8) / 127.0
    rows = np.clip(np.rint(table / scale[:, None]), -127, 127).astype(np.int8)
    return npz_bytes({"rows": rows, "scale": scale.astype(np.float32)})


FORMS: dict[str, tuple[Callable[[np.ndarray], bytes], int]] = {
    "0.1": (old_embedding_bytes, 127),
    "8-bit": (lambda table: npz_bytes(table_arrays(table)), 127),
    "4-bit": (lambda table: npz_bytes(packed_arrays(torch.from_numpy(table))), 7),
}


@pytest.mark.parametrize("form", FORMS)
def test_embedding_rows_are_within_half_a_step_in_every_form(form: str) -> None:
    model = trained_like(1)
    with torch.no_grad():
        model.embedding.weight *= torch.logspace(-6, 2, 50)[:, None]  # rows of all sizes, [PAD] is zero
    table = model.embedding.weight.detach().numpy()
    write, levels = FORMS[form]
    data = write(table)
    rows = Embedding.from_bytes(data).lookup(range(50), 64)
    with np.load(io.BytesIO(data)) as file:
        assert file["scale"].dtype == (np.float32 if form == "0.1" else np.float16)
        step = file["scale"].astype(np.float32)[:, None]
    assert (step[25:] <= np.abs(table[25:]).max(1, keepdims=True) / levels * 1.001).all()
    assert (np.abs(rows[:50] - table) <= step * 0.501).all()
    assert not rows[50:].any()


def test_the_device_reads_the_rows_that_training_saw() -> None:
    model = trained_like(3)
    with torch.no_grad():
        model.embedding.weight *= torch.logspace(-3, 1, 50)[:, None]
        seen = model.embedding(torch.arange(50)).numpy()
    read = Embedding.from_bytes(embedding_bytes(model)).lookup(range(50), 50)
    np.testing.assert_array_equal(read, seen)


def test_rounding_lets_gradients_through() -> None:
    model = trained_like(3)
    rows = model.embedding(torch.tensor([[4, 5, 4]]))
    rows.sum().backward()
    grad = model.embedding.weight.grad
    assert grad is not None
    assert grad[4].eq(2.0).all()
    assert grad[5].eq(1.0).all()


def test_equal_weights_make_equal_bytes() -> None:
    torch.manual_seed(0)
    head = Head(128, 5, 3)
    assert head.to_bytes() == head.to_bytes()
    with np.load(io.BytesIO(head.to_bytes())) as file:
        assert {array.dtype for array in file.values()} == {np.dtype(np.int8), np.dtype(np.float32)}
