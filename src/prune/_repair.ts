/**
 * Repair without training: after channels were removed, each layer behind them gets the weights that come nearest to what it
 * made before, by least squares on calibration inputs (the last step of ThiNet, Luo et al. 2017, arXiv:1707.06342, for whole
 * kernels and every layer). Layers are gone through in the order of the graph, and each sees the inputs that the repaired
 * layers before it give, so that errors do not add up.
 *
 * With x' what the layer reads now, y what it made and W the weights that are left:
 *   min over W', b' of E |y - W' x' - b'|² + damping * mean(diag Cov x') |W' - W|²
 *
 * Or, without touching weights, each BatchNormalization gets the mean and variance of what it reads now. Both together do
 * worse than least squares alone: its outputs vary less than y where x' cannot tell, and are best left so.
 */
import {
  blocksOf,
  gramOf,
  inputVectors,
  type MatrixShape,
  matrixShapeOf,
  notFinite,
  outputVectors,
} from '../calibrate/input-moments.ts'
import { watchValues } from '../calibrate/watch-values.ts'
import type { OpenedChannels } from '../channels/channel-groups.ts'
import { stopIfAborted } from '../errors.ts'
import { editGraph } from '../graph/edit.ts'
import { capturedBy, consumersOf, floatAttribute } from '../graph/walk.ts'
import type { Context, Feeds } from '../method.ts'
import { type Model, type Node, type Tensor, withWeights } from '../model.ts'
import type { Value } from '../runtime/session.ts'
import { floats, floatTensor, floatValues } from '../tensor/dtype.ts'
import { inverseCholesky } from '../tensor/linalg.ts'
import { random } from '../tensor/random.ts'

export type RepairKind = 'none' | 'statistics' | 'least-squares'

/** Repairs `small`, which is `opened`'s model without these units. */
export type Repair = (
  opened: OpenedChannels,
  small: Model,
  units: ReadonlyMap<string, Iterable<number>>,
) => Promise<Model>

/** What is looked at: inputs, vectors per layer, and the damping, which hardly matters within [0.001, 0.1]. */
const take = { samples: 256, batchSize: 64 }
const vectorsPerLayer = 8192
const damping = 0.01

/** Repairs towards the same model, however often channels are removed. Without data nothing is repaired. */
export function repairAfter(original: Model, kind: RepairKind, context: Context): Repair {
  const { data } = context
  if (kind === 'none' || !data) return async (_, small) => small
  const batches = [...data.calibration(take)]
  const removals: ((value: string, axis: number) => Uint8Array | undefined)[] = []
  // Each removal marks what it has kept among what those before have kept.
  const kept = (value: string, axis: number): Uint8Array | undefined =>
    removals.reduce<Uint8Array | undefined>((before, removal) => {
      const marks = removal(value, axis)
      if (!marks || !before) return marks ?? before
      let next = 0
      return before.map((k) => (k ? marks[next++] : 0))
    }, undefined)
  return async (opened, small, units) => {
    removals.push(opened.keptOf(units))
    const given = { original, kept, batches, context }
    return kind === 'statistics' ? withStatistics(small, given) : withLeastSquares(small, given)
  }
}

interface Given {
  readonly original: Model
  /** Marks the channels of a value's axis (below 0: counted from the last) that are left; undefined: all. */
  readonly kept: (value: string, axis: number) => Uint8Array | undefined
  readonly batches: readonly Feeds[]
  readonly context: Context
}

/** Each BatchNormalization behind with the mean and variance of what it reads now. */
async function withStatistics(small: Model, { original, batches, context }: Given): Promise<Model> {
  let model = small
  for (const node of nodesBehind(original, small).filter((n) => n.op === 'BatchNormalization')) {
    stopIfAborted(context.signal, 'channels')
    model = withWeights(model, statistics(model, node, await valuesOf(model, node.inputs[0], batches)))
  }
  return model
}

/** Each layer behind with the weights and bias that come nearest to what it made in the original. */
async function withLeastSquares(small: Model, { original, kept, batches, context }: Given): Promise<Model> {
  let model = withBiases(small, layersBehind(original, small))
  const layers = layersBehind(original, model)
  if (layers.length === 0) return small
  const seed = context.seed ?? 0
  const samples = await samplesOf(original, layers, batches, seed)
  for (const [i, layer] of layers.entries()) {
    stopIfAborted(context.signal, 'channels')
    const [name] = layer.node.inputs
    const values = await valuesOf(model, name, batches)
    const made = keptRows(samples[i], kept(layer.node.outputs[0], layer.node.op === 'Conv' ? 1 : -1))
    model = withWeights(model, await solved(model, layer, { values, made, seed: seed + i }))
  }
  return model
}

