"""What is wrong with a checkpoint folder is said before anything is computed, each fault by its code."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.checkpoint.families import FAMILIES
from conversion.checkpoint.inspect import arithmetic, check_disk, free_memory_bytes, inspect
from conversion.checkpoint.listen import listen_checkpoint
from conversion.checkpoint.tokenizer import load_tokenizer
from conversion.train.teacher import model_folder
from firmware_py.contracts.errors import CiuicError
from tests.conversion import checkpoints

INDEX = "model.safetensors.index.json"


def shard_of(folder: Path, part: str) -> Path:
    table = json.loads((folder / INDEX).read_text())["weight_map"]
    return folder / next(file for name, file in table.items() if part in name)


def without_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = shard_of(folder, "layers.2.mlp.experts.5.up_proj")
    tensors = load_file(path)
    del tensors["model.layers.2.mlp.experts.5.up_proj.weight"]
    save_file(tensors, path)


def wrong_shape(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = shard_of(folder, "layers.1.self_attn.kv_b_proj")
    tensors = load_file(path)
    tensors["model.layers.1.self_attn.kv_b_proj.weight"] = torch.zeros(64, 9)
    save_file(tensors, path)


def cut_short(folder: Path) -> None:
    path = shard_of(folder, "layers.1.self_attn.o_proj")
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")


def index_leads_out(folder: Path) -> None:
    table = json.loads((folder / INDEX).read_text())
    first = next(iter(table["weight_map"]))
    table["weight_map"][first] = "../../../etc/passwd.safetensors"
    (folder / INDEX).write_text(json.dumps(table))


def huge_header(folder: Path) -> None:
    path = shard_of(folder, "layers.0.self_attn.o_proj")
    path.write_bytes(struct.pack("<Q", 2**60) + path.read_bytes()[8:])


def offsets_lie(folder: Path) -> None:
    path = shard_of(folder, "layers.0.self_attn.o_proj")
    head = json.dumps({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"1234")


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing shard": (lambda f: shard_of(f, "layers.2.mlp.gate").unlink(), "checkpoint_incomplete", "shards are missing"),
    "missing tensor": (without_tensor, "checkpoint_incomplete", "model.layers.2.mlp.experts.5.up_proj.weight"),
    "truncated shard": (cut_short, "checkpoint_incomplete", "cut short"),
    "wrong shape": (wrong_shape, "checkpoint_invalid", "[64, 9]"),
    "no tokenizer": (no_tokenizer, "checkpoint_incomplete", "tokenizer"),
    "no config": (lambda f: (f / "config.json").unlink(), "checkpoint_incomplete", "config.json"),
    "no index": (lambda f: (f / INDEX).unlink(), "checkpoint_incomplete", INDEX),
    "pickled": (pickled, "checkpoint_unsupported", "pickled"),
    "other architecture": (
        lambda f: checkpoints.change_config(f, model_type="llama"), "checkpoint_unsupported", "'llama'",
    ),
    "nameless architecture": (
        lambda f: checkpoints.change_config(f, model_type=["deepseek_v3"]), "checkpoint_unsupported", "supported are",
    ),
    "awq": (
        lambda f: checkpoints.change_config(f, quantization_config={"quant_method": "awq"}),
        "checkpoint_unsupported", "'awq'",
    ),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "checkpoint_invalid", "JSON"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 100_000), "checkpoint_invalid", "JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "checkpoint_invalid", "object"),
    "huge config": (
        lambda f: (f / "config.json").write_text(" " * 2**21), "checkpoint_invalid", "larger",
    ),
    "a billion layers": (
        lambda f: checkpoints.change_config(f, num_hidden_layers=10**9), "checkpoint_invalid", "num_hidden_layers",
    ),
    "negative width": (
        lambda f: checkpoints.change_config(f, hidden_size=-32), "checkpoint_invalid", "hidden_size",
    ),
    "a size in words": (
        lambda f: checkpoints.change_config(f, n_routed_experts="8"), "checkpoint_invalid", "n_routed_experts",
    ),
    "no width": (lambda f: checkpoints.change_config(f, hidden_size=None), "checkpoint_invalid", "hidden_size"),
    "unknown activation": (
        lambda f: checkpoints.change_config(f, hidden_act="evil"), "checkpoint_invalid", "refuses",
    ),
    "odd layer types": (
        lambda f: checkpoints.change_config(f, layer_types=["full_attention"]), "checkpoint_invalid", "layer_types",
    ),
    "more layers than weights": (
        lambda f: checkpoints.change_config(f, num_hidden_layers=4), "checkpoint_incomplete", "model.layers.3.",
    ),
    "index leads out": (index_leads_out, "checkpoint_invalid", "no safetensors file"),
    "index of nothing": (lambda f: (f / INDEX).write_text("{}"), "checkpoint_invalid", "weight_map"),
    "huge header": (huge_header, "checkpoint_invalid", "not a safetensors file"),
    "offsets lie": (offsets_lie, "checkpoint_invalid", "header's line"),
    "empty shard": (
        lambda f: shard_of(f, "layers.0.self_attn.o_proj").write_bytes(b""), "checkpoint_incomplete", "cut short",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_code_and_names_what_is_wrong(fault: str, v3: Path, tmp_path: Path) -> None:
    damage, code, words = FAULTS[fault]
    folder = checkpoints.copy(v3, tmp_path / "damaged")
    damage(folder)
    with pytest.raises(CiuicError) as caught:
        listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "cache")
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "cache").exists()  # nothing was begun


SCALE = "model.layers.2.self_attn.o_proj.weight_scale_inv"  # of a weight [32, 32], blocks of 16
SCALES: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "missing": (lambda _: None, "checkpoint_incomplete", f"are missing: {SCALE}"),
    "empty": (lambda _: torch.zeros(0, 0), "checkpoint_invalid", f"{SCALE} has shape [0, 0], the weight's blocks ask for [2, 2]"),
    "one for all": (lambda _: torch.ones(()), "checkpoint_invalid", f"{SCALE} has shape []"),
    "of other blocks": (lambda one: one[:1, :1], "checkpoint_invalid", f"{SCALE} has shape [1, 1]"),
    "float8 too": (lambda one: one.to(torch.float8_e4m3fn), "checkpoint_unsupported", f"{SCALE} is stored as F8_E4M3"),
}  # fmt: skip


@pytest.fixture(scope="module")
def f8(v3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("f8")
    return checkpoints.float8(checkpoints.copy(v3, folder / "f8"), folder / "exact")


@pytest.mark.parametrize("fault", SCALES)
def test_a_float8_weight_has_its_scales(fault: str, f8: Path, tmp_path: Path) -> None:
    """DeepSeek-V3's shards are many: a lost one of scales must not be met after hours of reading."""
    change, code, words = SCALES[fault]
    folder = checkpoints.copy(f8, tmp_path / "damaged")
    inspect(folder)
    checkpoints.change_tensor(folder, SCALE, change)
    with pytest.raises(CiuicError) as caught:
        inspect(folder)
    assert caught.value.code == code
    assert words in caught.value.message


