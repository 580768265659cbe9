"""The same graph in fewer bytes.

Equal vectors are stored once - a graph with int8 weights has some twenty vectors of zero points, 8 bytes a
channel, all zero -, inner tensors have no names, and every buffer lies at a multiple of 16, as the schema asks
and no writer in the chain keeps: kernels read numbers out of it in place.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

_TYPES = {"shape": np.int32, "scale": np.float32, "zeroPoint": np.int64}


def compact(data: bytes) -> bytes:
    """A TFLite file's bytes, smaller; the same numbers come out of it."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    graph = model.subgraphs[0]
    graph.name = None  # that of the file it was made from
    border = {*map(int, graph.inputs), *map(int, graph.outputs)}
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    for place, tensor in enumerate(graph.tensors):
        if place not in border:
            tensor.name = None
        _as_arrays(tensor)
        _as_arrays(tensor.quantization)
    builder = _builder()()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _as_arrays(holder: Any) -> None:
    """Lists as arrays: the builder writes those through one method."""
    for name, dtype in _TYPES.items():
        value = getattr(holder, name, None)
        if value is not None:
            setattr(holder, name, np.asarray(value, dtype))


@cache
def _builder() -> Any:
    base = import_module("flatbuffers").Builder

    class Sharing(base):  # type: ignore[valid-type, misc]
        """Hands out the place of an equal vector that is already written."""

        def __init__(self) -> None:
            super().__init__(1024)
            self.places: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 - the name is the base class's
            key = (str(x.dtype), x.tobytes())
            if key not in self.places:
                self.places[key] = self._data(x) if x.dtype == np.uint8 else super().CreateNumpyVector(x)
            return self.places[key]

        def _data(self, x: Any) -> int:
            self.StartVector(1, x.size, 16)
            self.head -= x.size
            self.Bytes[self.head : self.head + x.size] = x.tobytes()
            return int(self.EndVector())

    return Sharing
