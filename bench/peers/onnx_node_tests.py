"""Writes ONNX's own test models for bench/onnx-node-tests.mts: those made by onnx.backend.test.case.node and those of the wheel's
data folder (simple, light, pytorch-converted, pytorch-operator).

Usage: onnx_node_tests.py write FOLDER | compare FOLDER | version
write: each model becomes FOLDER/KIND/NAME.onnx with NAME.json beside it: the element type and shape of each output that the test expects
(null for sequences, maps and what is left out), and the same of its inputs, with the values of small ones.
compare: each NAME.written against its NAME.onnx, tensors by their elements and everything else as protobuf; prints the names of those
that differ, as JSON.
Needs: pip install onnx numpy (and what the node tests import)
"""

import json
import math
import os
import sys
import warnings
from collections.abc import Iterable

import numpy
import onnx
import onnx.backend.test
from onnx import helper, numpy_helper

warnings.filterwarnings("ignore")


def elements(array):
    """Few finite numbers, as shapes may depend on them."""
    if array.size > 64 or array.dtype.kind not in "iufb":
        return {}
    values = [float(v) for v in array.ravel()]
    return {"values": values} if all(math.isfinite(v) and abs(v) < 2**53 for v in values) else {}


def summary(value):
    if isinstance(value, onnx.TensorProto):
        return {"type": value.data_type, "shape": list(value.dims), **elements(numpy_helper.to_array(value))}
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        try:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        except (ValueError, KeyError):
            kind = 0
        return {"type": int(kind), "shape": list(value.shape), **elements(value)}
    return None


def write(folder, kind, name, model_bytes, inputs, outputs):
    place = os.path.join(folder, kind)
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, f"{name}.onnx"), "wb") as f:
        f.write(model_bytes)
    with open(os.path.join(place, f"{name}.json"), "w") as f:
        json.dump({"inputs": [summary(v) for v in inputs], "outputs": [summary(v) for v in outputs]}, f)


def made(folder):
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        inputs, outputs = case.data_sets[0]
        write(folder, case.kind, case.name, case.model.SerializeToString(), inputs, outputs)


def tensors(folder, prefix, graph_values):
    found = []
    for i, value in enumerate(graph_values):
        path = os.path.join(folder, f"{prefix}_{i}.pb")
        if not os.path.exists(path) or not value.type.HasField("tensor_type"):
            found.append(None)
            continue
        with open(path, "rb") as f:
            found.append(onnx.TensorProto.FromString(f.read()))
    return found


def stored(folder):
    data = os.path.join(os.path.dirname(onnx.backend.test.__file__), "data")
    for kind in sorted(os.listdir(data)):
        for root, _, files in os.walk(os.path.join(data, kind)):
            for file in sorted(files):
                if not file.endswith(".onnx"):
                    continue
                path = os.path.join(root, file)
                with open(path, "rb") as f:
                    model_bytes = f.read()
                graph = onnx.ModelProto.FromString(model_bytes).graph
                if file == "model.onnx":
                    name = os.path.basename(root)
                    case = os.path.join(root, "test_data_set_0")
                    inputs = tensors(case, "input", graph.input)
                    outputs = tensors(case, "output", graph.output)
                else:
                    name = file[: -len(".onnx")]
                    inputs = [None] * len(graph.input)
                    outputs = tensors(root, f"{name}_output", graph.output)
                write(folder, kind, name, model_bytes, inputs, outputs)


def plain(message):
    """The message with the elements of its tensors as raw_data, whatever field they are in, and without empty texts."""
    if isinstance(message, onnx.TensorProto):
        if message.data_type != onnx.TensorProto.STRING and not message.HasField("raw_data"):
            raw = numpy_helper.from_array(numpy_helper.to_array(message)).raw_data
            for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                message.ClearField(field)
            message.raw_data = raw
    for field, value in message.ListFields():
        if field.message_type is None:
            if value == "":
                message.ClearField(field.name)
            continue
        for item in value if isinstance(value, Iterable) and not hasattr(value, "DESCRIPTOR") else [value]:
            plain(item)


def compare(folder):
    different = []
    for root, _, files in os.walk(folder):
        for file in sorted(files):
            if not file.endswith(".written"):
                continue
            name = os.path.join(root, file[: -len(".written")])
            models = []
            for path in (f"{name}.onnx", f"{name}.written"):
                with open(path, "rb") as f:
                    models.append(onnx.ModelProto.FromString(f.read()))
                plain(models[-1])
            if models[0] != models[1]:
                different.append(f"{os.path.relpath(name, folder)}: what was written differs from what was read")
    print(json.dumps(different))


if sys.argv[1] == "write":
    made(sys.argv[2])
    stored(sys.argv[2])
elif sys.argv[1] == "compare":
    compare(sys.argv[2])
else:
    print(onnx.__version__)
