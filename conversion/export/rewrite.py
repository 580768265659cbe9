"""Changes float32 TFLite files in ways that the converters do not offer.

`with_convolutions`: every fully-connected operator over T rows becomes a 1x1 convolution over a [1,T,1,D]
picture between two reshapes. The Edge TPU takes a fully-connected operator only for one row ("output tensor
is one-dimensional"), mesa's teflon takes none; both take convolutions (sources: conversion/targets/operators/).
`with_names_at_the_border`: what is read by name keeps its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def with_convolutions(source: Path) -> bytes:
    """The file's bytes with convolutions in place of fully-connected operators; the same numbers come out."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(source))
    graph = model.subgraphs[0]
    edit = _Editor(model, graph, schema)
    operators = []
    for operator in graph.operators:
        if edit.code_of(operator) != schema.BuiltinOperator.FULLY_CONNECTED:
            operators.append(operator)
            continue
        operators += edit.convolution(operator)
    graph.operators = operators
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def with_names_at_the_border(data: bytes) -> bytes:
    """The same file with each output tensor named as its signature says; a quantiser names what it adds itself."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    tensors = model.subgraphs[0].tensors
    for one in (*model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs):
        border, name = tensors[one.tensorIndex], bytes(one.name)
        for tensor in tensors:
            if tensor is not border and bytes(tensor.name) == name:
                tensor.name = name + b"_int8"
        border.name = name
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class _Editor:
    """Adds tensors and operators to one model; nothing is removed, unused buffers are none."""

    def __init__(self, model: Any, graph: Any, schema: Any) -> None:
        self._model, self._graph, self._schema = model, graph, schema
        builtin = schema.BuiltinOperator
        self._conv, self._reshape = self._code(builtin.CONV_2D, 1), self._code(builtin.RESHAPE, 1)
        self._reshaped: dict[int, int] = {}

    def code_of(self, operator: Any) -> int:
        """The builtin code of an operator."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def convolution(self, dense: Any) -> list[Any]:
        """Reshape, convolution, reshape for a fully-connected operator [T,D] -> [T,O]."""
        schema, tensors = self._schema, self._graph.tensors
        data, weights, shift = dense.inputs
        rows, columns = (int(size) for size in tensors[data].shape)
        outputs = int(tensors[weights].shape[0])
        out = dense.outputs[0]
        name = bytes(tensors[out].name)
        made = []
        if data not in self._reshaped:  # several projections read the same rows
            picture = self._tensor(bytes(tensors[data].name) + b"_rows", (1, rows, 1, columns))
            self._reshaped[data] = picture
            made.append(self._reshape_op(data, picture))
        tensors[weights].shape = np.array([outputs, 1, 1, columns], np.int32)
        result = self._tensor(name + b"_conv", (1, rows, 1, outputs))
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = dense.builtinOptions.fusedActivationFunction
        conv = self._operator(self._conv, [self._reshaped[data], weights, shift], [result])
        conv.builtinOptionsType, conv.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
        return [*made, conv, self._reshape_op(result, out)]

    def _reshape_op(self, source: int, target: int) -> Any:
        shape = [int(size) for size in self._graph.tensors[target].shape]
        wanted = self._tensor(bytes(self._graph.tensors[target].name) + b"_shape", (len(shape),))
        tensor = self._graph.tensors[wanted]
        tensor.type = self._schema.TensorType.INT32
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.array(shape, np.int32).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer = len(self._model.buffers) - 1
        options = self._schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        operator = self._operator(self._reshape, [source, wanted], [target])
        operator.builtinOptionsType = self._schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = options
        return operator

    def _operator(self, code: int, inputs: list[int], outputs: list[int]) -> Any:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return operator

    def _tensor(self, name: bytes, shape: tuple[int, ...]) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name, np.array(shape, np.int32)
        tensor.type, tensor.buffer = self._schema.TensorType.FLOAT32, 0
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _code(self, builtin: int, version: int) -> int:
        for number, code in enumerate(self._model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
                return number
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, builtin, version
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1
