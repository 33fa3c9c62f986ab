/**
 * The training loop: the only one. Everything that trains gives it data: regimes (`regime.ts`), an optimiser, a schedule.
 *
 * Batches are of one size, since a step graph has static shapes: what is left of an epoch after its last full batch
 * is not seen in it (the shuffle differs each epoch). The same model, data, options and thread count give the same bytes.
 */
import { batches } from '../data/batches.ts'
import { stopIfAborted } from '../errors.ts'
import type { Model } from '../model.ts'
import type { StateSession } from '../runtime/state-session.ts'
import { decodeCheckpoint, encodeCheckpoint, expectSameRun } from './checkpoint.ts'
import { answersOf, countRight } from './objective.ts'
import { nextPhase, type OpenPhase, type Phase } from './phases.ts'
import type { Arrays, Entered } from './regime.ts'
import { constant } from './schedules.ts'
import { type FeedSource, feedsOf, mix } from './step-feeds.ts'
import type { StepGraph } from './step-graph.ts'
import type { EpochRecord, Progress, Trained, TrainOptions } from './train-options.ts'
import { statisticsOf } from './train-state.ts'
import { validate } from './validate.ts'

/** What is saved beside the arrays. */
interface Saved {
  readonly history: readonly EpochRecord[]
  readonly lossSum: number
  readonly correct: number
  readonly best?: { readonly epoch: number; readonly loss: number }
}

/** Everything of a run that does not change, but for its phase. */
export interface Run extends FeedSource {
  readonly entered: Entered
  readonly session: StateSession
  readonly fingerprint: string
}

/** Runs all steps; opens another phase where one ends on the way. */
export async function loop(setup: Omit<Run, keyof Phase>, open: OpenPhase): Promise<Omit<Trained, 'engine'>> {
  const { options, stepsPerEpoch } = setup
  const resumed = await resume(setup)
  let at = resumed?.step ?? 0
  let saved: Saved = resumed?.saved ?? { history: [], lossSum: 0, correct: 0 }
  let phase = await open(Math.floor(at / stepsPerEpoch), resumed && statisticsOf(resumed.arrays))
  try {
    const { untrained } = phase.step
    if (untrained.length > 0 && !options.parameters) options.warn?.(sayUntrained(untrained))
    if (resumed) phase.state.load(resumed.arrays)
    let run: Run = { ...setup, ...phase }
    const everySteps = options.checkpoint?.everySteps ?? stepsPerEpoch
    const clock = { startedAt: performance.now(), startedFrom: at }
    const isOver = (): boolean => at >= stepsPerEpoch * options.epochs || exhausted(saved, options)
    while (!isOver()) {
      const epoch = Math.floor(at / stepsPerEpoch)
      if (epoch >= phase.end) {
        phase = await nextPhase(phase, epoch, open)
        run = { ...setup, ...phase }
      }
      const order = [...batches(run.data, options.batchSize, { shuffleSeed: mix(run.seed, epoch), dropLast: true })]
      for (const indices of order.slice(at % stepsPerEpoch)) {
        stopIfAborted(options.signal, 'train')
        const { loss, correct } = await runStep(run, at, indices)
        at++
        saved = { ...saved, lossSum: saved.lossSum + loss, correct: saved.correct + correct }
        if (at % stepsPerEpoch !== 0) await options.onProgress?.(progressOf(run, { at, saved, clock }))
        if (at % everySteps === 0 && at % stepsPerEpoch !== 0) await save(run, at, saved)
      }
      saved = await finishEpoch(run, { at, saved, clock })
      if (at % everySteps === 0 || isOver()) await save(run, at, saved)
    }
    const last = saved.history.length - 1
    const best = options.patience === undefined ? undefined : saved.best
    return { model: leftModel(run, best ? 'best' : 'now'), history: saved.history, epoch: best ? best.epoch : last }
  } finally {
    await phase.session.release()
  }
}

/** The model as it is given: without what regimes put in. */
function leftModel({ entered, state }: Run, which: 'now' | 'best'): Model {
  return entered.leave(state.model(which), (member) => state.stateOf(member, which))
}

function exhausted({ history, best }: Saved, { patience, until }: TrainOptions): boolean {
  if (history.length > 0 && until?.(history[history.length - 1])) return true
  return patience !== undefined && best !== undefined && history.length - 1 - best.epoch >= patience
}

