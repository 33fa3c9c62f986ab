/** Every float tensor of real models through formats, bit for bit: small ones through all, others through one in turn. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { weightTensors } from '../../graph/weights.ts'
import { floats } from '../../tensor/dtype.ts'
import { modelsFolder, needsModels, realModel } from '../../testing/real-models.ts'
import { expectSame } from '../../testing/test-format.ts'
import { matrixOfWeight, weightOfMatrix } from './convolution.ts'
import * as formats from './index.ts'
import type { MatrixFormat } from './matrix.ts'
import { openMatrix } from './open.ts'

const all = Object.values(formats) as MatrixFormat[]
const names = modelsFolder
  ? readdirSync(modelsFolder).flatMap((f) => (f.endsWith('.onnx') ? [f.slice(0, -'.onnx'.length)] : []))
  : []

describe.skipIf(!modelsFolder)(`tensors of real models${needsModels}`, () => {
  it.each(names)('%s', (name) => {
    let tensors = 0
    const model = realModel(name)
    for (const tensor of new Set([
      ...model.graph.initializers.values(),
      ...weightTensors(model).map((w) => w.tensor),
    ])) {
      if (tensor.dtype !== 'float32' || tensor.dims.length === 0) continue
      const dims = tensor.dims.length > 1 ? tensor.dims : [...tensor.dims, 1]
      const values = floats(tensor) as Float32Array
      const matrix = matrixOfWeight(values, dims)
      const some = values.length > 5000 ? [all[tensors % all.length]] : all
      for (const format of some) {
        const decoded = openMatrix(format.encode(matrix)).decode()
        expectSame(decoded, matrix)
        expectSame({ ...matrix, values: weightOfMatrix(decoded, dims) }, { ...matrix, values })
      }
      tensors++
    }
    expect(tensors).toBeGreaterThan(0)
  })
})