/** The nodes of `after`, in order, that read other values than in `before`. */
function nodesBehind(before: Model, after: Model): Node[] {
  const same = new Set<string>()
  const old = before.graph.initializers
  for (const [name, t] of after.graph.initializers) if (old.get(name)?.dims.join() === t.dims.join()) same.add(name)
  for (const { name } of after.graph.inputs) same.add(name)
  const found: Node[] = []
  for (const node of after.graph.nodes) {
    const isSame = [...node.inputs, ...capturedBy(node)].every((name) => !name || same.has(name))
    if (isSame) for (const o of node.outputs) same.add(o)
    if (node.inputs[0] && !same.has(node.inputs[0])) found.push(node)
  }
  return found
}

interface Layer {
  readonly node: Node
  readonly dims: readonly number[]
  readonly shape: MatrixShape
}

/** Those of them that multiply with a matrix of their own and made the same value before. */
function layersBehind(before: Model, after: Model): Layer[] {
  const made = new Set(before.graph.nodes.flatMap((n) => n.outputs))
  const consumers = consumersOf(after.graph)
  return nodesBehind(before, after).flatMap((node): Layer[] => {
    const weight = after.graph.initializers.get(node.inputs[1])
    const shape = weight?.dtype === 'float32' ? matrixShapeOf(node, weight.dims) : undefined
    // Gemm's bias may be a factor smaller or broadcast: such layers stay as they are.
    const bias = node.inputs[2] ? after.graph.initializers.get(node.inputs[2]) : undefined
    const hasPlainBias =
      !node.inputs[2] || (bias && bias.dims.join() === `${(shape?.groups ?? 0) * (shape?.rows ?? 0)}`)
    const isPlain = floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1
    const isOwn = [1, 2].every((i) => !node.inputs[i] || consumers.get(node.inputs[i])?.length === 1)
    return weight && shape && hasPlainBias && isPlain && isOwn && !node.domain && made.has(node.outputs[0])
      ? [{ node, dims: weight.dims, shape }]
      : []
  })
}

/** The model with a bias (of zeros) for every convolution among the layers that has none. */
function withBiases(model: Model, layers: readonly Layer[]): Model {
  const edit = editGraph(model)
  for (const { node, dims } of layers) {
    if (node.op !== 'Conv' || node.inputs[2]) continue
    const name = edit.store(floatTensor(edit.fresh(`${node.inputs[1]}_bias`), [dims[0]], new Float32Array(dims[0])))
    edit.change(node, (n) => ({ ...n, inputs: [n.inputs[0], n.inputs[1], name] }))
  }
  return edit.finish()
}

/** What the layers made in the model before, at places drawn by the seed: for each its outputs x samples, and how many outputs. */
async function samplesOf(
  before: Model,
  layers: readonly Layer[],
  batches: readonly Feeds[],
  seed: number,
): Promise<Samples[]> {
  const draws = layers.map((_, i) => ({ count: Math.ceil(vectorsPerLayer / batches.length), rng: random(seed + i) }))
  const parts: ReturnType<typeof outputVectors>[][] = layers.map(() => [])
  const add = (values: Feeds): void => {
    for (const [i, { node }] of layers.entries()) parts[i].push(outputVectors(node, values[node.outputs[0]], draws[i]))
  }
  const names = layers.map((l) => l.node.outputs[0])
  await watchValues(before, names, batches, add, { subject: 'channels' })
  return parts.map((own) => {
    const [{ rows }] = own
    return {
      rows,
      vectors: joined(
        own.map((p) => p.vectors),
        rows,
      ),
    }
  })
}

interface Samples {
  readonly rows: number
  readonly vectors: Float32Array
}

/** Batches of rows x n side by side. */
function joined(parts: readonly Float32Array[], rows: number): Float32Array {
  const total = parts.reduce((n, p) => n + p.length, 0) / rows
  const out = new Float32Array(rows * total)
  let from = 0
  for (const part of parts) {
    const n = part.length / rows
    for (let r = 0; r < rows; r++) out.set(part.subarray(r * n, (r + 1) * n), r * total + from)
    from += n
  }
  return out
}

/** The rows of the outputs that are left. */
function keptRows({ rows, vectors }: Samples, kept: Uint8Array | undefined): Float32Array {
  const n = vectors.length / rows
  const left = [...Array(rows).keys()].filter((r) => !kept || kept[r])
  const out = new Float32Array(left.length * n)
  for (const [to, r] of left.entries()) out.set(vectors.subarray(r * n, (r + 1) * n), to * n)
  return out
}

async function valuesOf(model: Model, name: string, batches: readonly Feeds[]): Promise<Value[]> {
  const values: Value[] = []
  await watchValues(model, [name], batches, (seen) => void values.push(seen[name]), { subject: 'channels' })
  return values
}

interface Fit {
  /** What the layer reads now, by batch. */
  readonly values: readonly Value[]
  /** What it is to make, outputs x samples. */
  readonly made: Float32Array
  readonly seed: number
}

