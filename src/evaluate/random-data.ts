/** Random inputs in place of data: enough for a reliable figure, as far as the model's cost allows. */
import { isStrings } from '../data/batch-axis.ts'
import type { DataHandle, InputGroup } from '../data/handle.ts'
import { withInputShapes } from '../graph/input-shapes.ts'
import { subgraphsOf } from '../graph/walk.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Feeds, Value } from '../method.ts'
import type { Graph, Model } from '../model.ts'
import { countOf } from '../ops/shape/known.ts'
import { inferShapes, type Shapes } from '../ops/shape.ts'
import { openSession, type Session, withSession } from '../runtime/session.ts'
import type { JudgedBatch } from '../task/judge.ts'
import { floatsBehind } from '../task/output-origin.ts'
import { floatValues, isFloat, sizeOf } from '../tensor/dtype.ts'
import { findRandomInputs, NoInputsError, type RandomInputs, shapesInWords } from './random-inputs.ts'

export interface RandomData {
  readonly ranges: readonly string[]
  /** Ranges in which the model gives values that are not finite, of which nothing can be compared: they are not drawn in. */
  readonly leftOut: readonly string[]
  /** The model gives such values in every range, which are all drawn in then. */
  readonly isNeverFinite: boolean
  /** Batches to calibrate on, and the range of each. */
  readonly data: DataHandle
  /** At least `samples` signals in each range, and flat noise besides; another `draw` gives others. */
  batches(samples: number, draw: number): Iterable<JudgedBatch>
  /** How many `batches` gives of each range, flat noise too, where so many samples are wanted: calls are never of a part. */
  drawn(samples: number): number
  readonly calibrationSamples: number
  readonly perCall: number
  /** Samples in each range that a comparison can afford. */
  readonly mostSamples: number
}

/** What a recipe says in place of a data spec. */
export const randomSpec = 'random'

/**
 * Samples per call, where the model takes them, and the multiply-adds of a call: the values of all its layers are kept at once.
 * Of tiny models more, whose calls take longer to begin than to compute.
 */
const perCall = { usual: 8, most: 32 }
const callCost = { tiny: 2e8, most: 1e10 }
/** Multiply-adds that one comparison of two models may take, and running all calibration inputs: seconds. */
const comparisonCost = 5e10
const calibrationCost = 5e10
/** Input values that are kept at once to judge on, judged values that one comparison looks at, and input values kept to calibrate on. */
const mostValues = 2 ** 25
const mostCompared = 2 ** 24
const mostDrawn = 2 ** 22
const mostJudged = 1024
/** Multiply-adds of looking for ranges in which the model overflows, and most samples of each kind that are looked at. */
const probeCost = 5e9
const mostProbes = 16
const mostCalibrated = 32
/** What even a costly model is judged and calibrated on, in each range. */
const leastJudged = 4
const leastCalibrated = 8

/** Calls in each range to calibrate on where one of them is noise. */
const leastCalls = 4
/** Calls in each range to judge on: what an output of one value per call varies shows from two on. */
const leastSeen = 2
/** The share of inputs that are flat noise, which are much alike. */
const noiseShare = 0.25

/**
 * Finds inputs that the model runs with. The same model and seed give the same ones. `take` says how many to calibrate on,
 * over all ranges, and how many per call, as a recipe has them; default: as many as the model's cost allows. Throws a
 * NoInputsError where there are none that the model runs with and gives values for.
 */
