"""Converted files by what went into them: the same weights and the same graph form convert once.

A file's name is the SHA-256 of everything that its bytes depend on, so nothing in the folder is ever stale
and the folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from conversion.export import onnx2tf_batch, to_onnx, to_tflite
from firmware_py.bundles.write import write_atomic

_FORM = (to_onnx, onnx2tf_batch)  # their text and the graph's own decide about a float32 file's form
_EXPORTERS = ("torch", "onnx", "onnxscript", "onnx-ir")


class GraphCache:
    """A folder of files named by key."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first file comes."""
        self._folder = folder

    def path(self, key: str) -> Path:
        """Where the file of a key is or will be."""
        return self._folder / f"{key}.tflite"

    def put(self, key: str, data: bytes) -> Path:
        """Keep a file; it appears whole or not at all, also when two processes make it at once."""
        path = self.path(key)
        write_atomic(path, data)
        return path


def float32_key(graph: nn.Module, bucket: int) -> str:
    """The key of a stage graph before quantisation: folded weights, length, graph form, exporters' versions.

    Sizes that neither weights nor layers show belong into the module's `form`.
    """
    digest = hashlib.sha256()
    for path in (*(str(module.__file__) for module in _FORM), inspect.getfile(type(graph))):
        digest.update(Path(path).read_bytes())
    versions = {name: _version(name) for name in _EXPORTERS} | {"onnx2tf": to_tflite.VERSION}
    digest.update(json.dumps([versions, bucket, str(graph), getattr(graph, "form", None)]).encode())
    for name, tensor in sorted(graph.state_dict().items()):
        array = tensor.detach().to(torch.float32).contiguous().numpy()
        digest.update(json.dumps([name, list(array.shape)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def recipe_key(source: bytes, recipe: dict[str, Any], packages: tuple[str, ...]) -> str:
    """The key of a file made from `source` as the recipe says; `packages` are those whose versions matter."""
    digest = hashlib.sha256(source)
    said = [recipe, {name: _version(name) for name in packages}]
    digest.update(json.dumps(said, sort_keys=True).encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
