/**
 * Telling trainings apart: a checkpoint can only resume the run that wrote it.
 *
 * Options hold functions, so it is not the options that are compared but what they do: the numbers that a schedule and an
 * optimiser give, the operators that an update is made of, the inputs that a batcher makes of the data.
 */

import { crc32 } from '../checksum.ts'
import type { Dataset } from '../data/dataset.ts'
import { dataFingerprint } from '../data/fingerprint.ts'
import { plainEngine } from '../grad/engine.ts'
import type { Feeds } from '../method.ts'
import { createEmitter, type ValueType } from '../ops/grad/emit.ts'
import { bytesOf } from '../tensor/dtype.ts'
import { type Optimizer, sgd } from './optimizers.ts'
import { constant } from './schedules.ts'
import type { TrainOptions } from './train-options.ts'

/**
 * A text that differs where data or options differ in what changes a weight. Two lengths of one training, as with a
 * constant rate, have the same; not distinguished are a function of the caller's own (`targets`) that agrees on the first
 * batch, and what a regime's digest leaves out.
 */
export function trainingFingerprint(data: Dataset, options: TrainOptions): string {
  const { batchSize, seed, labelSmoothing, augment, patience, averageDecay, clipNorm } = options
  const { loss = 'cross-entropy', regimes = [], parameters, frozenStatistics, validation, targets } = options
  const first = Uint32Array.from({ length: Math.min(batchSize, data.length) }, (_, i) => i)
  return JSON.stringify([
    dataFingerprint(data),
    digestFeeds(options.batcher(data, first)),
    targets ? crc32(bytesOf(targets(first))) : 0,
    validation ? dataFingerprint(validation) : 0,
    { batchSize, seed, labelSmoothing, augment, patience, averageDecay, clipNorm, parameters, frozenStatistics },
    typeof loss === 'string' ? loss : String(loss),
    regimes.map(({ id, digest, mainLoss }) => [id, digest, mainLoss]),
    digestOptimizer(options.optimizer ?? sgd()),
    rates(options, data),
  ])
}

function digestFeeds(feeds: Feeds): unknown {
  return Object.entries(feeds).map(([name, { dtype, dims, data }]) => [name, dtype, dims, crc32(bytesOf(data))])
}

/** The operators and constants of an update of four weights that decay. */
function digestOptimizer(optimizer: Optimizer): unknown {
  const vector: ValueType = { dtype: 'float32', shape: [4] }
  const scalars = Object.keys(optimizer.scalars(0, 0))
  const types = new Map<string, ValueType>(['weight', 'gradient', ...optimizer.slots].map((name) => [name, vector]))
  for (const name of scalars) types.set(name, { dtype: 'float32', shape: [] })
  let made = 0
  const g = createEmitter(types, () => `${made++}`)
  optimizer.update(g, {
    engine: plainEngine,
    weight: 'weight',
    gradient: 'gradient',
    slots: optimizer.slots,
    scalars: Object.fromEntries(scalars.map((name) => [name, name])),
    decays: true,
  })
  return [g.nodes.map((n) => [n.op, n.inputs]), [...g.initializers.values()].map((t) => [...t.data])]
}

/** What the optimiser is fed at steps that lie twice as far each time. */
function rates(
  { learningRate, schedule = constant, optimizer = sgd(), batchSize, epochs }: TrainOptions,
  data: Dataset,
) {
  const stepsPerEpoch = Math.floor(data.length / batchSize)
  return Array.from({ length: 24 }, (_, i) => {
    const step = 2 ** i - 1
    return Object.values(optimizer.scalars(learningRate * schedule({ step, stepsPerEpoch, epochs }), step))
  })
}
