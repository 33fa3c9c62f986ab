/**
 * Compression by ADMM (Zhang et al. 2018, arXiv:1804.03294): weights are drawn towards the nearest compressed ones while they learn.
 *
 *   loss + ρ/2 · Σ ‖w - z + u‖²        at every step
 *   z = P(w + u),  u = u + w - z       after every `every` steps
 *
 * P gives the nearest compressed tensor: the largest magnitudes with the rest zero, or what `onto` says. z starts as P(w), u as 0.
 * With `growth` ρ is multiplied after each change of z and u, and u divided by as much, since it stands for the dual variable over
 * ρ. In the end w becomes P(w): train it on with `keepZeros`.
 */
import { replaceTensors, type WeightTensor, weightTensors } from '../../graph/weights.ts'
import type { Model } from '../../model.ts'
import { add, mul, scale, sub } from '../../ops/grad/emit.ts'
import { floats, floatTensor, sizeOf } from '../../tensor/dtype.ts'
import type { Json, Projection, Regime, Term } from '../regime.ts'
import { keepLargest } from './top-k.ts'

/** What weights are drawn to. */
export interface AdmmTarget {
  /** Tells targets apart, for checkpoints. */
  readonly digest: Json
  /** P: the nearest compressed values of that weight. A pure function. */
  nearest(weight: WeightTensor, values: Float32Array): Float32Array
}

export interface AdmmOptions {
  /** Share of each weight tensor that becomes zero, 0 to 1. Not read with `onto`. */
  readonly sparsity?: number
  /** Shares by the tensor's name instead of that one. */
  readonly sparsities?: Readonly<Record<string, number>>
  /** Draws weights to something else than zeros: whole filters, few values. */
  readonly onto?: AdmmTarget
  /** The weights that are compressed, by name; default: all that layers multiply with. */
  readonly names?: readonly string[]
  /** ρ: how strongly weights are drawn towards z; above 0, default 0.0015. */
  readonly rho?: number
  /** A factor of ρ after each change of z and u; 1 or more, default 1. */
  readonly growth?: number
  /** Steps from one change of z and u to the next. */
  readonly every: number
}

/** For the weights that layers multiply with. Throws where an option is out of range or a name is no weight of the model. */
export function admm(options: AdmmOptions): Regime {
  const { sparsity = 0.5, sparsities = {}, names, rho = 0.0015, growth = 1, every } = options
  if (!(rho > 0 && Number.isFinite(rho))) throw new Error(`admm: rho must be above 0, got ${rho}`)
  if (!(growth >= 1 && Number.isFinite(growth))) throw new Error(`admm: growth must be 1 or more, got ${growth}`)
  if (!(Number.isInteger(every) && every > 0))
    throw new Error(`admm: every must be a whole number above 0, got ${every}`)
  const onto = options.onto ?? zeros(sparsity, sparsities)
  const chosenIn = (model: Model): WeightTensor[] =>
    compressible(model).filter(({ name }) => names === undefined || names.includes(name))
  return {
    id: 'admm',
    digest: { onto: onto.digest, names, rho, growth, every },
    enter(model) {
      checkNames(model, [...(names ?? []), ...(options.onto ? [] : Object.keys(sparsities))])
      const weights = chosenIn(model)
      const state = weights.flatMap((w) => [
        [`z/${w.name}`, { shape: w.tensor.dims, values: onto.nearest(w, floats(w.tensor)) }] as const,
        [`u/${w.name}`, { shape: w.tensor.dims, values: new Float32Array(sizeOf(w.tensor.dims)) }] as const,
      ])
      return {
        state: { ...Object.fromEntries(state), rho: { shape: [], values: Float32Array.of(rho) } },
        terms: [penalty(weights)],
        projections: [dualStep(weights, { every, growth, onto })],
        leave: (trained) =>
          replaceTensors(
            trained,
            new Map(
              chosenIn(trained).map((w) => [
                w.tensor,
                floatTensor(w.tensor.name, w.tensor.dims, onto.nearest(w, floats(w.tensor))),
              ]),
            ),
          ),
      }
    },
  }
}

/** The largest magnitudes of each tensor. */
function zeros(sparsity: number, sparsities: Readonly<Record<string, number>>): AdmmTarget {
  for (const [name, share] of Object.entries({ sparsity, ...sparsities }))
    if (!(share >= 0 && share <= 1)) throw new Error(`admm: ${name} must be within [0, 1], got ${share}`)
  return {
    digest: { sparsity, sparsities },
    nearest: ({ name }, values) =>
      keepLargest(values, values.length - Math.round((sparsities[name] ?? sparsity) * values.length)),
  }
}

/** What layers multiply with, but for what loops and branches store, which cannot be trained. */
function compressible(model: Model): WeightTensor[] {
  return weightTensors(model).filter((w) => w.graph === model.graph)
}

function checkNames(model: Model, names: readonly string[]): void {
  const known = compressible(model).map((w) => w.name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown) throw new Error(`admm: the model has no weight "${unknown}"; expected ${known.join(', ')}`)
}

/** ρ/2 · Σ ‖w - z + u‖² */
function penalty(weights: readonly WeightTensor[]): Term {
  return {
    emit(g, { value, state, parameters }) {
      const trained = weights.filter(({ name }) => parameters.includes(name))
      if (trained.length === 0) throw new Error('admm: none of the weights is trained; expected at least one')
      const squares = trained.map(({ name }) => {
        const apart = add(g, sub(g, value(name), state(`z/${name}`)), state(`u/${name}`))
        const axes = g.ints(g.shape(apart).map((_, i) => i))
        return g.op('ReduceSumSquare', [apart, axes], { attributes: { keepdims: 0 }, shape: [] })
      })
      const sum = squares.reduce((a, b) => add(g, a, b))
      return scale(g, mul(g, sum, state('rho')), 1 / 2)
    },
  }
}

interface DualStep extends Required<Pick<AdmmOptions, 'every' | 'growth'>> {
  readonly onto: AdmmTarget
}

/** z = P(w + u), u = u + w - z; then ρ grows, and u shrinks by as much. */
function dualStep(chosen: readonly WeightTensor[], { every, growth, onto }: DualStep): Projection {
  return {
    every,
    apply({ weights, state }) {
      const changed = new Map<string, Float32Array>([
        ['rho', (state.get('rho') as Float32Array).map((v) => growth * v)],
      ])
      for (const weight of chosen) {
        const w = weights.get(weight.name)
        const u = state.get(`u/${weight.name}`)
        if (!w || !u) continue
        const sum = w.map((v, i) => v + u[i])
        const z = onto.nearest(weight, sum)
        changed.set(`z/${weight.name}`, z)
        changed.set(
          `u/${weight.name}`,
          sum.map((v, i) => (v - z[i]) / growth),
        )
      }
      return { state: changed }
    },
  }
}
