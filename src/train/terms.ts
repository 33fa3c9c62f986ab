/**
 * What a method adds to training: terms of the loss as graph fragments, and projections of the weights.
 *
 * ADMM is a term and a projection, L0 a term over gates, distillation a term over fed teacher outputs, pruned
 * fine-tuning the projection `keepZeros`.
 */
import type { Feeds } from '../method.ts'
import type { ValueInfo } from '../model.ts'
import type { Emitter } from '../ops/grad/emit.ts'

export interface TermScope {
  /** The model's output that the loss reads (logits where a Softmax was taken off). */
  readonly output: string
  /** The value of a trained parameter or any other value of the model, by its name there. */
  value(name: string): string
  readonly parameters: readonly string[]
}

export interface Term {
  /** Names it in messages and in the history. */
  readonly id: string
  /** Inputs that it adds to the step graph, all shapes static. */
  readonly inputs?: readonly ValueInfo[]
  /** What those are fed: once a step, with the samples' indices in the data set. */
  feeds?(step: number, indices: ArrayLike<number>): Feeds | Promise<Feeds>
  /** Gives the scalar that is added to the loss, already weighted. */
  emit(g: Emitter, scope: TermScope): string
}

export interface MaskedParameter {
  readonly name: string
  readonly values: Float32Array
  readonly shape: readonly number[]
  /** Whether a layer multiplies with it; not so biases, scales and statistics, whatever their axes. */
  readonly isWeight: boolean
}

export interface Projection {
  readonly id: string
  /** A factor for each element, computed once before training and multiplied in after each step; for masks. */
  mask?(parameter: MaskedParameter): Float32Array | undefined
  /** Changes weights in place, after every `every` steps (default 1). Must be a pure function of its arguments. */
  readonly every?: number
  apply?(weights: ReadonlyMap<string, Float32Array>, step: number): void
}

/** λ/2·Σ w² over the named parameters. */
export function l2(lambda: number, names?: readonly string[]): Term {
  return penalty('l2', lambda / 2, 'ReduceSumSquare', names)
}

/** λ·Σ |w| over the named parameters. */
export function l1(lambda: number, names?: readonly string[]): Term {
  return penalty('l1', lambda, 'ReduceL1', names)
}

function penalty(id: string, factor: number, op: string, names?: readonly string[]): Term {
  return {
    id,
    emit(g, scope) {
      const parts = (names ?? scope.parameters).map((name) => {
        const value = scope.value(name)
        return g.op(op, [value, g.ints(g.shape(value).map((_, i) => i))], { attributes: { keepdims: 0 }, shape: [] })
      })
      const total = parts.reduce((a, b) => g.op('Add', [a, b]))
      return g.op('Mul', [total, g.constant(factor)])
    },
  }
}

/** Keeps zero weights zero: pruned weights stay pruned. `names` limits it; default: what layers multiply with. */
export function keepZeros(names?: ReadonlySet<string>): Projection {
  return {
    id: 'keep-zeros',
    mask({ name, values, isWeight }) {
      const chosen = names ? names.has(name) : isWeight
      if (!chosen || !values.includes(0)) return undefined
      return values.map((v) => (v === 0 ? 0 : 1))
    },
  }
}

/**
 * Keeps equal what was equal before training: each group of equal values in a tensor becomes its mean after each step,
 * so that a group moves by the mean of its gradients. `reference` holds the values that make the groups.
 */
export function tie(reference: ReadonlyMap<string, Float32Array>): Projection {
  const groups = new Map<string, { readonly of: Uint32Array; readonly count: number }>()
  for (const [name, values] of reference) {
    const index = new Map<number, number>()
    const of = Uint32Array.from(values, (v) => {
      const known = index.get(v)
      if (known !== undefined) return known
      index.set(v, index.size)
      return index.size - 1
    })
    groups.set(name, { of, count: index.size })
  }
  return {
    id: 'tie',
    apply(weights) {
      for (const [name, { of, count }] of groups) {
        const values = weights.get(name)
        if (!values) continue
        const sums = new Float64Array(count)
        const sizes = new Uint32Array(count)
        for (let i = 0; i < of.length; i++) {
          sums[of[i]] += values[i]
          sizes[of[i]]++
        }
        for (let i = 0; i < of.length; i++) values[i] = sums[of[i]] / sizes[of[i]]
      }
    },
  }
}

/** Keeps the `count(name, size)` largest magnitudes of each named tensor and zeroes the rest. */
export function topK(count: (name: string, size: number) => number | undefined, every = 1): Projection {
  return {
    id: 'top-k',
    every,
    apply(weights) {
      for (const [name, values] of weights) {
        const kept = count(name, values.length)
        if (kept === undefined || kept >= values.length) continue
        const order = Uint32Array.from(values.keys()).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b)
        for (const i of order.subarray(kept)) values[i] = 0
      }
    },
  }
}
