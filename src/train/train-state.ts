/**
 * What changes while training: weights and slots (in the session's buffers), running statistics, averages, the state of
 * regimes, the best.
 */
import { replaceTensors } from '../graph/weights.ts'
import type { Model, Tensor } from '../model.ts'
import type { StateSession } from '../runtime/state-session.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import type { Arrays, Changes, Member } from './regime.ts'
import type { StateVector, StepGraph } from './step-graph.ts'

export interface TrainState {
  /** Takes in the batch's statistics, what the step made of regimes' state, and the new weights into their average. `step` counts from 0. */
  afterStep(results: Readonly<Record<string, Float32Array>>, step: number): void
  /** The model with the present weights (their average where one is kept), or with the best. */
  model(which: 'now' | 'best'): Model
  /** Remembers what `model('now')` would give. */
  keepBest(): void
  /** The trained parameters as they are until the next step, in the model's order of elements; to read. */
  weights(): Arrays
  /** A regime's own state; with `best`, as it was with the best weights. To read. */
  stateOf(member: Member, which?: 'now' | 'best'): Arrays
  /** Takes in what a regime changes: weights by name, and its own state. */
  change(member: Member, changes: Changes): void
  /** Everything that goes on from step to step, by unique names. */
  arrays(): Map<string, Float32Array>
  load(arrays: ReadonlyMap<string, Float32Array>): void
}

export interface TrainStateOptions {
  readonly averageDecay?: number
  readonly members?: readonly Member[]
  /** Running statistics that were found before and stay. */
  readonly frozen?: Arrays
}

const statisticsPrefix = 'statistics/'

/** The running statistics among a checkpoint's arrays, by name. */
export function statisticsOf(arrays: Arrays): Arrays {
  return new Map(
    [...arrays].flatMap(([name, values]) =>
      name.startsWith(statisticsPrefix) ? [[name.slice(statisticsPrefix.length), values] as const] : [],
    ),
  )
}

export function createTrainState(
  model: Model,
  step: StepGraph,
  session: StateSession,
  { averageDecay, members = [], frozen }: TrainStateOptions = {},
): TrainState {
  const statistics = new Map([...(frozen ?? [])].map(([name, values]) => [name, values.slice()]))
  for (const { mean, variance } of step.statistics)
    for (const name of [mean, variance]) statistics.set(name, floats(storedTensor(model, name)).slice())
  const vectorOf = (s: StateVector): Float32Array => session.state(s.input)
  const weightVectors = step.state.filter((s) => s.slot === 'weight')
  packInto(weightVectors, vectorOf, (name) => floats(step.weights.get(name) as Tensor))
  // In the state's order of elements: it is taken at every step and seldom read.
  const averages = averageDecay === undefined ? undefined : new Map(weightVectors.map((s) => [s, vectorOf(s).slice()]))
  const averageOf = (s: StateVector): Float32Array => averages?.get(s) as Float32Array
  const regimeState = new Map(members.map((member) => [member, startOf(member)]))
  const keyOf = (member: Member): string => `state/${members.indexOf(member)}-${member.id}/`
  const allState = (): [string, Float32Array][] =>
    [...regimeState].flatMap(([member, own]) =>
      [...own].map(([name, v]): [string, Float32Array] => [keyOf(member) + name, v]),
    )
  let best: Map<string, Float32Array> | undefined
  let bestState: Map<string, Float32Array> | undefined
  const given = (): Map<string, Float32Array> =>
    new Map([...unpacked(weightVectors, averages ? averageOf : vectorOf), ...statistics])
  const copied = (): Map<string, Float32Array> => new Map([...given()].map(([name, v]) => [name, v.slice()]))
  return {
    afterStep(results, at) {
      if (step.statisticsOutput) takeStatistics(step, results[step.statisticsOutput], statistics)
      for (const { member, name, output } of step.stateOutputs) regimeState.get(member)?.get(name)?.set(results[output])
      if (averageDecay === undefined) return
      // While there is little to average over, the present counts for more.
      const decay = Math.min(averageDecay, (1 + at) / (10 + at))
      for (const s of weightVectors) {
        const mean = averageOf(s)
        const values = vectorOf(s)
        for (let i = 0; i < mean.length; i++) mean[i] += (1 - decay) * (values[i] - mean[i])
      }
    },
    model(which) {
      const values = which === 'best' && best ? best : given()
      return replaceTensors(
        model,
        new Map(
          [...values].map(([name, v]) => {
            const old = storedTensor(model, name)
            // Under a mask a step leaves -0 too, which takes bytes of its own when packed.
            const positive = v.map((value) => (value === 0 ? 0 : value))
            return [old, floatTensor(name, old.dims, positive)]
          }),
        ),
      )
    },
    keepBest() {
      best = copied()
      bestState = new Map(allState().map(([name, v]) => [name, v.slice()]))
    },
    weights: () => unpacked(weightVectors, vectorOf),
    stateOf(member, which = 'now') {
      const own = regimeState.get(member) ?? new Map<string, Float32Array>()
      if (which === 'now' || !bestState) return own
      return new Map([...own].map(([name, v]) => [name, bestState?.get(keyOf(member) + name) ?? v]))
    },
    change(member, { weights = new Map(), state = new Map() }) {
      const own = regimeState.get(member)
      for (const [name, values] of state) store(member, { name, values, into: own?.get(name) })
      if (weights.size === 0) return
      const known = new Map(weightVectors.flatMap((s) => s.parts.map((part) => [part.parameter.name, { s, part }])))
      for (const [name, values] of weights) {
        const place = known.get(name)
        if (!place || sizeOf(place.part.parameter.shape) !== values.length) throw misfit(member, name)
        vectorOf(place.s).set(place.part.parameter.pack(values), place.part.offset)
      }
    },
    arrays() {
      const arrays = new Map<string, Float32Array>()
      for (const slot of new Set(step.state.map((s) => s.slot))) {
        const vectors = step.state.filter((s) => s.slot === slot)
        for (const [name, values] of unpacked(vectors, vectorOf)) arrays.set(`${slot}/${name}`, values)
      }
      for (const [name, values] of statistics) arrays.set(statisticsPrefix + name, values)
      for (const [name, values] of averages ? unpacked(weightVectors, averageOf) : [])
        arrays.set(`average/${name}`, values)
      for (const [name, values] of allState()) arrays.set(name, values)
      for (const [name, values] of best ?? []) arrays.set(`best/${name}`, values)
      for (const [name, values] of bestState ?? []) arrays.set(`best-${name}`, values)
      return arrays
    },
    load(arrays) {
      for (const s of step.state) packInto([s], vectorOf, (name) => arrays.get(`${s.slot}/${name}`))
      if (averages) packInto(weightVectors, averageOf, (name) => arrays.get(`average/${name}`))
      for (const [name, values] of statistics) values.set(arrays.get(statisticsPrefix + name) as Float32Array)
      for (const [name, values] of allState()) values.set(arrays.get(name) as Float32Array)
      const keptState = [...arrays].filter(([name]) => name.startsWith('best-state/'))
      if (keptState.length > 0)
        bestState = new Map(keptState.map(([name, v]) => [name.slice('best-'.length), v.slice()]))
      const kept = [...arrays].filter(([name]) => name.startsWith('best/'))
      if (kept.length > 0) best = new Map(kept.map(([name, values]) => [name.slice('best/'.length), values.slice()]))
    },
  }
}

