/**
 * The phases of a training run: the step that is taken and the session that takes it, another once BatchNormalization's
 * statistics are kept as they are, and once a term begins to count.
 */
import type { Dataset } from '../data/dataset.ts'
import type { Engine } from '../grad/engine.ts'
import { replaceTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { openStateSession, type StateSession } from '../runtime/state-session.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { type Objective, onlyOutput } from './objective.ts'
import type { Optimizer } from './optimizers.ts'
import type { Arrays, Entered } from './regime.ts'
import { buildStep, type StepGraph } from './step-graph.ts'
import type { TrainOptions } from './train-options.ts'
import { createTrainState, statisticsOf, type TrainState } from './train-state.ts'

/** The step that a run takes, and what it changes. */
export interface Phase {
  /** The first epoch that takes another step. */
  readonly end: number
  readonly step: StepGraph
  readonly session: StateSession
  readonly state: TrainState
}

/** Opens the phase of an epoch, with the statistics found so far. */
export type OpenPhase = (epoch: number, statistics?: Arrays) => Promise<Phase>

interface Parts {
  readonly data: Dataset
  readonly options: TrainOptions
  readonly aim?: Objective
  readonly mainLoss: number
  readonly optimizer: Optimizer
  readonly engine: Engine
}

/** Opens the phases of a model that regimes have entered. */
export function phases(entered: Entered, { data, options, aim, mainLoss, optimizer, engine }: Parts): OpenPhase {
  const first = options.batcher(
    data,
    Uint32Array.from({ length: options.batchSize }, (_, i) => i),
  )
  const { members } = entered
  const noise = members.flatMap((m) => m.noise ?? [])
  const state = members.flatMap((m) => Object.values(m.state ?? {}))
  const changes = [options.frozenStatistics, ...members.flatMap((m) => (m.terms ?? []).map((t) => t.from))]
  return async (epoch, statistics) => {
    const frozen = isFrozen(options, epoch)
    const later = changes.filter((at): at is number => typeof at === 'number' && at > epoch)
    const model = frozen && statistics ? withStatistics(entered.model, statistics) : entered.model
    const step = buildStep(learning({ ...entered, model }, aim), {
      ...options,
      frozenStatistics: frozen,
      ...(aim ? { output: aim.output, axis: aim.axis } : {}),
      inputShapes: Object.fromEntries([
        ...Object.entries(first).map(([name, v]) => [name, v.dims]),
        ...noise.map(({ input, shape }) => [input, shape.map((d) => (d === 'N' ? options.batchSize : d))]),
        ...state.flatMap(({ input, shape }) => (input === undefined ? [] : [[input, shape]])),
      ]),
      loss: options.loss ?? 'cross-entropy',
      optimizer,
      engine,
      members,
      epoch,
      mainLoss,
    })
    const session = await openStateSession(step.model, { state: step.state, threads: options.threads })
    try {
      const now = createTrainState(model, step, session, {
        averageDecay: options.averageDecay,
        members,
        frozen: frozen ? statistics : undefined,
      })
      return { end: Math.min(...later, Number.POSITIVE_INFINITY), step, session, state: now }
    } catch (cause) {
      await session.release()
      throw cause
    }
  }
}

/** The model with the statistics that training has found. */
function withStatistics(model: Model, statistics: Arrays): Model {
  const tensors = [...statistics].flatMap(([name, values]) => {
    const old = model.graph.initializers.get(name)
    return old ? [[old, floatTensor(name, old.dims, values)] as const] : []
  })
  return replaceTensors(model, new Map(tensors))
}

/** Whether an epoch leaves BatchNormalization's statistics as they are. */
export function isFrozen({ frozenStatistics = false }: TrainOptions, epoch: number): boolean {
  return typeof frozenStatistics === 'number' ? epoch >= frozenStatistics : frozenStatistics
}

/** The part of a model that makes what learns; all of it where loss terms may read other values. */
function learning({ model, members }: Entered, aim: Objective | undefined): Model {
  const { outputs } = model.graph
  const readsOthers = members.some((m) => m.terms || m.state)
  if (!aim || readsOthers || (outputs.length === 1 && outputs[0].name === aim.output)) return model
  return onlyOutput(model, aim.output)
}

/** The same weights and state in the step of a later epoch. */
export async function nextPhase({ state, session }: Phase, epoch: number, open: OpenPhase): Promise<Phase> {
  const arrays = state.arrays()
  const next = await open(epoch, statisticsOf(arrays))
  try {
    next.state.load(arrays)
  } catch (cause) {
    await next.session.release()
    throw cause
  }
  await session.release()
  return next
}
