"""What an accelerator's own compiler says of a recipe's graphs; stands in the bundle's provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conversion.export.edgetpu import MAPPED, PROGRAM, compile_for_edgetpu, find_compiler, share
from conversion.export.vela import ACCELERATOR, VERSION, compile_for_npu, find_vela
from firmware_py.contracts.errors import ToolMissingError
from firmware_py.contracts.run import GraphKey

LENGTH = 16  # tokens; what is said of one length holds for all: the graphs differ in shapes only


def describe(recipe: str, graphs: Mapping[GraphKey, Path], root: Path) -> dict[str, Any] | None:
    """Compile the full-width graphs of one length; None for recipes without a compiler.

    Raises:
        ConversionError: the compiler is there and refused a graph.
    """
    if recipe not in {"ethosu", "edgetpu"}:
        return None
    widest = max(key.width for key in graphs)
    length = LENGTH if any(key.bucket == LENGTH for key in graphs) else min(key.bucket for key in graphs)
    mine = [graphs[key] for key in sorted(graphs) if key.width == widest and key.bucket == length]
    said = _ethosu(mine, root) if recipe == "ethosu" else _edgetpu(mine)
    return {"length": length, **said}


def _ethosu(graphs: list[Path], root: Path) -> dict[str, Any]:
    try:
        vela = find_vela(root)
    except ToolMissingError as error:
        return {"compiler": "vela", "compiled": False, "why": error.message}
    reports = [compile_for_npu(vela, path) for path in graphs]
    npu, cpu = (
        sum((Counter(one.npu) for one in reports), Counter()),
        sum((Counter(one.cpu) for one in reports), Counter()),
    )
    return {
        "compiler": f"vela {VERSION}",
        "compiled": True,
        "accelerator": ACCELERATOR,
        "operators_on_npu": sum(npu.values()),
        "operators_on_cpu": sum(cpu.values()),
        "share": round(sum(npu.values()) / sum((npu + cpu).values()), 4),
        "cpu": dict(sorted(cpu.items())),
        "estimated_s": round(sum(one.estimated_s for one in reports), 6),
        "note": "operators after lowering; seconds are the compiler's estimate at its default clock, nothing ran",
    }


def _edgetpu(graphs: list[Path]) -> dict[str, Any]:
    program = find_compiler()
    if program is None:
        return {"compiler": PROGRAM, "compiled": False, "why": "not compiled: the program is not on PATH"}
    lines = [line for path in graphs for line in compile_for_edgetpu(program, path)]
    left: Counter[str] = Counter()
    for line in lines:
        if line.status != MAPPED:
            left[f"{line.operator}: {line.status}"] += line.count
    return {
        "compiler": PROGRAM,
        "compiled": True,
        "share": round(share(lines), 4),
        "cpu": dict(sorted(left.items())),
    }
