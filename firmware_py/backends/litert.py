"""The only door to TFLite: ai-edge-litert or tflite-runtime, whichever is installed.

A graph is opened by path, which maps the file instead of copying it. One thread each: two never helped
graphs of this size and spin-waiting workers hurt a busy board (measured, x86_64). Inputs and outputs
go through `set_tensor`/`get_tensor` with indices looked up once; views and signature runners were not
faster. Everything that a runtime or a delegate raises ends here as one of our errors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from firmware_py.contracts.errors import BundleRuntimeError, DelegateError, GraphError
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors

RUNTIMES: Mapping[str, str] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
CPU = "xnnpack"  # both runtimes apply it by themselves; conversion notes: 1.7 times fp32 with int8
_SIGNATURE = "serving_default"
_MOST_CHARS = 200  # of what a delegate's library says: it goes into logs and replies
_FOREIGN = (RuntimeError, ValueError, TypeError, OSError, MemoryError)
# Private dirty memory of a 358 KB stage was 1.0 MB: its packed weights, its arena, its tables.
_FIXED_BYTES = 512 * 1024


@functools.cache
def installed() -> tuple[str, str] | None:
    """Package and version of the runtime that this interpreter would use, or None."""
    for package in RUNTIMES:
        try:
            return package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def check_runtime(minima: Mapping[str, str]) -> str:
    """Refuse a bundle that this runtime cannot run, and name the runtime with its version.

    Args:
        minima: the manifest's runtimes, package -> minimum version.

    Raises:
        BundleRuntimeError: none is installed, it is not among them, or it is older.
    """
    found = installed()
    if found is None:
        msg = "neither ai-edge-litert nor tflite-runtime is installed"
        raise BundleRuntimeError(
            msg, hint='Install the device role; in a checkout: `pip install ".[device]"`.'
        )
    package, version = found
    minimum = minima.get(package)
    if minimum is None:
        msg = f"the bundle runs on {', '.join(sorted(minima))}; this board has {package} {version}"
        raise BundleRuntimeError(msg)
    if _numbers(version) < _numbers(minimum):
        msg = f"the bundle needs {package} {minimum}; this board has {version}"
        raise BundleRuntimeError(msg, hint=f"Upgrade {package}.")
    return f"{package} {version}"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 2.14.0 -> (2, 14, 0)."""
    out: list[int] = []
    for part in version.split("."):
        if not part.isdigit():
            break
        out.append(int(part))
    return tuple(out)


class LiteRtDelegate:
    """A shared library that takes part of a graph; loaded once, used for every graph of a runner."""

    __slots__ = ("handle", "name")

    def __init__(self, name: str, library: str, options: Mapping[str, str]) -> None:
        """Load the library.

        Raises:
            DelegateError: absent, not a delegate, or its device is not there.
        """
        self.name = name
        try:
            self.handle = _runtime().load_delegate(library, dict(options))
        except OSError as error:
            msg = f"{name}: the library {library} cannot be loaded"
            raise DelegateError(msg) from error
        except AttributeError as error:
            msg = f"{name}: {library} is not a TFLite delegate"
            raise DelegateError(msg) from error
        except (ValueError, RuntimeError) as error:
            # The plug-in's own message comes as the ValueError's text: no user text is in it, but maybe pages.
            said = " ".join(str(error).split())[:_MOST_CHARS] or "no reason given"
            msg = f"{name}: the delegate refused to start: {said}"
            raise DelegateError(msg) from error


