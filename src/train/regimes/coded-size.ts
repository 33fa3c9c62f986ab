/**
 * Rate in the objective: while it trains, every weight is a whole number of steps, and what these numbers would take in a
 * packed file is part of the loss.
 *
 *   loss + price · bits / 8000,   bits = Σ slope_i · |w_i / s|
 *
 * over all weights and biases. A slope is what the weight would cost more if it were one level larger: level-costs.ts says
 * it from the present levels of the weight's row, column and neighbours, every few steps. So weights in rows and columns that
 * are nearly empty are pressed hardest, and whole units vanish. The step s of each tensor is learnt too, by both parts.
 * Gradients go straight through the rounding.
 *
 * The idea is that of Oktay et al. 2020 (arXiv:1906.06624), whose code is learnt beside the weights; steps are learnt as in
 * LSQ (Esser et al. 2020, arXiv:1902.08153, equation 3), but as logarithms. It leaves as float weights on their grids.
 */
import { findStep } from '../../formats/coding/grid-steps.ts'
import { node } from '../../graph/build.ts'
import { editGraph } from '../../graph/edit.ts'
import { capturedBy } from '../../graph/walk.ts'
import { replaceTensors } from '../../graph/weights.ts'
import type { Model, Node, Tensor } from '../../model.ts'
import { add, mul, sum } from '../../ops/grad/emit.ts'
import { macroDomain } from '../../ops/grad/rule.ts'
import { floats, floatTensor, sizeOf } from '../../tensor/dtype.ts'
import { roundEven } from '../../tensor/round-even.ts'
import { trainableNames } from '../parameters.ts'
import type { Arrays, Projection, Regime, StateTensor, Term } from '../regime.ts'
import { bitsPerStep, codedBits } from './level-costs.ts'

export interface CodedSizeOptions {
  /** The loss that a kilobyte (1,000 bytes) is worth; 0 or more. */
  readonly price: number
  /** Steps over which the price rises to that; default 0. */
  readonly rise?: number
  /** Steps from one estimate of the bits to the next; default 50. */
  readonly every?: number
  /** Told now and then about how many bits all weights take. */
  readonly onBits?: (bits: number) => void
}

/** A tensor that is rounded: the stored one is trained, and read through the rounding. */
interface Rounded {
  readonly tensor: Tensor
  /** The parameter whose exponential is the step. */
  readonly logStep: string
  /** The value with the weights in steps. */
  readonly inSteps: string
  readonly output: string
}

const bitsPerKilobyte = 8000
/** Estimates of which one is told. */
const tellEvery = 4
/** Tensors of fewer elements stay as they are: a step of their own would cost as much. */
const leastElements = 8

/** For all that is trained of a model that stores it as float32. Throws where an option is out of range. */
export function codedSize({ price, rise = 0, every = 50, onBits }: CodedSizeOptions): Regime {
  if (!(price >= 0 && Number.isFinite(price))) throw new Error(`coded-size: price must be 0 or more, got ${price}`)
  if (!(rise >= 0 && Number.isFinite(rise))) throw new Error(`coded-size: rise must be 0 or more, got ${rise}`)
  if (!(Number.isInteger(every) && every > 0))
    throw new Error(`coded-size: every must be a whole number above 0, got ${every}`)
  return {
    id: 'coded-size',
    digest: { price, rise, every },
    enter(model) {
      const edit = editGraph(model)
      const all = roundedTensors(model, edit.fresh)
      if (all.length === 0)
        throw new Error(
          `coded-size: the model has no weights to train; expected a float tensor of ${leastElements} elements or more`,
        )
      const names = new Map(all.map((r) => [r.tensor.name, r.output]))
      const reading = (n: Node): Node => ({ ...n, inputs: n.inputs.map((name) => names.get(name) ?? name) })
      const rounding = all.flatMap((r) => {
        edit.store(floatTensor(r.logStep, [1], [Math.log(firstStep(r.tensor))]))
        return roundingOf(r, (what, tensor) => edit.store({ ...tensor, name: edit.fresh(what) }), edit.fresh)
      })
      const pulls = pullsOf(all, { price, rise, every, onBits })
      return {
        model: edit.finishWith([...rounding, ...model.graph.nodes.map(reading)]),
        parameters: all.flatMap((r) => [r.tensor.name, r.logStep]),
        state: pulls.state,
        terms: [pulls.term],
        projections: [pulls.projection],
        leave: ({ graph: { initializers } }) =>
          replaceTensors(
            model,
            new Map(
              [...model.graph.initializers.values()].map((before): [Tensor, Tensor] => {
                const trained = initializers.get(before.name) ?? before
                const rounded = all.find((r) => r.tensor === before)
                if (!rounded) return [before, trained]
                const step = stepOf(floats(initializers.get(rounded.logStep) as Tensor))
                return [before, floatTensor(before.name, before.dims, onGrid(floats(trained), step))]
              }),
            ),
          ),
      }
    },
  }
}

