/**
 * Pruning by ADMM (Zhang et al. 2018, arXiv:1804.03294): weights are drawn towards sparse ones while they learn.
 *
 *   loss + ρ/2 · Σ ‖w - z + u‖²        at every step
 *   z = P(w + u),  u = u + w - z       after every `every` steps
 *
 * P keeps the largest magnitudes of a tensor and zeroes the rest. z starts as P(w), u as 0. In the end w becomes P(w): train
 * it on with `keepZeros`.
 */
import { replaceTensors, type WeightTensor, weightTensors } from '../../graph/weights.ts'
import type { Model } from '../../model.ts'
import { add, scale, sub } from '../../ops/grad/emit.ts'
import { floats, floatTensor, sizeOf } from '../../tensor/dtype.ts'
import type { Projection, Regime, Term } from '../regime.ts'
import { keepLargest } from './top-k.ts'

export interface AdmmOptions {
  /** Share of each weight tensor that becomes zero, 0 to 1. */
  readonly sparsity: number
  /** Shares by the tensor's name instead of that one. */
  readonly sparsities?: Readonly<Record<string, number>>
  /** ρ: how strongly weights are drawn towards z; above 0, default 0.0015. */
  readonly rho?: number
  /** Steps from one change of z and u to the next. */
  readonly every: number
}

/** For the weights that layers multiply with. Throws where an option is out of range. */
export function admm({ sparsity, sparsities = {}, rho = 0.0015, every }: AdmmOptions): Regime {
  const shares = Object.entries({ sparsity, ...sparsities })
  for (const [name, share] of shares)
    if (!(share >= 0 && share <= 1)) throw new Error(`admm: ${name} must be within [0, 1], got ${share}`)
  if (!(rho > 0 && Number.isFinite(rho))) throw new Error(`admm: rho must be above 0, got ${rho}`)
  if (!(Number.isInteger(every) && every > 0))
    throw new Error(`admm: every must be a whole number above 0, got ${every}`)
  const sparse = (name: string, values: Float32Array): Float32Array =>
    keepLargest(values, values.length - Math.round((sparsities[name] ?? sparsity) * values.length))
  return {
    id: 'admm',
    digest: { sparsity, sparsities, rho, every },
    enter(model) {
      const weights = prunable(model)
      const unknown = Object.keys(sparsities).find((name) => !weights.some((w) => w.name === name))
      if (unknown)
        throw new Error(`admm: the model has no weight "${unknown}"; expected ${weights.map((w) => w.name).join(', ')}`)
      const state = weights.flatMap(({ name, tensor }) => [
        [`z/${name}`, { shape: tensor.dims, values: sparse(name, floats(tensor)) }] as const,
        [`u/${name}`, { shape: tensor.dims, values: new Float32Array(sizeOf(tensor.dims)) }] as const,
      ])
      return {
        state: Object.fromEntries(state),
        terms: [penalty(weights, rho)],
        projections: [dualStep(weights, { every, sparse })],
        leave: (trained) =>
          replaceTensors(
            trained,
            new Map(
              prunable(trained).map(({ name, tensor }) => [
                tensor,
                floatTensor(tensor.name, tensor.dims, sparse(name, floats(tensor))),
              ]),
            ),
          ),
      }
    },
  }
}

/** What layers multiply with, but for what loops and branches store, which cannot be trained. */
function prunable(model: Model): WeightTensor[] {
  return weightTensors(model).filter((w) => w.graph === model.graph)
}

/** ρ/2 · Σ ‖w - z + u‖² */
function penalty(weights: readonly WeightTensor[], rho: number): Term {
  return {
    emit(g, { value, state, parameters }) {
      const trained = weights.filter(({ name }) => parameters.includes(name))
      if (trained.length === 0) throw new Error('admm: none of the weights is trained; expected at least one')
      const squares = trained.map(({ name }) => {
        const apart = add(g, sub(g, value(name), state(`z/${name}`)), state(`u/${name}`))
        const axes = g.ints(g.shape(apart).map((_, i) => i))
        return g.op('ReduceSumSquare', [apart, axes], { attributes: { keepdims: 0 }, shape: [] })
      })
      return scale(
        g,
        squares.reduce((a, b) => add(g, a, b)),
        rho / 2,
      )
    },
  }
}

interface DualStep {
  readonly every: number
  /** P. */
  sparse(name: string, values: Float32Array): Float32Array
}

/** z = P(w + u), u = u + w - z */
function dualStep(names: readonly WeightTensor[], { every, sparse }: DualStep): Projection {
  return {
    every,
    apply({ weights, state }) {
      const changed = new Map<string, Float32Array>()
      for (const { name } of names) {
        const w = weights.get(name)
        const u = state.get(`u/${name}`)
        if (!w || !u) continue
        const sum = w.map((v, i) => v + u[i])
        const z = sparse(name, sum)
        changed.set(`z/${name}`, z)
        changed.set(
          `u/${name}`,
          sum.map((v, i) => v - z[i]),
        )
      }
      return { state: changed }
    },
  }
}