export async function randomData(
  model: Model,
  seed: number,
  take?: { readonly samples: number; readonly batchSize: number },
): Promise<RandomData> {
  const { inputs, macs, values, judged, finiteIn } = await withSession(
    () => openSession(model),
    async (session) => {
      const one = await findRandomInputs(model, session)
      const cost = costOf(model, one)
      const batchSize = take?.batchSize ?? samplesPerCall(cost.macs)
      const results = Object.values(await session.run(one.make(seed)))
      const outputs = results.reduce((sum, { data }) => sum + data.length, 0) / one.samples
      if (outputs === 0)
        throw new NoInputsError(
          `random inputs: with inputs of the shapes ${shapesInWords(Object.entries(one.shapes))} every output is empty; expected --input-shape NAME=SIZES, or data`,
        )
      const probes = Math.floor(probeCost / (cost.macs * one.groups.length))
      const calls = Math.min(mostProbes, Math.max(leastSeen, probes))
      const limits = { calls, seed: seed + judgedDraw, draw: one.draw }
      const usual = await finiteRanges(one.groups, session, limits)
      const above = usual.length > 0 ? [] : await finiteRanges(one.positive.groups, session, limits)
      const inputs = (batchSize > 1 ? await inputsOfBatches(model, session, batchSize) : undefined) ?? one
      return { ...cost, judged: outputs + cost.behind, inputs, finiteIn: [...usual, ...above] }
    },
  )
  const { samples: fed } = inputs
  const isNeverFinite = finiteIn.length === 0
  const ranges = isNeverFinite ? inputs.ranges : finiteIn
  const groups = [...inputs.groups, ...inputs.positive.groups].filter(({ range }) => ranges.includes(range))
  const afford = (budget: number, least: number, most: number): number =>
    Math.min(most, Math.max(least, Math.floor(budget / (macs * ranges.length))))
  const calibrated = take ? take.samples / ranges.length : afford(calibrationCost, leastCalibrated, mostCalibrated)
  const isNoiseApart = groups.some((group) => group.isNoise)
  // Of each length as many.
  const lengths = new Set(groups.map(({ length }) => length)).size
  const calls = Math.ceil(Math.max(take || !isNoiseApart ? 1 : leastCalls, Math.ceil(calibrated / fed)) / lengths)
  const noiseCalls = isNoiseApart ? Math.round(calls * noiseShare) : 0
  const plan = groups.flatMap((group) =>
    Array.from({ length: group.isNoise ? noiseCalls : calls - noiseCalls }, (_, call) => ({ group, call })),
  )
  // Drawn once where they are few: they are read again and again.
  const isFew = plan.length * fed * values <= mostDrawn
  let drawn: Feeds[] | undefined
  function* draw(): Generator<Feeds> {
    for (const { group, call } of plan) yield inputs.draw(group, call, seed + calibrationDraw)
  }
  const callsFor = (samples: number, { isNoise }: InputGroup): number =>
    Math.max(leastSeen, Math.ceil((isNoise ? samples * noiseShare : samples) / fed))
  return {
    ranges,
    leftOut: inputs.ranges.filter((range) => !ranges.includes(range)),
    isNeverFinite,
    data: {
      calibration() {
        if (!isFew) return draw()
        drawn ??= [...draw()]
        return drawn
      },
      groups: plan.map(({ group }) => group),
    },
    calibrationSamples: plan.length * fed,
    perCall: fed,
    *batches(samples, draw) {
      for (const group of groups) {
        for (let call = 0; call < callsFor(samples, group); call++)
          yield { feeds: inputs.draw(group, call, seed + judgedDraw * draw), fed, count: fed, group }
      }
    },
    drawn: (samples) =>
      groups.filter(({ range }) => range === ranges[0]).reduce((sum, group) => sum + fed * callsFor(samples, group), 0),
    mostSamples: Math.min(
      afford(comparisonCost, leastJudged, mostJudged),
      Math.max(leastJudged, Math.floor(mostValues / (values * ranges.length))),
      Math.max(leastJudged, Math.floor(mostCompared / (Math.max(1, judged) * ranges.length))),
    ),
  }
}

/** Undefined where the model says that it takes any number of samples, and runs with one alone. */
async function inputsOfBatches(model: Model, session: Session, batchSize: number): Promise<RandomInputs | undefined> {
  try {
    return await findRandomInputs(model, session, { batchSize })
  } catch (cause) {
    if (cause instanceof NoInputsError) return undefined
    throw cause
  }
}