/** All that is trained, but for what branches and loops read too. */
function roundedTensors(model: Model, fresh: (base: string) => string): Rounded[] {
  const captured = new Set(model.graph.nodes.flatMap((n) => [...capturedBy(n)]))
  return trainableNames(model.graph).flatMap((name) => {
    const tensor = model.graph.initializers.get(name) as Tensor
    if (sizeOf(tensor.dims) < leastElements || captured.has(name)) return []
    const [logStep, inSteps, output] = ['log_step', 'in_steps', 'rounded'].map((what) => fresh(`${name}_${what}`))
    return [{ tensor, logStep, inSteps, output }]
  })
}

/** The step to begin with: that of values on a grid already; else half the root mean square of weights, an eighth of that of biases. */
function firstStep(tensor: Tensor): number {
  const all = floats(tensor)
  const values = all.filter((v) => v !== 0)
  if (values.length === 0) return 2 ** -7
  // Numbers that are all alike lie on a grid too, though on no chosen one.
  const chosen = values.length < all.length ? findStep(values) : undefined
  const square = values.reduce((total, v) => total + v * v, 0) / values.length
  return chosen ?? Math.sqrt(square) / (tensor.dims.length > 1 ? 2 : 8)
}

/** w = s · round(w / s), s = e^p. p learns 1 / √n as fast as its gradient says, since it is the sum of n weights' own. */
function roundingOf(
  { tensor, logStep, inSteps, output }: Rounded,
  store: (what: string, tensor: Tensor) => string,
  fresh: (base: string) => string,
): Node[] {
  const value = (what: string): string => fresh(`${tensor.name}_${what}`)
  const share = store(`${tensor.name}_share`, floatTensor('', [1], [1 / Math.sqrt(sizeOf(tensor.dims))]))
  const [slow, own, step, whole, level] = ['slow', 'own', 'step', 'whole', 'level'].map(value)
  const straight = (inputs: string[], to: string): Node =>
    node('StraightThrough', inputs, [to], {}, { domain: macroDomain })
  return [
    node('Mul', [logStep, share], [slow]),
    straight([slow, logStep], own),
    node('Exp', [own], [step]),
    node('Div', [tensor.name, step], [inSteps]),
    node('Round', [inSteps], [whole]),
    straight([inSteps, whole], level),
    node('Mul', [level, step], [output]),
  ]
}

const stepOf = ([logarithm]: Float32Array): number => Math.fround(Math.exp(logarithm))

function onGrid(values: Float32Array, step: number): Float32Array {
  return values.map((v) => roundEven(Math.fround(v / step)) * step + 0)
}

/** What the size adds to the loss: a pull for each weight, in loss per step. */
function pullsOf(
  all: readonly Rounded[],
  { price, rise, every, onBits }: Required<Omit<CodedSizeOptions, 'onBits'>> & Pick<CodedSizeOptions, 'onBits'>,
): { state: Record<string, StateTensor>; term: Term; projection: Projection } {
  const pulls = (weights: Arrays, step: number): Map<string, Float32Array> => {
    const inSteps = all.map(({ tensor, logStep }) => {
      const s = stepOf(weights.get(logStep) as Float32Array)
      return { inSteps: (weights.get(tensor.name) as Float32Array).map((v) => v / s), dims: tensor.dims }
    })
    if (Math.round(step / every) % tellEvery === 0) onBits?.(codedBits(inSteps))
    const slopes = bitsPerStep(inSteps)
    const perBit = (price / bitsPerKilobyte) * (rise > 0 ? Math.min(1, step / rise) : 1)
    return new Map(all.map(({ tensor }, i) => [tensor.name, slopes[i].map((v) => v * perBit)]))
  }
  const first = new Map(
    all.flatMap(({ tensor, logStep }) => [
      [tensor.name, floats(tensor)],
      [logStep, Float32Array.of(Math.log(firstStep(tensor)))],
    ]),
  )
  const start = pulls(first, 0)
  return {
    state: Object.fromEntries(
      all.map(({ tensor: { name, dims } }) => [name, { shape: dims, values: start.get(name) as Float32Array }]),
    ),
    term: {
      emit: (g, { value, state }) =>
        all
          .map(({ tensor, inSteps }) => sum(g, mul(g, g.op('Abs', [value(inSteps)]), state(tensor.name))))
          .reduce((a, b) => add(g, a, b)),
    },
    projection: { every, apply: ({ step, weights }) => ({ state: pulls(weights, step) }) },
  }
}
