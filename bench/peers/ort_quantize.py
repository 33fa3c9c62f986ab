"""The peer of bench/int8.mts: ONNX Runtime's own static quantiser (onnxruntime.quantization, QDQ).

Usage: ort_quantize.py FLOAT.onnx CALIBRATION.npz METHOD SCALES OUT.onnx
CALIBRATION.npz holds one array for each input, samples along its first axis; METHOD is MinMax or Percentile;
SCALES is per-channel or per-tensor. Prints the version and the seconds that it took.
Needs: pip install onnx onnxruntime numpy
"""

import json
import sys
import time

import numpy
import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Samples(CalibrationDataReader):
    def __init__(self, arrays, batch):
        count = min(len(a) for a in arrays.values())
        self.batches = iter(
            {name: a[i : i + batch] for name, a in arrays.items()} for i in range(0, count - batch + 1, batch)
        )

    def get_next(self):
        return next(self.batches, None)


def main(source, calibration, method, scales, target):
    model = onnx.load(source)
    if model.opset_import[0].version < 13:
        model = version_converter.convert_version(model, 13)
    start = time.perf_counter()
    prepared = target + ".prepared.onnx"
    onnx.save(model, prepared)
    quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
    arrays = dict(numpy.load(calibration))
    first = onnx.load(prepared).graph.input[0].type.tensor_type.shape.dim[0]
    quantize_static(
        prepared,
        target,
        Samples(arrays, first.dim_value or 64),
        quant_format=QuantFormat.QDQ,
        per_channel=scales == "per-channel",
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=getattr(CalibrationMethod, method),
    )
    print(json.dumps({"version": onnxruntime.__version__, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
