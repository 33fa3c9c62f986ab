"""The peer of bench/int8.mts: NNCF's post-training quantisation of an ONNX model, with its defaults.

Usage: nncf_quantize.py FLOAT.onnx CALIBRATION.npz OUT.onnx
CALIBRATION.npz holds one array for each input, samples along its first axis. Prints the version and the seconds that it took.
Needs: pip install nncf onnx onnxruntime numpy
"""

import json
import logging
import sys
import time

import nncf
import numpy
import onnx
from onnx import version_converter


def main(source, calibration, target):
    nncf.set_log_level(logging.ERROR)
    model = onnx.load(source)
    if model.opset_import[0].version < 13:
        model = version_converter.convert_version(model, 13)
    arrays = dict(numpy.load(calibration))
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    count = min(len(a) for a in arrays.values())
    batches = [
        {name: a[i : i + batch] for name, a in arrays.items()} for i in range(0, count - batch + 1, batch)
    ]
    start = time.perf_counter()
    quantized = nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
    seconds = time.perf_counter() - start
    onnx.save(quantized, target)
    print(json.dumps({"version": nncf.__version__, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
