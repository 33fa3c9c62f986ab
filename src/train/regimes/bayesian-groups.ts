/**
 * Bayesian compression of groups (Louizos, Ullrich and Welling 2017, arXiv:1705.08665, with the normal-Jeffreys prior): the weights of
 * a unit have a random scale in common, and units whose scale is mostly noise leave as zeros.
 *
 *   z ~ N(μ, μ² α) for each unit,   w = z · (θ + σ · ε)
 *   loss + warmth / N · (Σ over units of KL(z) + Σ over weights of ½ · (σ² + θ² - 1 - ln σ²))      equations 10 and 11
 *
 * KL(z) is that of variational dropout, of ln α = ln σ_z² - ln μ². A unit whose ln α is above the threshold leaves as zeros, the
 * others as μ · θ. As in `variational-dropout`, one draw is made for the samples of a step together.
 */
import { add, mul, scale, shift, sub, sum } from '../../ops/grad/emit.ts'
import { floats } from '../../tensor/dtype.ts'
import type { Noise, Regime } from '../regime.ts'
import {
  checkGates,
  digestOfGates,
  drawNormal,
  type GateGroup,
  gatedBy,
  leftAs,
  type Remaking,
  remakeWeights,
  warmth,
} from './remade-weights.ts'
import { checkBayesian, divergence, flat, logAlphaOf, withNoise } from './variational-dropout.ts'

export interface BayesianGroupsOptions {
  /** Whose weights have a scale in common: `inputGates`, or groups of channels. */
  readonly groups: readonly GateGroup[]
  /** How many samples there are: N. */
  readonly samples: number
  /** Steps over which the term rises to its full size; default 0. */
  readonly warmUp?: number
  /** Units of a larger ln α become 0; default 0. (The paper reads it off a histogram for each layer.) */
  readonly threshold?: number
  /** A factor of the term, 0 or more; default 1, which is the paper's. */
  readonly strength?: number
}

/** ln σ_z² at the start. */
const startLogVariance = -9

/** Throws where an option is out of range or a group counts what the model does not store. */
export function bayesianGroups(options: BayesianGroupsOptions): Regime {
  const { groups, samples, warmUp = 0, threshold = 0, strength = 1 } = options
  checkBayesian('bayesian-groups', { samples, strength })
  return {
    id: 'bayesian-groups',
    digest: { groups: digestOfGates(groups), samples, warmUp, threshold, strength },
    enter(model) {
      checkGates('bayesian-groups', model, groups)
      const weights = remakeWeights(model)
      const names = [...new Set(groups.flatMap((group) => group.members.map((m) => m.tensor)))]
      const noisy = names.map((name) => ({ name, ...withNoise(weights, model, name) }))
      const scales = groups.map((group) => ({ group, ...withScale(weights, group) }))
      return {
        model: weights.finish(),
        parameters: [...noisy.map((w) => w.logVariance), ...scales.flatMap((s) => [s.mean, s.logVariance])],
        noise: [...noisy, ...scales].map((n) => n.noise),
        state: warmth(warmUp),
        terms: [
          {
            emit(g, { value, state }) {
              const ofScales = scales.map((s) =>
                divergence(g, { logVariance: value(s.logVariance), mean: value(s.mean) }),
              )
              const ofWeights = noisy.map(({ name, logVariance }) => {
                const [mean, log] = [flat(g, value(name)), value(logVariance)]
                const squares = add(g, g.op('Exp', [log]), mul(g, mean, mean))
                return scale(g, sum(g, shift(g, sub(g, squares, log), -1)), 0.5)
              })
              const total = [...ofScales, ...ofWeights].reduce((a, b) => add(g, a, b))
              return mul(g, scale(g, total, strength / samples), state('warmth'))
            },
          },
        ],
        leave(trained) {
          const stored = (name: string): Float32Array | undefined => {
            const tensor = trained.graph.initializers.get(name)
            return tensor && (floats(tensor) as Float32Array)
          }
          const factors = scales.map(({ group, mean, logVariance }) => {
            const [means, logs] = [stored(mean), stored(logVariance)]
            const logAlpha = means && logs && logAlphaOf(means, logs)
            const of = (_: number, u: number): number => (logAlpha && logAlpha[u] > threshold ? 0 : (means?.[u] ?? 1))
            return { group, factors: new Float32Array(group.units).map(of) }
          })
          return leftAs(model, trained, gatedBy(model, factors))
        },
      }
    },
  }
}

/** Multiplies a group by μ + σ_z · ε. */
function withScale(weights: Remaking, group: GateGroup): { mean: string; logVariance: string; noise: Noise } {
  const { name, units } = group
  const mean = weights.store(`${name}_scale`, [units], new Float32Array(units).fill(1))
  const logVariance = weights.store(
    `${name}_scale_log_variance`,
    [units],
    new Float32Array(units).fill(startLogVariance),
  )
  const noise = weights.input(`${name}_scale_noise`, [units])
  const deviation = weights.op('Exp', [weights.op('Mul', [logVariance, weights.number(0.5)])])
  weights.multiply(group, weights.op('Add', [mean, weights.op('Mul', [deviation, noise])]))
  return { mean, logVariance, noise: { input: noise, shape: [units], draw: (values, rng) => drawNormal(values, rng) } }
}