class LiteRtGraph:
    """One interpreter.

    Its bare door - `set_tensor`, `invoke`, `get_tensor`, with the indices in `feeds` and `fetches` -
    is what benchmarks hold the engine against; who goes through it says `forget` before the next `run`.
    """

    __slots__ = (
        "_held",
        "_interpreter",
        "_key",
        "feeds",
        "fetches",
        "get_tensor",
        "invoke",
        "resident_bytes",
        "set_tensor",
    )

    def __init__(self, folder: Path, graph: Graph, delegate: LiteRtDelegate | None = None) -> None:
        """Map the graph's file and allocate its tensors.

        Raises:
            GraphError: the file is no graph, or not the one that the manifest describes.
            DelegateError: the delegate failed to prepare it.
        """
        self._key = graph.key
        self.resident_bytes = 2 * graph.file.size_bytes + _FIXED_BYTES
        path = folder / graph.file.name
        delegates = [] if delegate is None else [delegate.handle]
        try:
            interpreter = _runtime().Interpreter(
                model_path=str(path), num_threads=1, experimental_delegates=delegates
            )
            interpreter.allocate_tensors()
        except _FOREIGN as error:
            if delegate is not None:
                msg = f"{delegate.name}: the delegate failed to prepare graph {graph.key}"
                raise DelegateError(msg) from error
            msg = f"graph {graph.key} cannot be loaded"
            raise GraphError(msg) from error
        self._interpreter: Any = interpreter
        self.set_tensor: Any = interpreter.set_tensor
        self.get_tensor: Any = interpreter.get_tensor
        self.invoke: Any = interpreter.invoke
        feeds, fetches = _indices(interpreter, graph)
        self.feeds, self.fetches = tuple(feeds.items()), fetches
        # What an input holds since the last run. An interpreter keeps its inputs (TFLite's planner never gives
        # their memory away), so a table that nobody may write is fed once; a delegate's library is not trusted so far.
        self._held: dict[str, Any] | None = {} if delegate is None else None

    def run(self, tensors: Tensors) -> Tensors:
        """Feed and invoke; an output is copied out when it is asked for.

        Raises:
            GraphError: an input is missing or does not fit, or the interpreter failed.
        """
        set_tensor, held = self.set_tensor, self._held
        try:
            for name, index in self.feeds:
                tensor = tensors[name]
                if held is None:
                    set_tensor(index, tensor)
                elif held.get(name) is not tensor:
                    set_tensor(index, tensor)
                    held[name] = None if tensor.flags.writeable else tensor
            self.invoke()
        except KeyError as error:
            msg = f"graph {self._key} does not get its input {error.args[0]}"
            raise GraphError(msg) from error
        except _FOREIGN as error:
            state = "is closed" if self._interpreter is None else "failed"
            msg = f"graph {self._key} {state}"
            raise GraphError(msg) from error
        return _Outputs(self.get_tensor, self.fetches)

    def forget(self) -> None:
        """Feed everything at the next run: somebody else has set inputs."""
        if self._held is not None:
            self._held.clear()

    def close(self) -> None:
        """Drop the interpreter, and with it the mapping of its file."""
        self._interpreter = None
        self.set_tensor = self.get_tensor = self.invoke = None


class _Outputs(Mapping[str, Any]):
    """Outputs of the last run of a graph; most callers want one of them."""

    __slots__ = ("_get", "_indices")

    def __init__(self, get_tensor: Any, indices: Mapping[str, int]) -> None:
        self._get = get_tensor
        self._indices = indices

    def __getitem__(self, name: str) -> Any:
        return self._get(self._indices[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


def _runtime() -> Any:
    found = installed()
    if found is None:
        check_runtime({})
        raise AssertionError
    try:
        return import_module(RUNTIMES[found[0]])
    except (ImportError, SystemError) as error:  # tflite-runtime beside numpy 2
        msg = f"{found[0]} {found[1]} cannot be imported"
        raise BundleRuntimeError(
            msg, hint="tflite-runtime needs numpy<2; reinstall the device role."
        ) from error


def _indices(interpreter: Any, graph: Graph) -> tuple[dict[str, int], dict[str, int]]:
    """Tensor indices by the names of the signature, checked against the manifest."""
    try:
        runner = interpreter.get_signature_runner(_SIGNATURE)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
    except _FOREIGN as error:
        msg = f"graph {graph.key} has no signature {_SIGNATURE}"
        raise GraphError(msg) from error
    found = []
    for specs, details in ((graph.inputs, inputs), (graph.outputs, outputs)):
        rows: dict[str, int] = {}
        for spec in specs:
            detail = details.get(spec.name)
            if (
                detail is None
                or tuple(detail["shape"]) != spec.shape
                or detail["dtype"].__name__ != spec.dtype
            ):
                msg = f"graph {graph.key} has no tensor {spec.name} of {spec.dtype}{list(spec.shape)}"
                raise GraphError(msg)
            rows[spec.name] = int(detail["index"])
        found.append(rows)
    return found[0], found[1]
