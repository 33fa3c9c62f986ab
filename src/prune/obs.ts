/**
 * Optimal Brain Surgeon by layer (Hassibi & Stork 1993), as the weights of a row share H = E[x xᵀ] of the layer's inputs.
 *
 * Saliency w_q² / (2 [H⁻¹]_qq) chooses what is removed. Then each row is processed from left to right: a removed weight moves
 * those after it by -(w_q / [H⁻¹]_qq) H⁻¹ e_q, with H⁻¹ restricted to what has not been visited. With H⁻¹ = UᵀU that
 * is row q of U (Frantar & Alistarh 2023, arXiv:2301.00774). Inputs beyond 1,024 fall into blocks that count as independent.
 */
import { blocksOf, checkFinite, leftOutWarnings, type MatrixShape, type Moments } from '../calibrate/input-moments.ts'
import { type Layer, layerOf, momentsOf } from '../calibrate/layers.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import type { Tensor } from '../model.ts'
import { forTraining } from '../simplify/float32-arithmetic.ts'
import { floats, tensorOfFloats } from '../tensor/dtype.ts'
import { inverseCholesky } from '../tensor/linalg.ts'
import { type Competing, pruneBy, type Scored, selectOptions, zeroed, zerosFirst } from './_select.ts'

export const obs = defineMethod({
  id: 'obs',
  help: 'zeroes the weights that matter least to the output of their layer, and adjusts the others to compensate',
  data: 'calibration inputs, for their second moments; without them inputs count as independent',
  options: {
    ...selectOptions,
    vectors: {
      type: 'number',
      was: 'samples',
      default: 4096,
      min: 1,
      integer: true,
      help: 'input vectors per layer that H is computed from',
    },
    damping: {
      type: 'number',
      default: 0.01,
      min: 1e-8,
      max: 10,
      help: "added to H's diagonal, as a share of its mean",
    },
  },
  run: pruneBy('obs', obsScores),
})

export async function obsScores(
  { model, weights }: Competing,
  options: { readonly vectors: number; readonly damping: number },
  context: Context,
): Promise<Scored> {
  if (!context.data) context.warn?.('obs: no data was given, so inputs count as independent, which ranks by size')
  // Inputs are sampled in float32, whatever the model computes in.
  const wide = forTraining(model)
  const wideWeights = new Map(weightTensors(wide).map((w) => [w.name, w]))
  const layers: Layer[] = weights.map((w) => layerOf(wideWeights.get(w.name) ?? w))
  const moments = context.data
    ? await momentsOf(wide, layers, context.data.calibration, { samples: options.vectors, seed: context.seed ?? 0 })
    : new Map<string, Moments>()
  for (const warning of leftOutWarnings('obs', moments)) context.warn?.(warning)
  for (const { weight } of layers) checkFinite('obs', weight.name, moments.get(weight.name))
  const bad = layers.find((l) => moments.has(l.weight.name) && !floats(l.weight.tensor).every(Number.isFinite))
  if (bad) throw new Error(`obs: weight "${bad.weight.name}" holds NaN or infinity; expected finite numbers`)
  const bySize = layers.filter((l) => !moments.has(l.weight.name)).map((l) => `"${l.weight.name}"`)
  if (context.data && bySize.length > 0)
    context.warn?.(
      `obs: the inputs of ${bySize.join(', ')} are not known as one matrix: these weights are ranked by size`,
    )
  const rows = layers.map((l) => l.shape && rowsOf(l.shape, moments.get(l.weight.name), options.damping))
  return {
    scores: weights.map((w, i) => {
      const of = rows[i]
      return zerosFirst(w.tensor, (v, k) => (v * v) / (2 * (of?.inverseDiagonal(k) ?? 1)))
    }),
    remove: (i, mask) => removeWithUpdate(weights[i].tensor, mask, rows[i]),
  }
}

interface Block {
  readonly from: number
  readonly size: number
  /** H⁻¹ = UᵀU; absent where H is the identity. */
  readonly u?: Float64Array
}

interface Rows {
  readonly shape: MatrixShape
  /** By group. */
  readonly blocks: readonly (readonly Block[])[]
  /** [H⁻¹]_qq of the stored element k. */
  inverseDiagonal(k: number): number
}

function rowsOf(shape: MatrixShape, moments: Moments | undefined, damping: number): Rows {
  const { groups, rows, columns, transposed } = shape
  const diagonals: Float64Array[] = []
  const blocks = Array.from({ length: groups }, (_, g) => {
    const diagonal = new Float64Array(columns).fill(1)
    diagonals.push(diagonal)
    const found = moments?.blocks[g]
    if (!found) return blocksOf(columns)
    return found.map(({ from, size, second }) => {
      const h = second.slice()
      let trace = 0
      for (let i = 0; i < size; i++) trace += h[i * size + i]
      const added = Math.max(1e-8, (damping * trace) / size)
      for (let i = 0; i < size; i++) h[i * size + i] += added
      const u = inverseCholesky(h, size)
      for (let j = 0; j < size; j++) {
        let sum = 0
        for (let i = 0; i <= j; i++) sum += u[i * size + j] ** 2
        diagonal[from + j] = sum
      }
      return { from, size, u }
    })
  })
  return {
    shape,
    blocks,
    inverseDiagonal(k) {
      const column = transposed ? Math.floor(k / rows) : k % columns
      return diagonals[transposed ? 0 : Math.floor(k / (rows * columns))][column]
    },
  }
}

/** The tensor with the marked weights zero and the others moved so that the layer's outputs change least. */
function removeWithUpdate(tensor: Tensor, mask: Uint8Array, of: Rows | undefined): Tensor {
  if (!of) return zeroed(tensor, mask)
  const w = Float64Array.from(floats(tensor))
  const { groups, rows, columns, transposed } = of.shape
  for (let g = 0; g < groups; g++) {
    for (let r = 0; r < rows; r++) {
      const at = (c: number): number => (transposed ? c * rows + r : (g * rows + r) * columns + c)
      for (const { from, size, u } of of.blocks[g]) {
        if (!u) continue
        for (let j = 0; j < size; j++) {
          const q = at(from + j)
          if (!mask[q] || w[q] === 0) continue
          const error = w[q] / u[j * size + j]
          for (let i = j + 1; i < size; i++) w[at(from + i)] -= error * u[j * size + i]
        }
      }
    }
  }
  return tensorOfFloats(
    tensor.name,
    tensor.dtype,
    tensor.dims,
    Float32Array.from(w, (v, k) => (mask[k] ? 0 : v)),
  )
}