/** The layer's weight and bias by least squares. */
async function solved(model: Model, { node, dims, shape }: Layer, { values, made, seed }: Fit): Promise<Tensor[]> {
  const draw = { count: Math.ceil(vectorsPerLayer / values.length), rng: random(seed) }
  const drawn = values.map((value) => inputVectors(node, dims, value, draw).vectors)
  const { groups, rows, columns, transposed } = shape
  const weight = model.graph.initializers.get(node.inputs[1]) as Tensor
  const bias = node.inputs[2] ? model.graph.initializers.get(node.inputs[2]) : undefined
  const w = Float64Array.from(floats(weight))
  const shift = new Float64Array(rows * groups)
  for (let g = 0; g < groups; g++) {
    const x = joined(
      drawn.map((d) => d[g]),
      columns,
    )
    const n = x.length / columns
    const y = made.slice(g * rows * n, (g + 1) * rows * n)
    // Without a bias the means count as well.
    const means = bias && { x: takeMeans(x, columns), y: takeMeans(y, rows) }
    const size = columns + rows
    const gram = await gramOf(sideBySide(x, y), size)
    if (!gram.every(Number.isFinite)) throw notFinite('channels', weight.name)
    const at = (r: number, c: number): number => (transposed ? c * rows + r : (g * rows + r) * columns + c)
    // Blocks of many inputs are solved one after the other, each for what the others leave.
    for (const { from, size: k } of blocksOf(columns)) {
      const u = inverseOf(gram, { size, from, k })
      const left = new Float64Array(k)
      for (let r = 0; r < rows; r++) {
        for (let i = 0; i < k; i++) {
          const row = (from + i) * size
          let sum = gram[row + columns + r]
          for (let c = 0; c < columns; c++) sum -= w[at(r, c)] * gram[row + c]
          left[i] = sum
        }
        const change = timesInverse(u, left, k)
        for (let j = 0; j < k; j++) w[at(r, from + j)] += change[j]
      }
    }
    for (let r = 0; means && r < rows; r++) {
      let sum = means.y[r]
      for (let c = 0; c < columns; c++) sum -= w[at(r, c)] * means.x[c]
      shift[g * rows + r] = sum
    }
  }
  return [
    floatTensor(weight.name, weight.dims, Float32Array.from(w)),
    ...(bias ? [floatTensor(bias.name, bias.dims, Float32Array.from(shift))] : []),
  ]
}

function sideBySide(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

/** U with UᵀU the inverse of a block of the matrix on the diagonal, damped. */
function inverseOf(gram: Float32Array, { size, from, k }: { size: number; from: number; k: number }): Float64Array {
  const h = new Float64Array(k * k)
  let trace = 0
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < k; j++) h[i * k + j] = gram[(from + i) * size + from + j]
    trace += h[i * k + i]
  }
  const added = Math.max(1e-10, (damping * trace) / k)
  for (let i = 0; i < k; i++) h[i * k + i] += added
  return inverseCholesky(h, k)
}

/** UᵀU v. */
function timesInverse(u: Float64Array, v: Float64Array, k: number): Float64Array {
  const half = new Float64Array(k)
  const out = new Float64Array(k)
  for (let i = 0; i < k; i++) for (let j = i; j < k; j++) half[i] += u[i * k + j] * v[j]
  for (let i = 0; i < k; i++) for (let j = i; j < k; j++) out[j] += u[i * k + j] * half[i]
  return out
}

/** Takes the mean off each row, and gives the means. */
function takeMeans(values: Float32Array, rows: number): Float64Array {
  const n = values.length / rows
  return Float64Array.from({ length: rows }, (_, r) => {
    const row = values.subarray(r * n, (r + 1) * n)
    let mean = 0
    for (const v of row) mean += v / n
    for (let s = 0; s < n; s++) row[s] -= mean
    return mean
  })
}

/** A normalisation's stored mean and variance, of what it reads. */
function statistics(model: Model, node: Node, values: readonly Value[]): Tensor[] {
  const [mean, variance] = [node.inputs[3], node.inputs[4]].map((n) => model.graph.initializers.get(n) as Tensor)
  const count = mean.dims[0]
  const sums = new Float64Array(count)
  const squares = new Float64Array(count)
  let n = 0
  for (const value of values) {
    const x = floatValues(value) as Float32Array
    const size = x.length / value.dims[0] / count
    n += value.dims[0] * size
    for (let i = 0; i < x.length; i++) {
      const c = Math.floor(i / size) % count
      sums[c] += x[i]
      squares[c] += x[i] * x[i]
    }
  }
  return [
    floatTensor(
      mean.name,
      mean.dims,
      Float32Array.from(sums, (s) => s / n),
    ),
    floatTensor(
      variance.name,
      variance.dims,
      Float32Array.from(squares, (s, c) => Math.max(0, s / n - (sums[c] / n) ** 2)),
    ),
  ]
}
