"""What a bundle weighs, part by part: on the line that the mission's size promise is judged by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from firmware_py.contracts.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes. `core`: full-width stage graphs of one length, heads, token table and tokenizer together.

    `graphs`: all graphs unpacked, `unpacked`: every file on disk, `bundle`: the archive, where equal
    buffers are stored once.
    """

    core: int
    stages: int
    heads: int
    table: int
    tokenizer: int
    graphs: int
    unpacked: int
    bundle: int

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def sizes(manifest: Manifest, bundle_bytes: int) -> Sizes:
    """Measure by the manifest's own sizes."""
    widest = max(graph.key.width for graph in manifest.graphs)
    length = min(manifest.buckets)
    stages = sum(
        graph.file.size_bytes
        for graph in manifest.graphs
        if graph.key.bucket == length and graph.key.width == widest
    )
    heads = sum(head.file.size_bytes for head in manifest.heads)
    table, tokenizer = manifest.embedding.size_bytes, manifest.tokenizer.size_bytes
    return Sizes(
        core=stages + heads + table + tokenizer,
        stages=stages,
        heads=heads,
        table=table,
        tokenizer=tokenizer,
        graphs=sum(graph.file.size_bytes for graph in manifest.graphs),
        unpacked=sum(one.size_bytes for one in manifest.members()),
        bundle=bundle_bytes,
    )