async function runStep(run: Run, at: number, indices: Uint32Array): Promise<{ loss: number; correct: number }> {
  const { options, step, session, state, objective } = run
  const results = await session.run(await feedsOf(run, at, indices))
  const loss = results[step.lossOutput][0] * (objective?.unit ?? 1)
  if (!Number.isFinite(loss)) {
    const kept = options.checkpoint ? '; the last good checkpoint is kept' : ''
    throw new Error(
      `train: the loss became ${loss} at step ${at}; expected a finite loss; a lower learning rate may help${kept}`,
    )
  }
  state.afterStep(results, at)
  project(run, at)
  if (!objective) return { loss, correct: 0 }
  const targets = answersOf(run.data, indices)
  const classes = step.target.shape?.at(-1) as number
  const correct = countRight(objective, results[step.output], { targets, classes, samples: indices.length })
  return { loss, correct: correct ?? 0 }
}

function project({ entered, state }: Run, at: number): void {
  for (const member of entered.members) {
    for (const { apply, every = 1 } of member.projections ?? []) {
      if (!apply || (at + 1) % every !== 0) continue
      state.change(member, apply({ step: at + 1, weights: state.weights(), state: state.stateOf(member) }))
    }
  }
}

interface Moment {
  /** Steps done. */
  readonly at: number
  readonly saved: Saved
  readonly clock: { readonly startedAt: number; readonly startedFrom: number }
}

function progressOf({ options, stepsPerEpoch, objective }: Run, { at, saved, clock }: Moment): Progress {
  const inEpoch = ((at - 1) % stepsPerEpoch) + 1
  const seconds = (performance.now() - clock.startedAt) / 1000
  const steps = stepsPerEpoch * options.epochs
  return {
    epoch: Math.floor((at - 1) / stepsPerEpoch),
    epochs: options.epochs,
    step: at,
    steps,
    loss: saved.lossSum / inEpoch,
    ...(objective && objective.kind !== 'numbers' ? { accuracy: saved.correct / (inEpoch * options.batchSize) } : {}),
    samplesPerSecond: ((at - clock.startedFrom) * options.batchSize) / seconds,
    secondsLeft: (seconds / (at - clock.startedFrom)) * (steps - at),
  }
}

async function finishEpoch(run: Run, moment: Moment): Promise<Saved> {
  const { options, state, stepsPerEpoch } = run
  const { at, saved } = moment
  const progress = progressOf(run, moment)
  const validation = options.validation && (await validate(leftModel(run, 'now'), options.validation, options))
  const factor = (options.schedule ?? constant)({ step: at - 1, stepsPerEpoch, epochs: options.epochs })
  const record: EpochRecord = {
    epoch: progress.epoch,
    loss: progress.loss,
    ...(progress.accuracy === undefined ? {} : { accuracy: progress.accuracy }),
    learningRate: options.learningRate * factor,
    ...(validation ? { validation } : {}),
  }
  const better = validation !== undefined && validation.loss < (saved.best?.loss ?? Number.POSITIVE_INFINITY)
  if (better && options.patience !== undefined) state.keepBest()
  await options.onProgress?.({ ...progress, finished: record })
  return {
    history: [...saved.history, record],
    lossSum: 0,
    correct: 0,
    ...(better ? { best: { epoch: record.epoch, loss: validation.loss } } : saved.best ? { best: saved.best } : {}),
  }
}

async function save({ options, state, fingerprint }: Run, step: number, saved: Saved): Promise<void> {
  if (!options.checkpoint) return
  const arrays = state.arrays()
  for (const [name, values] of arrays) {
    if (!values.every(Number.isFinite))
      throw new Error(`train: "${name}" is no longer finite at step ${step}; the last good checkpoint is kept`)
  }
  await options.checkpoint.store.save(encodeCheckpoint({ fingerprint, step, progress: saved, arrays }))
}

interface Resumed {
  readonly step: number
  readonly saved: Saved
  readonly arrays: Arrays
}

async function resume({ options, fingerprint }: Pick<Run, 'options' | 'fingerprint'>): Promise<Resumed | undefined> {
  const bytes = await options.checkpoint?.store.load()
  if (!bytes) return undefined
  const checkpoint = decodeCheckpoint(bytes)
  expectSameRun(checkpoint.fingerprint, fingerprint, { run: 'run' })
  return { step: checkpoint.step, saved: checkpoint.progress as Saved, arrays: checkpoint.arrays }
}
function sayUntrained(untrained: StepGraph['untrained']): string {
  const more = untrained.length - 3
  const few = untrained.slice(0, 3).map(({ name, why }) => `"${name}" ${why}`)
  return `weights that are not trained: ${few.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}
