/** A report with everything that one may say, for tests of how it is drawn. */
import type { Side } from '../evaluate/compare.ts'
import type { Report } from '../report/report.ts'

const side: Side = {
  name: 'net.onnx',
  bytes: 553_437_328,
  packed: 400_000_000,
  params: 138_357_544,
  nonZero: 138_357_544,
  macs: 15_470_264_320,
  top1: 0.9173,
  top5: 0.9951,
  latencyMs: { median: 131.234, p10: 130, p90: 140 },
  layers: [],
}

export const longName = '/features/denseblock4/denselayer16/conv2/Conv_quantized_weight_transposed_again'

export const exampleReport: Report = {
  title: 'a-network-with-quite-a-long-file-name-as-exporters-make-them.onnx, compressed for size',
  goal: 'size',
  made: '2026-01-02T03:04:05.678Z',
  input: {
    inputs: ['input_tensor_of_the_exported_model float32 [batch_size,3,224,224]', 'state float32 [2,N,64]'],
    data: 'images:pictures',
    samples: { training: 50_000, test: 10_000 },
    preprocessing: 'pixels 0..255 to 0..1; minus 0.485, 0.456, 0.406; over 0.229, 0.224, 0.225; NCHW',
    seed: 0,
  },
  packedFile: 'net.cop',
  before: side,
  after: { ...side, bytes: 130_000_000, packed: 61_234_567, nonZero: 40_000_000, top1: 0.9162, top5: 0.9949 },
  speedUp: { median: 0.72, low: 0.66, high: 0.8, rounds: 240 },
  testSet: { id: 'images:pictures (test)', samples: 10_000 },
  judged: {
    on: '10,000 test samples of images:pictures',
    holds: true,
    findings: [
      {
        output: 'boxes',
        kind: 'numbers',
        unit: 'dB of noise',
        loss: -37.52,
        limit: -30,
        interval: [-38.2, -36.9],
        samples: 10_000,
        spent: 0.42,
      },
      {
        output: 'logits',
        kind: 'classes',
        unit: 'points of accuracy',
        loss: 0.11,
        limit: 0.5,
        interval: [-0.08, 0.3],
        samples: 10_000,
        spent: 0.22,
      },
    ],
    apart: [{ output: 'state', why: 'is the same for every input here, but for rounding, so nothing is judged there' }],
  },
  heldBack: {
    what: 'top-1 accuracy on 5,000 held-back samples of images:pictures (train)',
    unit: 'points of accuracy',
    loss: 0.2,
    limit: 0.25,
  },
  layers: [longName, 'fc.weight'].map((name, i) => ({
    name,
    op: 'Conv',
    weights: 102_760_448,
    bytesBefore: 411_041_792 / (i + 1),
    bytesAfter: 40_000_000,
    bitsPerWeight: 3.11,
    sparsity: 0.7,
    sensitivity: 1.2e-7,
  })),
  untouched: [{ name: longName, bytes: 123_456, tensors: 1, reason: 'scale or shift of a normalisation' }],
  recipe: {
    coppice: 1,
    made: 'compress --goal size --max-loss 0.5',
    seed: 0,
    calibration: { data: 'images:pictures', samples: 512, batchSize: 128 },
    steps: [['uniform', { lambda: 1e-8, exclude: [longName, longName] }]],
  },
  notes: [`"${longName}" stays in float: it is read by an operator that coppice does not know`],
  warnings: ['the result is 1.39 x slower (1.25 to 1.52)'],
  environment: ['coppice 0.1.0', 'ONNX Runtime 1.30.0', 'Node 20.20.2', '2 x Some Processor (R) CPU @ 2.00 GHz'],
}