function samplesPerCall(macs: number): number {
  const tiny = Math.min(perCall.most, Math.floor(callCost.tiny / macs))
  return Math.max(1, Math.min(Math.max(perCall.usual, tiny), Math.floor(callCost.most / macs)))
}

/** Draws of their own: what is judged is not what was fitted. */
const calibrationDraw = 104729
const judgedDraw = 7919

/** What is worst of an output's values: none is what a logarithm gives of nothing, and masks say "never" by. */
const finite = 0
const neverOrNone = 1
const overflown = 2

/** In which ranges the model's values are finite. Minus infinity may be an answer, where every range has some. */
async function finiteRanges(
  groups: readonly InputGroup[],
  session: Session,
  { calls, seed, draw }: { readonly calls: number; readonly seed: number } & Pick<RandomInputs, 'draw'>,
): Promise<string[]> {
  const worst = new Map<string, number>()
  for (const group of groups) {
    for (let call = 0; call < calls; call++) {
      const values = Object.values(await session.run(draw(group, call, seed)))
      worst.set(group.range, Math.max(worst.get(group.range) ?? finite, ...values.map(worstOf)))
    }
  }
  const least = Math.min(...worst.values())
  return [...worst].flatMap(([range, found]) => (least !== overflown && found === least ? [range] : []))
}

function worstOf({ dtype, data }: Value): number {
  const values = isStrings(data) ? undefined : floatValues({ dtype, data })
  let worst = finite
  for (const v of values ?? []) {
    if (v === Number.NEGATIVE_INFINITY) worst = neverOrNone
    else if (!Number.isFinite(v)) return overflown
  }
  return worst
}

/** What a sample costs in multiply-adds, its input values, and the values that outputs are judged by beside themselves. */
function costOf(model: Model, { shapes, samples }: RandomInputs): { macs: number; values: number; behind: number } {
  const { totals } = inspectModel(withInputShapes(model, new Map(Object.entries(shapes))))
  const values = Object.values(shapes).reduce((sum, dims) => sum + sizeOf(dims), 0) / samples
  const steps = (nodesInLoops(model.graph) * longestAxis(shapes) * stepCost) / samples
  const known = inferShapes(model, { inputShapes: shapes }).values
  const sizeOfAll = (names: Iterable<string>): number =>
    [...names].reduce((sum, name) => sum + (countOf(known.get(name)?.shape) ?? 0), 0) / samples
  const made = sizeOfAll(model.graph.nodes.flatMap(({ outputs }) => outputs))
  const multiplied = Math.max((totals.macs ?? 0) / samples, totals.params, values)
  return { macs: multiplied + made * valueCost + steps, values, behind: sizeOfAll(valuesBehind(model.graph, known)) }
}

/** What writing a computed value costs beside the multiply-adds that it is made of. */
const valueCost = 10

/** The floats that outputs of other types are made of, where they are no outputs themselves. */
function valuesBehind(graph: Graph, known: Shapes['values']): Set<string> {
  const typeOf = (name: string) => known.get(name)?.dtype
  const behind = graph.outputs
    .filter(({ name }) => !isFloat(typeOf(name)))
    .flatMap(({ name }) => floatsBehind(graph, name, typeOf).floats)
  return new Set(behind.filter((name) => graph.outputs.every((o) => o.name !== name)))
}

/** What running one node of a loop's body once costs, in multiply-adds that take as long. */
const stepCost = 1e5

/** Nodes in the bodies of Loop and Scan, which are run again for each step of a sequence. */
function nodesInLoops(graph: Graph): number {
  return graph.nodes.reduce((sum, node) => {
    const isLoop = node.op === 'Loop' || node.op === 'Scan'
    return sum + subgraphsOf(node).reduce((n, body) => n + nodesInLoops(body) + (isLoop ? body.nodes.length : 0), 0)
  }, 0)
}

function longestAxis(shapes: RandomInputs['shapes']): number {
  return Math.max(1, ...Object.values(shapes).flat())
}
