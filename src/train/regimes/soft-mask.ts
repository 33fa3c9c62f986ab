/**
 * Pruning with a mask that weights can leave again, and then with what was pruned as a teacher: PQK (Kim, Chang & Kwak 2021,
 * arXiv:2106.14681), but for its quantisation, which is a regime of its own.
 *
 * Phase 1: layers read w · m. The mask m is 0 for the smallest weights; it is chosen anew several times per epoch, and the share of
 * zeros after t of T steps is s · (1 - (1 - t/T)³) (Zhu & Gupta 2017, arXiv:1710.01878). Gradients go to all weights, as if no
 * mask were there, so that a weight that was pruned too early grows back.
 *
 * Phase 2: the mask stays. The teacher is the same network with its pruned weights put back. Both learn at once:
 *
 *   loss = L(student, labels) + L(teacher, labels) + α · D(teacher, student)
 *
 * with the main loss L and the divergence D of `distill`, whose gradient reaches the student alone. What both have, both move:
 * where the teacher's loss moved pruned weights alone, it did not come down.
 */
import { emitCopy } from '../../grad/emit-copy.ts'
import type { Model } from '../../model.ts'
import { add, scale } from '../../ops/grad/emit.ts'
import { macroDomain } from '../../ops/grad/rule.ts'
import { floats, sizeOf } from '../../tensor/dtype.ts'
import { lossInput } from '../loss-graph.ts'
import { losses } from '../losses.ts'
import type { Arrays, Projection, Regime, RegimeParts, Setting, StateTensor, Term, TermScope } from '../regime.ts'
import { checkTemperature, emitDivergence } from './distill.ts'
import { leftAs, remakeWeights, storedWeights } from './remade-weights.ts'
import { keepLargest } from './top-k.ts'

export interface SoftMaskOptions {
  /** The weights that are pruned; default: all that layers multiply with. */
  readonly names?: readonly string[]
  /** The share of them that is zero in the end, 0 to 1. */
  readonly sparsity: number
  /** Whether each tensor gets that share (the default), or all weights together. */
  readonly scope?: 'layer' | 'global'
  readonly stepsPerEpoch: number
  /** Epochs of phase 1. */
  readonly epochs: number
  /** The share of phase 1 over which the share of zeros rises; default 0.75. */
  readonly rise?: number
  /** How often per epoch the mask is chosen anew; default 10. */
  readonly updates?: number
  /** α of phase 2; 0 (the default): there is no teacher. */
  readonly alpha?: number
  /** As that of `distill`; default 2. */
  readonly temperature?: number
}

/** Throws where an option is out of range; when it enters, where a name is no weight that the model stores as float32. */
export function softMask(options: SoftMaskOptions): Regime {
  const { names, sparsity, scope = 'layer', stepsPerEpoch, epochs, rise = 0.75, updates = 10 } = options
  const { alpha = 0, temperature } = options
  if (!(sparsity >= 0 && sparsity <= 1)) throw new Error(`soft-mask: sparsity must be within [0, 1], got ${sparsity}`)
  if (!(rise >= 0 && rise <= 1)) throw new Error(`soft-mask: rise must be within [0, 1], got ${rise}`)
  if (!(alpha >= 0 && Number.isFinite(alpha))) throw new Error(`soft-mask: alpha must be 0 or more, got ${alpha}`)
  for (const [name, value] of Object.entries({ stepsPerEpoch, epochs, updates }))
    if (!(Number.isInteger(value) && value > 0))
      throw new Error(`soft-mask: ${name} must be a whole number above 0, got ${value}`)
  checkTemperature('soft-mask', temperature)
  return {
    id: 'soft-mask',
    digest: { names, sparsity, scope, stepsPerEpoch, epochs, rise, updates, alpha, temperature },
    enter: (model, setting) => enter(model, setting, options),
  }
}

