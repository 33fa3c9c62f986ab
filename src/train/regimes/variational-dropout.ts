/**
 * Sparse variational dropout (Molchanov, Ashukha and Vetrov 2017, arXiv:1701.05369): each weight is drawn anew at every step from
 * N(θ, σ²), with σ of its own that learns too, and weights that are mostly noise leave as zeros.
 *
 *   w = θ + σ · ε,   ln α = ln σ² - ln θ²                            additive noise, equations 9 and 10
 *   loss + warmth / N · Σ KL,   -KL ≈ k1 · sigmoid(k2 + k3 · ln α) - ½ · ln(1 + 1/α) - k1        equation 14
 *
 * A weight whose ln α is above a threshold (3: noise of more than four times its size) leaves as 0, the others as θ. The warmth
 * rises from 0 to 1. Unlike the paper, which draws what each sample makes of the noise, one ε is drawn for a step's samples
 * together: it works for whatever reads the weight. Weights that are zero at the start have no noise and stay as they are.
 */
import type { Model } from '../../model.ts'
import { add, type Emitter, mul, neg, scale, shift, sub, sum } from '../../ops/grad/emit.ts'
import { floats, sizeOf } from '../../tensor/dtype.ts'
import type { Noise, Regime } from '../regime.ts'
import { drawNormal, leftAs, type Remaking, remakeWeights, storedWeights, warmth } from './remade-weights.ts'

export interface VariationalDropoutOptions {
  /** How many samples there are: N. */
  readonly samples: number
  /** Weights by name; default: all that layers multiply with. */
  readonly names?: readonly string[]
  /** Steps over which the term rises to its full size; default 0. */
  readonly warmUp?: number
  /** Weights of a larger ln α become 0; default 3. */
  readonly threshold?: number
  /** A factor of the term, 0 or more; default 1, which is the paper's. */
  readonly strength?: number
}

/** ln σ² at the start. */
const startLogVariance = -10
/** Keeps logarithms finite. */
export const tiny = 1e-16

/** Throws where an option is out of range or a name is no stored weight. */
export function variationalDropout(options: VariationalDropoutOptions): Regime {
  const { samples, names, warmUp = 0, threshold = 3, strength = 1 } = options
  checkBayesian('variational-dropout', { samples, strength })
  return {
    id: 'variational-dropout',
    digest: { samples, names, warmUp, threshold, strength },
    enter(model) {
      const chosen = storedWeights('variational-dropout', model, names)
      const weights = remakeWeights(model)
      const noisy = chosen.map(({ name }) => ({ name, ...withNoise(weights, model, name) }))
      return {
        model: weights.finish(),
        parameters: noisy.map((w) => w.logVariance),
        noise: noisy.map((w) => w.noise),
        state: warmth(warmUp),
        terms: [
          {
            emit(g, { value, state }) {
              const parts = noisy.map(({ name, logVariance }) =>
                divergence(g, { logVariance: value(logVariance), mean: flat(g, value(name)) }),
              )
              const total = parts.reduce((a, b) => add(g, a, b))
              return mul(g, scale(g, total, strength / samples), state('warmth'))
            },
          },
        ],
        leave: (trained) =>
          leftAs(model, trained, (name, values) => {
            const own = noisy.find((w) => w.name === name)
            const variance = own && trained.graph.initializers.get(own.logVariance)
            return variance ? withoutNoisy(values, floats(variance), threshold) : values
          }),
      }
    },
  }
}

export function checkBayesian(subject: string, { samples, strength }: { samples: number; strength: number }): void {
  if (!(Number.isInteger(samples) && samples > 0))
    throw new Error(`${subject}: samples must be a whole number above 0, got ${samples}`)
  if (!(strength >= 0 && Number.isFinite(strength)))
    throw new Error(`${subject}: strength must be 0 or more, got ${strength}`)
}

/** Lets w + σ · ε stand for a weight. Gives ln σ², [elements], and the noise. */
export function withNoise(weights: Remaking, model: Model, name: string): { logVariance: string; noise: Noise } {
  const tensor = model.graph.initializers.get(name)
  if (!tensor) throw new Error(`the model stores no "${name}"`)
  const size = sizeOf(tensor.dims)
  const alive = Uint8Array.from(floats(tensor), (v) => (v === 0 ? 0 : 1))
  const logVariance = weights.store(`${name}_log_variance`, [size], new Float32Array(size).fill(startLogVariance))
  const noise = weights.input(`${name}_noise`, [size])
  const deviation = weights.op('Exp', [weights.op('Mul', [logVariance, weights.number(0.5)])])
  const added = weights.reshaped(weights.op('Mul', [deviation, noise]), tensor.dims)
  weights.make(name, weights.op('Add', [weights.now(name), added]))
  return {
    logVariance,
    noise: { input: noise, shape: [size], draw: (values, rng) => drawNormal(values, rng, alive) },
  }
}

const [k1, k2, k3] = [0.63576, 1.8732, 1.48695]

/** Σ KL over elements of means and of ln σ², of one shape [n]. */
export function divergence(g: Emitter, { logVariance, mean }: { logVariance: string; mean: string }): string {
  const logAlpha = sub(g, logVariance, g.op('Log', [shift(g, mul(g, mean, mean), tiny)]))
  const bounded = scale(g, g.op('Sigmoid', [shift(g, scale(g, logAlpha, k3), k2)]), -k1)
  // ½ · ln(1 + 1/α)
  const log = scale(g, g.op('Softplus', [neg(g, logAlpha)]), 0.5)
  return sum(g, shift(g, add(g, bounded, log), k1))
}

export function flat(g: Emitter, value: string): string {
  const size = sizeOf(g.shape(value))
  return g.op('Reshape', [value, g.ints([size])], { shape: [size] })
}

/** ln α of means and of ln σ². */
export function logAlphaOf(means: Float32Array, logVariances: Float32Array): Float32Array {
  return logVariances.map((v, i) => v - Math.log(means[i] ** 2 + tiny))
}

function withoutNoisy(means: Float32Array, logVariances: Float32Array, threshold: number): Float32Array {
  const logAlpha = logAlphaOf(means, logVariances)
  return means.map((v, i) => (logAlpha[i] > threshold ? 0 : v))
}