function startOf({ state = {} }: Member): Map<string, Float32Array> {
  return new Map(Object.entries(state).map(([name, { values }]) => [name, values.slice()]))
}

function store(
  member: Member,
  { name, values, into }: { readonly name: string; readonly values: Float32Array; readonly into?: Float32Array },
): void {
  if (into?.length !== values.length) throw misfit(member, name)
  into.set(values)
}

function misfit({ id }: Member, name: string): Error {
  return new Error(`${id}: it changes "${name}", which is neither a trained weight nor its state of that size`)
}

/** Parameters in the model's order of elements; views of the state where that is how it is kept. */
function unpacked(
  vectors: readonly StateVector[],
  vectorOf: (s: StateVector) => Float32Array,
): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>()
  for (const s of vectors) {
    for (const { parameter, offset, size } of s.parts) {
      values.set(parameter.name, parameter.unpack(vectorOf(s).subarray(offset, offset + size)))
    }
  }
  return values
}

/** Parameters into vectors, from the model's order of elements. */
function packInto(
  vectors: readonly StateVector[],
  vectorOf: (s: StateVector) => Float32Array,
  valuesOf: (name: string) => Float32Array | undefined,
): void {
  for (const s of vectors) {
    for (const { parameter, offset } of s.parts) {
      // What a later phase alone trains begins as it is.
      const values = valuesOf(parameter.name)
      if (values) vectorOf(s).set(parameter.pack(values), offset)
    }
  }
}

/** running = momentum · running + (1 - momentum) · batch. */
function takeStatistics(step: StepGraph, batch: Float32Array, statistics: ReadonlyMap<string, Float32Array>): void {
  let offset = 0
  for (const { mean, variance, momentum } of step.statistics) {
    for (const name of [mean, variance]) {
      const running = statistics.get(name) as Float32Array
      for (let i = 0; i < running.length; i++) running[i] = momentum * running[i] + (1 - momentum) * batch[offset + i]
      offset += running.length
    }
  }
}

/** The tensor of the model that a value is: an initialiser, or what a Constant node holds. */
function storedTensor(model: Model, name: string): Tensor {
  const initializer = model.graph.initializers.get(name)
  if (initializer) return initializer
  const value = model.graph.nodes.find((n) => n.op === 'Constant' && n.outputs[0] === name)?.attributes.value
  if (value?.type !== 'tensor') throw new Error(`train: the model stores no tensor "${name}"`)
  return value.value
}
