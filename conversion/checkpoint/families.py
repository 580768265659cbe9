"""The architectures that are read, and a checkpoint's configuration, hostile until checked.

Code that a checkpoint brings along (`auto_map`) is never run: the class is chosen from the table below by
`model_type`, and what the configuration says of implementations is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conversion.checkpoint.shards import load_json
from firmware_py.contracts.errors import (
    CheckpointIncompleteError,
    CheckpointInvalidError,
    CheckpointUnsupportedError,
)

CONFIG = "config.json"
MAX_CONFIG_BYTES = 2**20
# Far beyond any published model of these families; beyond them a configuration is a mistake or an attack.
BOUNDS = {
    "num_hidden_layers": 256, "hidden_size": 65_536, "vocab_size": 4_000_000, "num_attention_heads": 1024,
    "num_key_value_heads": 1024, "intermediate_size": 1_000_000, "moe_intermediate_size": 1_000_000,
    "n_routed_experts": 4096, "max_position_embeddings": 2**24, "type_vocab_size": 64,
}  # fmt: skip
_NEEDED = ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads")
_POSITIONS = 512  # transformers' default for encoders; a decoder's is larger, and either is more than is read
_BEHIND_PADDING = ("roberta", "xlm-roberta")
_EXPERTS_IN, _EXPERTS_OUT = "experts.gate_up_proj", "experts.down_proj"


@dataclass(frozen=True, slots=True)
class Family:
    """Where transformers and a checkpoint keep an architecture's parts; `prefix` of names where the model has a head."""

    config: str
    model: str
    layers: str
    embedding: str
    prefix: str
    causal: bool


def _decoder(name: str) -> Family:
    return Family(f"{name}Config", f"{name}Model", "layers", "embed_tokens", "model.", causal=True)


def _encoder(name: str, prefix: str) -> Family:
    return Family(f"{name}Config", f"{name}Model", "encoder.layer", "embeddings", prefix, causal=False)


FAMILIES = {
    "deepseek_v2": _decoder("DeepseekV2"),
    "deepseek_v3": _decoder("DeepseekV3"),
    "qwen2": _decoder("Qwen2"),
    "bert": _encoder("Bert", "bert."),
    "roberta": _encoder("Roberta", "roberta."),
    "xlm-roberta": _encoder("XLMRoberta", "roberta."),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A checked configuration: the family, its `config.json` without what would choose code, float8 blocks."""

    family: Family
    raw: Mapping[str, Any]
    block: tuple[int, int]

    @property
    def name(self) -> str:
        """The `model_type`."""
        return str(self.raw["model_type"])

    @property
    def layers(self) -> int:
        """How many."""
        return int(self.raw["num_hidden_layers"])

    @property
    def width(self) -> int:
        """d, the size of a hidden row."""
        return int(self.raw["hidden_size"])

    @property
    def positions(self) -> int:
        """How many tokens a text may have; RoBERTa's first position stands behind that of its padding."""
        table = int(self.raw.get("max_position_embeddings") or _POSITIONS)
        return table - self._padding - 1 if self.name in _BEHIND_PADDING else table

    @property
    def _padding(self) -> int:
        found = self.raw.get("pad_token_id", 1)
        if type(found) is not int:
            msg = f"{CONFIG}: pad_token_id is {str(found)[:40]}; {self.name} counts positions from it"
            raise CheckpointInvalidError(msg)
        return found

    def kind(self, layer: int) -> tuple[bool, str]:
        """Layers of one kind need the same tensors: experts or dense, and which attention."""
        dense = layer < int(self.raw.get("first_k_dense_replace") or 0)
        types = self.raw.get("layer_types")
        return dense, str(types[layer]) if types else ""

    def one_layer(self, layer: int) -> Any:
        """The transformers model with that layer alone, all weights on the meta device.

        Raises:
            CheckpointInvalidError: transformers refuses the configuration.
        """
        dense, attention = self.kind(layer)
        values = {**self.raw, "num_hidden_layers": 1}
        if "first_k_dense_replace" in values:
            values["first_k_dense_replace"] = int(dense)
        if attention:
            values["layer_types"] = [attention]
        return _build(self.family, values)


def read_architecture(folder: Path) -> Architecture:
    """Read and check `config.json`.

    Raises:
        CheckpointIncompleteError: there is none.
        CheckpointInvalidError: it is not an object, or a size is missing or out of bounds.
        CheckpointUnsupportedError: an architecture or quantisation that is not read.
    """
    path = folder / CONFIG
    if not path.is_file():
        msg = f"there is no {CONFIG} in {folder}"
        raise CheckpointIncompleteError(msg)
    if path.stat().st_size > MAX_CONFIG_BYTES:
        msg = f"{CONFIG} is larger than {MAX_CONFIG_BYTES} bytes"
        raise CheckpointInvalidError(msg)
    raw = load_json(path.read_bytes(), CONFIG)
    kind = raw.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        msg = f"the checkpoint's architecture is {str(kind)[:60]!r}; supported are {', '.join(sorted(FAMILIES))}"
        raise CheckpointUnsupportedError(msg)
    block = _block(raw.get("quantization_config"))
    _check_sizes(raw)
    drop = {"auto_map", "quantization_config", "attn_implementation", "experts_implementation"}
    kept = {name: value for name, value in raw.items() if not name.startswith("_") and name not in drop}
    made = Architecture(family, kept, block)
    types = kept.get("layer_types")
    if types is not None and (not isinstance(types, list) or len(types) != made.layers):
        msg = f"{CONFIG}: layer_types has not one entry for each layer"
        raise CheckpointInvalidError(msg)
    return made


def parts(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int | slice, ...]]]:
    """The checkpoint's tensors that make up one of transformers', each with its place in it.

    A checkpoint has every expert's matrices one by one; transformers keeps all experts of a layer in one array,
    gate and up projection above each other.
    """
    if name.endswith(_EXPERTS_IN):
        stem, half = name.removesuffix("gate_up_proj"), shape[1] // 2
        for expert in range(shape[0]):
            yield f"{stem}{expert}.gate_proj.weight", (expert, slice(0, half))
            yield f"{stem}{expert}.up_proj.weight", (expert, slice(half, None))
    elif name.endswith(_EXPERTS_OUT):
        for expert in range(shape[0]):
            yield f"{name.removesuffix('down_proj')}{expert}.down_proj.weight", (expert,)
    else:
        yield name, ()


