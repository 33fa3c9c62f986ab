/**
 * L0 gates (Louizos, Welling and Kingma 2018, arXiv:1712.01312): each unit's weights are multiplied by a random gate z that can be
 * exactly 0, and the number of weights that are expected to be left is added to the loss. With u uniform for each unit and step
 *
 *   s = sigmoid((ln u - ln(1 - u) + ln α) / β),   z = min(1, max(0, s · (ζ - γ) + γ))      hard concrete, equations 10 and 11
 *   loss + λ · Σ over units of n · P(z ≠ 0),      P(z ≠ 0) = sigmoid(ln α - β · ln(-γ / ζ))      n weights; equation 12
 *
 * β = 2/3, γ = -0.1, ζ = 1.1. It leaves as the weights times z without noise, min(1, max(0, sigmoid(ln α)(ζ - γ) + γ)).
 */
import type { Model } from '../../model.ts'
import { add, mul, scale, sum } from '../../ops/grad/emit.ts'
import { floats } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import type { Regime, RegimeParts } from '../regime.ts'
import {
  checkGates,
  digestOfGates,
  type GateGroup,
  gatedBy,
  gateSizes,
  leftAs,
  type Remaking,
  remakeWeights,
  warmth,
} from './remade-weights.ts'

export interface L0Options {
  /** Whose weights have a gate in common: `weightGates`, `inputGates`, or groups of channels. */
  readonly groups: readonly GateGroup[]
  /** λ, for each weight that is left; 0 or more. The paper's λ is this times the number of samples. */
  readonly lambda: number
  /** The share of gates that are closed at the start; above 0 and below 1, default 0.5. */
  readonly dropRate?: number
  /** Steps over which λ rises from 0; default 0. */
  readonly warmUp?: number
}

const [beta, gamma, zeta] = [2 / 3, -0.1, 1.1]
/** ln α stays within this, so that a gate can come back. */
const furthest = Math.log(100)

/** Throws where an option is out of range or a group counts what the model does not store. */
export function l0({ groups, lambda, dropRate = 0.5, warmUp = 0 }: L0Options): Regime {
  if (!(lambda >= 0 && Number.isFinite(lambda))) throw new Error(`l0: lambda must be 0 or more, got ${lambda}`)
  if (!(dropRate > 0 && dropRate < 1)) throw new Error(`l0: dropRate must be above 0 and below 1, got ${dropRate}`)
  return {
    id: 'l0',
    digest: { groups: digestOfGates(groups), lambda, dropRate, warmUp },
    enter(model, { seed }) {
      checkGates('l0', model, groups)
      const start = Math.log((1 - dropRate) / dropRate)
      const rng = random(seed)
      const gates = groups.map((group) => ({ group, start: startOf(group.units, () => start + 0.01 * rng.normal()) }))
      return enterGates(model, gates, { lambda, warmUp })
    },
  }
}

const startOf = (length: number, draw: () => number): Float32Array => Float32Array.from({ length }, draw)

interface Gate {
  readonly group: GateGroup
  /** ln α of each unit at the start. */
  readonly start: Float32Array
}

function enterGates(
  model: Model,
  gates: readonly Gate[],
  { lambda, warmUp }: Required<Pick<L0Options, 'lambda' | 'warmUp'>>,
): RegimeParts {
  const weights = remakeWeights(model)
  const made = gates.map(({ group, start }) => {
    const alpha = weights.store(`${group.name}_log_alpha`, [group.units], start)
    const noise = weights.input(`${group.name}_noise`, [group.units])
    weights.multiply(group, hardConcrete(weights, weights.op('Add', [alpha, noise])))
    return { group, alpha, noise }
  })
  return {
    model: weights.finish(),
    parameters: made.map((m) => m.alpha),
    noise: made.map(({ noise, group }) => ({
      input: noise,
      shape: [group.units],
      draw(values, rng) {
        for (let i = 0; i < values.length; i++) {
          const u = 1e-6 + (1 - 2e-6) * rng.next()
          values[i] = Math.log(u) - Math.log(1 - u)
        }
      },
    })),
    state: warmth(warmUp),
    terms: [
      {
        emit(g, { value, state }) {
          const expected = made.map(({ group, alpha }) => {
            const open = g.op('Sigmoid', [add(g, value(alpha), g.constant(-beta * Math.log(-gamma / zeta)))])
            return sum(g, mul(g, open, g.constant(gateSizes(model, group), 'float32', [group.units])))
          })
          return mul(
            g,
            scale(
              g,
              expected.reduce((a, b) => add(g, a, b)),
              lambda,
            ),
            state('warmth'),
          )
        },
      },
    ],
    projections: [
      {
        every: 50,
        apply: ({ weights }) => ({
          weights: new Map(
            made.map(({ alpha }) => {
              const values = weights.get(alpha) as Float32Array
              return [alpha, values.map((v) => Math.max(-furthest, Math.min(furthest, v)))]
            }),
          ),
        }),
      },
    ],
    leave(trained) {
      const factors = made.map(({ group, alpha }) => {
        const tensor = trained.graph.initializers.get(alpha)
        return { group, factors: tensor ? floats(tensor).map(withoutNoise) : new Float32Array(group.units).fill(1) }
      })
      return leftAs(model, trained, gatedBy(model, factors))
    },
  }
}

/** The gate as it is when nothing is drawn. */
export function withoutNoise(logAlpha: number): number {
  return Math.min(1, Math.max(0, (zeta - gamma) / (1 + Math.exp(-logAlpha)) + gamma))
}

/** z of ln α + ln u - ln(1 - u); within [0, 1] as relu(x) - relu(x - 1). */
function hardConcrete({ op, number }: Remaking, sum: string): string {
  const s = op('Sigmoid', [op('Mul', [sum, number(1 / beta)])])
  const stretched = op('Add', [op('Mul', [s, number(zeta - gamma)]), number(gamma)])
  return op('Sub', [op('Relu', [stretched]), op('Relu', [op('Sub', [stretched, number(1)])])])
}
