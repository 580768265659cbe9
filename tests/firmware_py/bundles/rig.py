"""A small bundle's manifest and members, and archives as a hostile writer would make them."""

from __future__ import annotations

from firmware_py.bundles import archive
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import MANIFEST_NAME, member
from firmware_py.contracts.manifest import Graph, Head, Manifest, Task, TensorSpec
from firmware_py.contracts.run import GraphKey

ANYONE = Trust(None, allow_unsigned=True)
FILES = {
    "s1.tflite": bytes(range(256)) * 40,
    "head1.npz": b"head",
    "embedding.npz": b"",
    "tokenizer.txt": b"[PAD]\n",
    "golden.jsonl": b"{}\n" * 300,
}


def a_manifest(files: dict[str, bytes]) -> Manifest:
    """One stage, one bucket, one exit."""
    spec = (TensorSpec("h", "float32", (16, 8)),)
    return Manifest(
        name="tiny",
        version="1.0.0",
        recipe="dyn8",
        task=Task("home", "intent", ("en",)),
        labels=("on", "off"),
        slots=("area",),
        stages=1,
        buckets=(16,),
        dims={"model": 8},
        runtimes={"ai-edge-litert": "2.0"},
        graphs=(
            Graph(
                GraphKey(16, 1, 4),
                "stage",
                0,
                spec,
                spec,
                {"MUL": 1},
                member("s1.tflite", files["s1.tflite"]),
            ),
        ),
        heads=(Head("home", 1, 1.0, member("head1.npz", files["head1.npz"])),),
        embedding=member("embedding.npz", files["embedding.npz"]),
        tokenizer=member("tokenizer.txt", files["tokenizer.txt"]),
        golden=member("golden.jsonl", files["golden.jsonl"]),
        exit_rules={"balanced": (0.8,)},
        default_rule="balanced",
        accuracy_by_exit=(0.9,),
        out_of_scope_threshold=0.5,
        provenance={"seed": 0},
    )


def packed(manifest: bytes, files: dict[str, bytes]) -> bytes:
    """An archive of any manifest bytes, as a hostile writer would make it."""
    return archive.pack([(MANIFEST_NAME, manifest), *sorted(files.items())])
