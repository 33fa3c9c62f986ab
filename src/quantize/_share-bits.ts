/** How many values each tensor keeps, for a budget of bits per weight: more where sharing changes the outputs more. */
import type { WeightTensor } from '../graph/weights.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { floats, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { gradientBatches, gradientOptions, openGradients, singles } from '../train/weight-gradients.ts'
import { type Choice, spendBits } from './_bits-where-they-matter.ts'
import { type MeasuredAlone, measuredAlone } from './_measured-alone.ts'

interface Shared {
  readonly k: number
  readonly values: Float32Array
  readonly error: number
  /** Entropy of the values, and 32 bits for each of them. */
  readonly bits: number
}

export interface BitsOptions {
  /** Per weight, on average. */
  readonly bits: number
  /** What a choice costs: the divergence of the outputs, or what the diagonal of the Fisher matrix tells of the loss. */
  readonly sensitivity: 'outputs' | 'fisher'
  /** The most values of a tensor. */
  readonly most: number
  /** The weights of a tensor with k values. */
  readonly shared: (weight: WeightTensor, k: number) => Float32Array
}

/**
 * The shared weights. What a choice costs is the divergence of the outputs with that tensor alone shared so; without
 * data, its squared error by the tensor's power.
 */
export async function shareByBits(
  model: Model,
  weights: readonly WeightTensor[],
  { bits, most, shared, sensitivity }: BitsOptions,
  context: Context,
): Promise<Map<WeightTensor, Float32Array>> {
  const fisher = sensitivity === 'fisher' ? await fisherOf(model, weights, context) : undefined
  const alone =
    context.data && !fisher
      ? await measuredAlone(model, { count: weights.length, context, subject: 'share' })
      : undefined
  const counts = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, i) => 2 ** i)
  const all: { readonly made: Shared; readonly choice: Choice }[][] = []
  for (const [i, weight] of weights.entries()) {
    const made = counts.map((k) => sharedWith(weight, k, shared(weight, k)))
    const information = fisher?.[i]
    const costs = information ? made.map((m) => fisherCost(weight, m, information)) : await costsOf(weight, made, alone)
    all.push(made.map((m, c) => ({ made: m, choice: { bits: m.bits, cost: costs[c] } })))
    context.progress?.((i + 1) / weights.length, 'measuring sensitivity')
  }
  const size = weights.reduce((n, w) => n + sizeOf(w.tensor.dims), 0)
  const chosen = spend(
    all.map((choices) => choices.map((c) => c.choice)),
    bits * size,
    size,
  )
  return new Map(weights.map((w, i) => [w, all[i][chosen[i]].made.values]))
}

function spend(choices: readonly (readonly Choice[])[], budget: number, size: number): number[] {
  const least = choices.reduce((sum, c) => sum + Math.min(...c.map((one) => one.bits)), 0)
  if (least > budget)
    throw new Error(
      `share: bits is ${budget / size}; expected at least ${(Math.ceil((100 * least) / size) / 100).toFixed(2)} per weight`,
    )
  return spendBits(choices, budget)
}

function sharedWith({ tensor }: WeightTensor, k: number, values: Float32Array): Shared {
  const exact = floats(tensor)
  const counts = new Map<number, number>()
  let error = 0
  for (let i = 0; i < values.length; i++) {
    counts.set(values[i], (counts.get(values[i]) ?? 0) + 1)
    error += (values[i] - exact[i]) ** 2
  }
  let bits = 0
  for (const n of counts.values()) bits -= n * Math.log2(n / values.length)
  return { k, values, error, bits: bits + 32 * counts.size }
}

/** Single samples that the Fisher matrix is estimated on. */
const fisherSamples = 256

/** Its diagonal, a number per weight: the mean square of a sample's gradient, for labels as the model gives them, or those of the data. */
async function fisherOf(model: Model, weights: readonly WeightTensor[], context: Context): Promise<Float64Array[]> {
  const batches = await gradientBatches(model, context, { samples: fisherSamples })
  if (!batches) throw new Error('share: sensitivity fisher needs gradients, and there is no data; expected some')
  const squares = weights.map((w) => new Float64Array(sizeOf(w.tensor.dims)))
  const one = batches.flatMap((b) => [...singles(model, b)])
  const gradients = await openGradients(model, weights, gradientOptions(one[0]))
  try {
    for (const [n, sample] of one.entries()) {
      for (const [i, g] of (await gradients.of(sample)).entries())
        for (let k = 0; k < g.length; k++) squares[i][k] += (g[k] * g[k]) / one.length
      context.progress?.((n + 1) / one.length, 'measuring gradients')
    }
  } finally {
    await gradients.release()
  }
  return squares
}

/** Half of F · Δw², summed: what the loss rises by, to second order. */
function fisherCost({ tensor }: WeightTensor, { values }: Shared, fisher: Float64Array): number {
  const exact = floats(tensor)
  let cost = 0
  for (let k = 0; k < values.length; k++) cost += (fisher[k] * (values[k] - exact[k]) ** 2) / 2
  return cost
}

async function costsOf(
  weight: WeightTensor,
  made: readonly Shared[],
  alone: MeasuredAlone | undefined,
): Promise<number[]> {
  const { tensor } = weight
  if (!alone) {
    const power = floats(tensor).reduce((sum, v) => sum + v * v, 0) || 1
    return made.map((m) => m.error / power)
  }
  await alone.moveTo(weight)
  const measure = ({ values }: Shared): Promise<number> =>
    alone.divergence(tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, values))
  if (alone.once) {
    // One measurement says how much an error matters.
    const middle = made[made.length >> 1]
    const perError = middle.error > 0 ? (await measure(middle)) / middle.error : 0
    return made.map((m) => m.error * perError)
  }
  const costs: number[] = []
  for (const m of made) costs.push(await measure(m))
  return costs
}
