/**
 * Question: does every matrix format give every float32 tensor of real models back, bit for bit? (The tests run large tensors
 * through one format each; this runs all through all.) Reads the models of COPPICE_MODELS.
 * Run: npx tsx bench/matrix-round-trips.mts; writes bench/results/matrix-round-trips.json, exits 1 on a difference.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { matrixOfWeight } from '../src/formats/matrix/convolution.ts'
import * as formats from '../src/formats/matrix/index.ts'
import type { Matrix, MatrixFormat } from '../src/formats/matrix/matrix.ts'
import { openMatrix } from '../src/formats/matrix/open.ts'
import { weightTensors } from '../src/graph/weights.ts'
import { floats } from '../src/tensor/dtype.ts'
import { modelsFolder, realModel } from '../src/testing/real-models.ts'

if (!modelsFolder) throw new Error('bench: COPPICE_MODELS is not set; expected a folder')
const all = Object.values(formats) as MatrixFormat[]
const bits = ({ values }: Matrix): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

const models: Record<string, { tensors: number; entries: number; differences: string[] }> = {}
for (const file of readdirSync(modelsFolder).filter((f) => f.endsWith('.onnx'))) {
  const name = file.slice(0, -'.onnx'.length)
  const model = realModel(name)
  const row = { tensors: 0, entries: 0, differences: [] as string[] }
  for (const tensor of new Set([...model.graph.initializers.values(), ...weightTensors(model).map((w) => w.tensor)])) {
    if (tensor.dtype !== 'float32' || tensor.dims.length === 0) continue
    const matrix = matrixOfWeight(floats(tensor), tensor.dims.length > 1 ? tensor.dims : [...tensor.dims, 1])
    for (const format of all) {
      const decoded = openMatrix(format.encode(matrix)).decode()
      if (Buffer.compare(bits(decoded), bits(matrix)) !== 0) row.differences.push(`${tensor.name}: ${format.id}`)
    }
    row.tensors++
    row.entries += matrix.values.length
  }
  models[name] = row
  console.error(name, row)
}
const result = { command: 'npx tsx bench/matrix-round-trips.mts', formats: all.map((f) => f.id), models }
writeFileSync(new URL('./results/matrix-round-trips.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
if (Object.values(models).some((m) => m.differences.length > 0)) process.exitCode = 1
