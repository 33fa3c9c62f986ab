/**
 * The norm that data gives: an error E of a layer's matrix costs what it does to the outputs, E‖E x‖² = tr(E C Eᵀ), with C
 * the covariance of the layer's inputs x on calibration data. Zhang et al. 2015 (arXiv:1505.06798) for matrices; for tensors
 * arXiv:2511.04494. Where the layer has a bias, x is centred, and what the means lose goes into the bias.
 */
import { type Moments, matrixShapeOf } from '../calibrate/input-moments.ts'
import { type Layer, momentsOf } from '../calibrate/layers.ts'
import type { Context } from '../method.ts'
import type { Model, Node } from '../model.ts'
import { forTraining } from '../simplify/float32-arithmetic.ts'
import { type FactorLayer, type Loss, placesIn, takesBias } from './_layers.ts'
import { dot, type Matrix, matrix, multiply, overSymmetric } from './_matrix.ts'

export interface DataNorm {
  /** The rows times C. */
  timesCovariance(rows: Matrix): Promise<Matrix>
  /**
   * Of inputs that are counted by two numbers (a channel and a place in the kernel), the covariance of those that differ in
   * the first alone, summed over the second. `first` and `second` give the numbers of an input.
   */
  marginal(size: number, first: (input: number) => number, second: (input: number) => number): Matrix
  /** The means of the inputs, where the layer's bias can make up for them. */
  readonly mean?: Float64Array
}

/** Inputs beyond this many fall into blocks that count as independent: a covariance takes their square. */
const block = 2304
/** Numbers of the covariances that are gathered in one go over the data: 256 MB. */
const mostNumbers = 2 ** 25

/** By the layer's name, the norm of each of its groups. Layers that share weights, and those whose inputs are not seen, have none. */
export async function dataNorms(
  model: Model,
  layers: readonly FactorLayer[],
  { context, vectors }: { readonly context: Context; readonly vectors: number },
): Promise<Map<string, readonly DataNorm[]>> {
  const norms = new Map<string, readonly DataNorm[]>()
  const { data } = context
  if (!data) return norms
  // Inputs are sampled in float32, whatever the model computes in.
  const wide = forTraining(model)
  const byOutput = new Map(wide.graph.nodes.map((n) => [n.outputs[0], n]))
  let open: { layer: FactorLayer; seen: Layer }[] = []
  let numbers = 0
  let done = 0
  const gather = async (): Promise<void> => {
    const moments = await momentsOf(
      wide,
      open.map((o) => o.seen),
      data.calibration,
      {
        samples: vectors,
        seed: context.seed ?? 0,
        block,
      },
    )
    for (const { layer } of open) {
      const found = moments.get(layer.name)
      // Inputs may grow beyond what floats hold, of random ones above all.
      if (found?.blocks.every((own) => own.every((b) => b.second.every(Number.isFinite))))
        norms.set(layer.name, normsOf(found, takesBias(model, layer)))
    }
    done += open.length
    context.progress?.(done / layers.length, 'covariances of layers')
    open = []
    numbers = 0
  }
  for (const layer of layers) {
    const node = layer.nodes.length === 1 ? byOutput.get(layer.nodes[0].outputs[0]) : undefined
    const seen = node && seenAs(layer, node)
    if (!seen) continue
    const size = layer.inputs * placesIn(layer.kernel)
    const own = layer.groups * size * Math.min(size, block)
    if (numbers + own > mostNumbers && open.length > 0) await gather()
    open.push({ layer, seen })
    numbers += own
  }
  if (open.length > 0) await gather()
  return norms
}

/** The layer as calibration knows it. */
function seenAs(layer: FactorLayer, node: Node): Layer | undefined {
  const { groups, outputs, inputs, kernel } = layer
  const turned = layer.op === 'MatMul' || (layer.op === 'Gemm' && node.attributes.transB?.type !== 'int')
  const dims =
    layer.op === 'Conv' ? [groups * outputs, inputs, ...kernel] : turned ? [inputs, outputs] : [outputs, inputs]
  const shape = matrixShapeOf(node, dims)
  // Calibration looks at the node and the dimensions alone.
  const weight = { name: layer.name, uses: [{ node }] } as unknown as Layer['weight']
  return shape && { weight, shape, dims }
}

function normsOf({ blocks, mean }: Moments, centred: boolean): DataNorm[] {
  return blocks.map((own, g) => {
    const parts = own.map(({ from, size, second }) => {
      if (!centred) return { from, size, covariance: matrix(size, size, second) }
      const covariance = second.slice()
      for (let i = 0; i < size; i++)
        for (let j = 0; j < size; j++) covariance[i * size + j] -= mean[g][from + i] * mean[g][from + j]
      return { from, size, covariance: matrix(size, size, covariance) }
    })
    return {
      ...(centred ? { mean: mean[g] } : {}),
      async timesCovariance(rows) {
        const out = matrix(rows.rows, rows.columns)
        for (const { from, size, covariance } of parts) {
          const cut = matrix(rows.rows, size)
          for (let r = 0; r < rows.rows; r++)
            cut.data.set(rows.data.subarray(r * rows.columns + from, r * rows.columns + from + size), r * size)
          const { data } = await multiply(cut, covariance)
          for (let r = 0; r < rows.rows; r++)
            out.data.set(data.subarray(r * size, (r + 1) * size), r * rows.columns + from)
        }
        return out
      },
      marginal(size, first, second) {
        const out = matrix(size, size)
        for (const { from, size: own, covariance } of parts)
          for (let i = 0; i < own; i++)
            for (let j = 0; j < own; j++)
              if (second(from + i) === second(from + j))
                out.data[first(from + i) * size + first(from + j)] += covariance.data[i * own + j]
        return out
      },
    }
  })
}

/**
 * What makes most of a layer's outputs of given features: the M, outputs x features, for which M F x is nearest to W x.
 * `features`: F, features x inputs; `weights`: W, outputs x inputs.
 */
export async function refit(
  weights: Matrix,
  features: Matrix,
  norm: DataNorm,
): Promise<{ map: Matrix; covariance: Matrix }> {
  const through = await norm.timesCovariance(features)
  const covariance = await multiply(through, features, 'nt')
  return { map: await overSymmetric(await multiply(weights, through, 'nt'), covariance), covariance }
}

/** What an approximation loses of a layer's weights, in the norm of the data where there is one. */
export async function lossOf(weights: Matrix, approximation: Matrix, norm: DataNorm | undefined): Promise<Loss> {
  const squared = async (m: Matrix): Promise<number> => dot(m.data, (norm ? await norm.timesCovariance(m) : m).data)
  const error = matrix(weights.rows, weights.columns)
  for (let i = 0; i < error.data.length; i++) error.data[i] = weights.data[i] - approximation.data[i]
  return { lost: await squared(error), whole: await squared(weights) }
}

/** What a layer's outputs lose of their means: (W - M F) E[x]. */
export function lostMeans(
  weights: Matrix,
  approximation: Matrix,
  norm: DataNorm | undefined,
): Float64Array | undefined {
  const mean = norm?.mean
  if (!mean) return undefined
  const { rows, columns } = weights
  return Float64Array.from({ length: rows }, (_, r) => {
    let sum = 0
    for (let c = 0; c < columns; c++)
      sum += (weights.data[r * columns + c] - approximation.data[r * columns + c]) * mean[c]
    return sum
  })
}