def test_only_matrices_are_float8(f8: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy(f8, tmp_path / "damaged")
    norm = "model.layers.2.input_layernorm.weight"
    checkpoints.change_tensor(folder, norm, lambda one: one.to(torch.float8_e4m3fn))
    with pytest.raises(CiuicError, match=f"{norm}_scale_inv") as caught:
        inspect(folder)
    assert caught.value.code == "checkpoint_incomplete"


def test_a_whole_checkpoint_is_described(v3: Path) -> None:
    said = inspect(v3).to_dict()
    assert (said["architecture"], said["layers"], said["hidden_size"]) == ("deepseek_v3", 3, 32)
    assert said["tokenizer"] == "tokenizer.json"
    assert said["shards"] == len(list(v3.glob("*.safetensors"))) > 5
    assert said["bytes"] == sum(path.stat().st_size for path in v3.glob("*.safetensors"))
    from transformers import AutoModel

    layers = AutoModel.from_pretrained(v3).layers
    assert said["parameters_without_embeddings"] == sum(p.numel() for p in layers.state_dict().values())


def test_code_that_a_checkpoint_brings_is_not_run(v3: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy(v3, tmp_path / "evil")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass M: pass\n")
    checkpoints.change_config(
        folder,
        auto_map={"AutoConfig": "evil.M", "AutoModel": "evil.M"},
        _attn_implementation="kernels-community/evil",
        attn_implementation="kernels-community/evil",
        _experts_implementation="evil",
    )
    listen_checkpoint(inspect(folder), checkpoints.TEXTS[:2], tmp_path / "cache")
    assert not (tmp_path / "ran").exists()


def test_too_little_memory_is_found_first(v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = inspect(v3)
    need = {dtype: checkpoint.memory_bytes(dtype) for dtype in (torch.float32, torch.bfloat16)}
    assert need[torch.bfloat16] < need[torch.float32]
    assert arithmetic(checkpoint, need[torch.float32]) == torch.float32
    assert arithmetic(checkpoint, need[torch.float32] - 1) == torch.bfloat16
    monkeypatch.setattr("conversion.checkpoint.inspect.free_memory_bytes", lambda: need[torch.bfloat16] - 1)
    with pytest.raises(CiuicError, match="of memory") as caught:
        listen_checkpoint(inspect(v3), checkpoints.TEXTS, tmp_path / "cache")
    assert caught.value.code == "resources_short"
    assert not (tmp_path / "cache").exists()


def test_deepseek_v3_itself_needs_more_than_a_board_has() -> None:
    """The estimate's size: one of its layers has 256 experts, 11.5 thousand million parameters."""
    from conversion.checkpoint.families import Architecture
    from conversion.checkpoint.inspect import _needed

    raw = {
        "model_type": "deepseek_v3", "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432,
        "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128,
        "num_key_value_heads": 128, "n_shared_experts": 1, "n_routed_experts": 256, "num_experts_per_tok": 8,
        "n_group": 8, "topk_group": 4, "first_k_dense_replace": 3, "kv_lora_rank": 512, "q_lora_rank": 1536,
        "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
    }  # fmt: skip
    architecture = Architecture(FAMILIES["deepseek_v3"], raw, (128, 128))
    sizes: dict[int, int] = {}
    count = 0
    for _, (layer, shape) in _needed(architecture, "model."):
        count += 1
        sizes[layer] = sizes.get(layer, 0) + int(torch.tensor(shape, dtype=torch.float64).prod())
    # The published model: 671e9 parameters with the table at both ends (arXiv 2412.19437, section 4.2).
    total = sum(sizes.values()) + 129280 * 7168
    assert total == pytest.approx(671e9, rel=0.002)
    assert max(sizes.values()) == pytest.approx(11.5e9, rel=0.01)
    assert count > 40_000


def test_too_little_disk_is_found_first(v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CiuicError) as caught:
        check_disk(tmp_path / "not" / "there", 2**60)
    assert caught.value.code == "resources_short"
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(CiuicError, match="of disk"):
        listen_checkpoint(inspect(v3), checkpoints.TEXTS, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    (tmp_path / "rows-001.part").write_bytes(b"x" * 100_000)  # of a reading that goes on: written over
    check_disk(tmp_path, 90_000)


def test_a_control_group_bounds_free_memory(tmp_path: Path) -> None:
    proc = tmp_path / "meminfo"
    proc.write_text("MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n")
    assert free_memory_bytes(proc, tmp_path) == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert free_memory_bytes(proc, tmp_path) == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_memory_bytes(proc, tmp_path) == 995


def test_a_tokenizer_of_another_model(v3: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy(v3, tmp_path / "foreign")
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Nonsense"}}')
    with pytest.raises(CiuicError) as caught:
        load_tokenizer(inspect(folder))
    assert caught.value.code == "checkpoint_invalid"
    small = checkpoints.deepseek_v3(tmp_path / "small", vocab_size=1000)
    with pytest.raises(CiuicError, match="1000 rows") as caught:
        listen_checkpoint(inspect(small), checkpoints.TEXTS, tmp_path / "cache")
    assert caught.value.code == "checkpoint_invalid"


def test_bert_may_bring_its_vocabulary_alone(tmp_path: Path) -> None:
    folder = checkpoints.copy(model_folder(), tmp_path / "bert")
    whole = load_tokenizer(inspect(folder))
    (folder / "tokenizer.json").unlink()
    alone = load_tokenizer(inspect(folder))
    for text in (*checkpoints.TEXTS, "Ünïcode, and café"):
        assert alone.encode(text).ids == whole.encode(text).ids
