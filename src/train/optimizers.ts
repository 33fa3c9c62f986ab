/**
 * Optimisers, in order of increasing complexity. Each is pure data and one graph fragment: what state a parameter has
 * (`slots`, zero at first), which numbers it is fed each step, and how weights and slots come out of a gradient.
 */
import type { Engine } from '../grad/engine.ts'
import { add, div, type Emitter, mul, scale, shift } from '../ops/grad/emit.ts'

export interface UpdateParts {
  readonly engine: Engine
  /** Vectors of one length. */
  readonly weight: string
  readonly gradient: string
  readonly slots: readonly string[]
  /** Scalars by the names that `scalars` gives. */
  readonly scalars: Readonly<Record<string, string>>
  /** Whether weight decay applies. */
  readonly decays: boolean
}

export interface Optimizer {
  readonly id: string
  readonly slots: readonly string[]
  /** What a step is fed; `step` counts from 0. */
  scalars(learningRate: number, step: number): Readonly<Record<string, number>>
  update(g: Emitter, parts: UpdateParts): { readonly weight: string; readonly slots: readonly string[] }
}

export interface SgdOptions {
  /** 0.9 by default; 0 keeps no state. */
  readonly momentum?: number
  readonly nesterov?: boolean
  /** L2 decay, added to the gradient; default 0. */
  readonly weightDecay?: number
}

/** v ← μ·v + (g + λ·w); w ← w - η·v (Nesterov: w - η·(g + λ·w + μ·v)). As PyTorch's SGD. */
export function sgd({ momentum = 0.9, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  return {
    id: 'sgd',
    slots: momentum ? ['momentum'] : [],
    scalars: (learningRate) => ({ minusRate: -learningRate }),
    update(g, { engine, weight, gradient, slots, scalars, decays }) {
      const number = (value: number): string => g.constant(value)
      const decayed = decays && weightDecay ? engine.axpy(g, number(weightDecay), weight, gradient) : gradient
      if (!momentum) return { weight: engine.axpy(g, scalars.minusRate, decayed, weight), slots: [] }
      const velocity = engine.axpy(g, number(momentum), slots[0], decayed)
      const direction = nesterov ? engine.axpy(g, number(momentum), velocity, decayed) : velocity
      return { weight: engine.axpy(g, scalars.minusRate, direction, weight), slots: [velocity] }
    },
  }
}

export interface AdamOptions {
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  /** Decoupled decay (AdamW, Loshchilov and Hutter 2019, arXiv:1711.05101); default 0. */
  readonly weightDecay?: number
}

/**
 * m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; w ← (1 - ηλ)w - η·m̂/(√v̂ + ε), with m̂ and v̂ corrected for their start at
 * zero. Kingma and Ba 2015, arXiv:1412.6980.
 */
export function adam(options: AdamOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options
  return {
    id: 'adam',
    slots: ['mean', 'square'],
    scalars: (learningRate, step) => ({
      minusRate: -learningRate / (1 - beta1 ** (step + 1)),
      rootCorrection: 1 / Math.sqrt(1 - beta2 ** (step + 1)),
      keep: 1 - learningRate * weightDecay,
    }),
    update(g, { engine, weight, gradient, slots, scalars, decays }) {
      const mean = engine.axpy(g, g.constant(beta1), slots[0], scale(g, gradient, 1 - beta1))
      const square = engine.axpy(g, g.constant(beta2), slots[1], scale(g, mul(g, gradient, gradient), 1 - beta2))
      const root = shift(g, mul(g, g.op('Sqrt', [square]), scalars.rootCorrection), epsilon)
      const kept = decays && weightDecay ? mul(g, weight, scalars.keep) : weight
      return { weight: add(g, mul(g, div(g, mean, root), scalars.minusRate), kept), slots: [mean, square] }
    },
  }
}
