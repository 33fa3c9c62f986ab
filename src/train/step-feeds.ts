/** What a step's model is fed: a batch, what it is compared with, the optimiser's scalars, noise, and what terms and state give. */
import { augment as augmentSamples } from '../data/augment.ts'
import type { Dataset } from '../data/dataset.ts'
import { drawMixing, mixFeeds, mixRows } from '../data/mixup.ts'
import type { Feeds, Value } from '../method.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { type Objective, targetsFor } from './objective.ts'
import type { Optimizer } from './optimizers.ts'
import type { Term } from './regime.ts'
import { constant } from './schedules.ts'
import type { StepGraph } from './step-graph.ts'
import type { TrainOptions } from './train-options.ts'
import type { TrainState } from './train-state.ts'

/** What feeds are made of, of a run. */
export interface FeedSource {
  readonly data: Dataset
  readonly options: TrainOptions
  /** Undefined where the caller gives the targets, or nothing has labels. */
  readonly objective?: Objective
  readonly mainLoss: number
  readonly optimizer: Optimizer
  readonly seed: number
  readonly step: StepGraph
  readonly state: TrainState
  readonly stepsPerEpoch: number
}

/** The feeds of the step that follows `at` steps, on these samples. */
export async function feedsOf(source: FeedSource, at: number, indices: Uint32Array): Promise<Feeds> {
  const { options, step, optimizer, stepsPerEpoch, seed, mainLoss } = source
  const { schedule = constant } = options
  const mixup = options.augment?.mixup
  const mixing = mixup ? drawMixing(indices.length, mixup, random(mix(seed, at, 0))) : undefined
  const whole = batchInputs(source, at, indices)
  const inputs = mixing ? mixFeeds(whole, mixing) : whole
  const feeds: Record<string, Value> = { ...inputs }
  if (mainLoss > 0) {
    const targets = targetsOf(source, indices)
    feeds[step.target.name] = float32(step.target.shape as number[], mixing ? mixRows(targets, mixing) : targets)
  }
  const factor = schedule({ step: at, stepsPerEpoch, epochs: options.epochs })
  for (const [name, value] of Object.entries(optimizer.scalars(options.learningRate * factor, at)))
    feeds[step.scalarInput(name)] = float32([], Float32Array.of(value))
  step.noise.forEach(({ input, shape, draw }, i) => {
    const values = new Float32Array(sizeOf(shape))
    draw(values, random(mix(seed, at, 2 + i)))
    feeds[input] = float32(shape, values)
  })
  // The runtime reads these arrays where they lie: handing them over costs nothing that can be measured (bench/admm-step.mts).
  for (const { member, name, input, shape } of step.stateInputs)
    feeds[input] = float32(shape, source.state.stateOf(member).get(name) as Float32Array)
  return { ...feeds, ...(await termFeeds(step, { step: at, indices, inputs })) }
}

/** Samples as the model takes them, augmented. */
function batchInputs({ options, data, seed }: FeedSource, at: number, indices: Uint32Array): Feeds {
  const { batcher, augment } = options
  if (!augment) return batcher(data, indices)
  const augmented = augmentSamples(data, indices, { ...augment, rng: random(mix(seed, at, 1)) })
  return batcher(
    augmented,
    indices.map((_, i) => i),
  )
}

/** Each term is asked once for all that it feeds. */
async function termFeeds({ fed }: StepGraph, batch: Parameters<NonNullable<Term['feeds']>>[0]): Promise<Feeds> {
  const feeds: Record<string, Value> = {}
  const given = new Map<Term, Feeds>()
  for (const { member, term, name, input, shape } of fed) {
    const values = given.get(term) ?? (await term.feeds?.(batch)) ?? {}
    given.set(term, values)
    const value = values[name]
    if (!(value?.data instanceof Float32Array) || value.data.length !== sizeOf(shape))
      throw new Error(
        `${member.id}: it feeds ${value ? `[${value.dims}] of ${value.dtype}` : 'nothing'} as "${name}"; expected [${shape}] of float32`,
      )
    feeds[input] = float32(shape, value.data)
  }
  return feeds
}

function targetsOf({ options, objective, data, step }: FeedSource, indices: Uint32Array): Float32Array {
  const shape = step.target.shape as number[]
  if (objective) return targetsFor(objective, data, indices, { shape, smoothing: options.labelSmoothing })
  const targets = options.targets?.(indices) ?? new Float32Array()
  if (targets.length !== sizeOf(shape))
    throw new Error(`train: ${targets.length} target values; expected ${sizeOf(shape)} for output [${shape}]`)
  return targets
}

function float32(dims: readonly number[], data: Float32Array): Value {
  return { dtype: 'float32', dims: [...dims], data }
}

/** One seed of several numbers: each is stirred in. */
export function mix(...numbers: readonly number[]): number {
  let state = 0x9e3779b9
  for (const n of numbers) state = Math.floor(random(state ^ n).next() * 2 ** 32)
  return state
}