def wanted(module: nn.Module, stem: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes that a checkpoint must have for a module (on the meta device) at a place."""
    out: dict[str, tuple[int, ...]] = {}
    for name, tensor in module.state_dict().items():
        for part, place in parts(name, tuple(tensor.shape)):
            shape: Tensor = tensor[place] if place else tensor
            out[f"{stem}{part}"] = tuple(shape.shape)
    return out


def _build(family: Family, values: Mapping[str, Any]) -> Any:
    import transformers

    try:
        config = getattr(transformers, family.config).from_dict(dict(values))
        config._attn_implementation = "eager"  # noqa: SLF001 - transformers' own way to choose
        config._experts_implementation = "eager"  # noqa: SLF001 - one expert after another, whatever fits
        make = getattr(transformers, family.model)
        with torch.device("meta"):
            model = make(config) if family.causal else make(config, add_pooling_layer=False)
        if family.causal:  # a table, no weights: it has to be real
            model.rotary_emb = type(model.rotary_emb)(config=config)
    except Exception as error:  # a configuration may break it in any way
        msg = f"transformers refuses the configuration: {' '.join(str(error).split())[:200]}"
        raise CheckpointInvalidError(msg) from error
    return model.eval()


def _check_sizes(raw: Mapping[str, Any]) -> None:
    for name, bound in BOUNDS.items():
        value = raw.get(name)
        if value is None and name not in _NEEDED:
            continue
        if type(value) is not int or not 1 <= value <= bound:
            msg = f"{CONFIG}: {name} is {str(value)[:40]}, not a whole number from 1 to {bound}"
            raise CheckpointInvalidError(msg)


def _block(quantisation: Any) -> tuple[int, int]:
    if quantisation is None:
        return 128, 128
    method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
    block = quantisation.get("weight_block_size") if isinstance(quantisation, dict) else None
    if method != "fp8" or not isinstance(block, list) or len(block) != 2:
        msg = f"the weights are quantised by {str(method)[:40]!r}; of quantised ones only float8 blocks are read"
        raise CheckpointUnsupportedError(msg)
    if not all(type(side) is int and 1 <= side <= 65_536 for side in block):
        msg = f"{CONFIG}: weight_block_size is not two sizes"
        raise CheckpointInvalidError(msg)
    return block[0], block[1]