function enter(model: Model, setting: Setting, options: SoftMaskOptions): RegimeParts {
  const { sparsity, scope = 'layer', epochs, alpha = 0 } = options
  const weights = storedWeights('soft-mask', model, options.names).map((w) => w.tensor)
  const remaking = remakeWeights(model)
  const reach = remaking.input('reach', [1])
  const state: Record<string, StateTensor> = {
    // 1 while gradients go to masked weights too.
    reach: { shape: [1], values: Float32Array.of(1), input: reach },
  }
  for (const { name, dims } of weights) {
    const mask = remaking.input(`${name}_mask`, dims)
    state[`mask/${name}`] = { shape: dims, values: new Float32Array(sizeOf(dims)).fill(1), input: mask }
    const reached = remaking.op('Mul', [name, remaking.op('Max', [mask, reach])])
    remaking.make(name, remaking.straightThrough(reached, remaking.op('Mul', [name, mask])))
  }
  const names = weights.map((w) => w.name)
  const masksAt = (now: Arrays, share: number): Arrays => smallestMasked(now, names, { share, scope })
  return {
    model: remaking.finish(),
    parameters: names,
    state,
    projections: [chooseMasks(masksAt, options)],
    ...(alpha > 0 ? { terms: [teach(model, setting, { options, from: epochs })] } : {}),
    leave(trained, now) {
      // A model that leaves before phase 2 has the share that was asked for, too.
      const isFixed = now.get('reach')?.[0] === 0
      const stored = new Map(
        names.map((name) => [name, floats(trained.graph.initializers.get(name) ?? weights[0]) as Float32Array]),
      )
      const masks = isFixed ? new Map(names.map((name) => [name, now.get(`mask/${name}`)])) : masksAt(stored, sparsity)
      return leftAs(model, trained, (name, values) => {
        const mask = masks.get(name)
        return mask ? values.map((v, i) => (mask[i] === 0 ? 0 : v)) : values
      })
    },
  }
}

/** Masks of 0 for the smallest weights, so many of each tensor or of all together. */
function smallestMasked(
  weights: Arrays,
  names: readonly string[],
  { share, scope }: { readonly share: number; readonly scope: 'layer' | 'global' },
): Map<string, Float32Array> {
  const present = names.flatMap((name) => {
    const values = weights.get(name)
    return values ? [{ name, values }] : []
  })
  const masked = (values: Float32Array): Float32Array =>
    keepLargest(values, values.length - Math.round(share * values.length)).map((v) => (v === 0 ? 0 : 1))
  if (scope === 'layer') return new Map(present.map(({ name, values }) => [name, masked(values)]))
  const all = new Float32Array(present.reduce((n, { values }) => n + values.length, 0))
  const places = new Map<string, number>()
  let at = 0
  for (const { name, values } of present) {
    all.set(values, at)
    places.set(name, at)
    at += values.length
  }
  const mask = masked(all)
  return new Map(
    present.map(({ name, values }) => {
      const from = places.get(name) as number
      return [name, mask.slice(from, from + values.length)]
    }),
  )
}

/** Chooses masks anew in phase 1; at its end for the last time. */
function chooseMasks(masksAt: (weights: Arrays, share: number) => Arrays, options: SoftMaskOptions): Projection {
  const { sparsity, stepsPerEpoch, epochs, rise = 0.75, updates = 10 } = options
  const last = epochs * stepsPerEpoch
  const ramp = Math.max(1, Math.round(rise * last))
  const every = Math.max(1, Math.floor(stepsPerEpoch / updates))
  return {
    apply({ step, weights }) {
      if (step > last || (step % every !== 0 && step !== last)) return {}
      const share = sparsity * (1 - (1 - Math.min(1, step / ramp)) ** 3)
      const masks = [...masksAt(weights, share)].map(([name, mask]) => [`mask/${name}`, mask] as const)
      return { state: new Map([...masks, ...(step === last ? [['reach', Float32Array.of(0)] as const] : [])]) }
    },
  }
}

interface Teaching {
  readonly options: SoftMaskOptions
  readonly from: number
}

/** L(teacher, labels) + α · D(teacher, student). `model` is the network without masks. */
function teach(model: Model, { objective }: Setting, { options, from }: Teaching): Term {
  const { alpha = 0, temperature } = options
  return {
    from,
    emit(g, { output: student, target, loss, parameters }: TermScope) {
      if (target === undefined) throw new Error('soft-mask: the teacher learns from labels; expected a main loss')
      const copy = emitCopy(g, model, parameters)
      const output = copy.named(objective?.output ?? model.graph.outputs[0].name)
      const teacher = lossInput(g, copy.graph, { loss, output, ...(objective ? { axis: objective.axis } : {}) })
      const own = (typeof loss === 'string' ? losses[loss] : loss)(g, teacher, target)
      // Its gradient goes to a constant.
      const still = g.op('StraightThrough', [g.constant(0), teacher], { domain: macroDomain, shape: g.shape(teacher) })
      const apart = emitDivergence(g, { student, teacher: still, loss }, { told: temperature, usual: 2 })
      return scale(g, add(g, own, scale(g, apart, alpha)), 1 / (objective?.unit ?? 1))
    },
  }
}
