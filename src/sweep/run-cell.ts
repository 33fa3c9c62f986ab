/** One combination of a sweep: its recipe is applied to the model, and what comes out is measured beside the original. */
import { runRecipe } from '../compress/run-recipe.ts'
import type { BoundData } from '../data/handle.ts'
import { usualTake } from '../data/handle.ts'
import { AbortError } from '../errors.ts'
import { type Comparison, compareModels, type Side } from '../evaluate/compare.ts'
import { randomData, randomSpec } from '../evaluate/random-data.ts'
import { packModel } from '../formats/pack.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { Recipe } from '../recipe.ts'
import { sha256 } from './hash.ts'
import { type Cell, hashOf, type OpenedModel, type PlannedCell, type SweepSources } from './plan.ts'
import type { Found, Measure, Measured, SweepRow, Timed } from './row.ts'

/** A worker's model, data or version is not what the sweep was planned with. */
export class DifferentError extends Error {
  override name = 'DifferentError'
}

export interface RowMade {
  readonly row: SweepRow
  /** The result, packed; absent where there is none. */
  readonly packed?: Uint8Array
}

/** How long calls of a row are timed, at most: rows are many. */
const latencyMs = 3000
/** Signal over noise, in dB, above which there is none to speak of. */
const mostDb = 150

/**
 * Makes the row. What goes wrong with this combination alone is its `error`; throws where files differ from those that the
 * sweep was planned with (`DifferentError`), and where it is stopped.
 */
export async function runCell(
  cell: PlannedCell,
  sources: SweepSources,
  context: Pick<Context, 'checkpoint' | 'progress' | 'signal'> = {},
): Promise<RowMade> {
  const { key, identity, model, data, recipe, seed } = cell
  const from = performance.now()
  const opened = await checked(cell, sources, context)
  const row = { coppice: 1, key, identity, model, data, name: recipe.name } as const
  let complete: Recipe = { coppice: 1, seed, steps: recipe.steps, ...(recipe.task ? { task: recipe.task } : {}) }
  try {
    const isRandom = data.data === randomSpec
    const { progress, signal } = context
    const bound = isRandom ? undefined : await sources.data(opened.model, data, { seed, signal })
    complete = { ...complete, calibration: await calibrationOf(opened.model, cell) }
    const made = await applied(opened, complete, { ...context, data: bound })
    const compared = await compareModels(
      { name: 'before', model: opened.model, onnx: opened.onnx, packedBytes: packedBytesOf(opened.model) },
      { name: 'after', ...made, packedBytes: made.packed.byteLength },
      {
        ...(bound ? { data: bound } : {}),
        ...(recipe.task ? { task: recipe.task } : {}),
        seed,
        signal,
        progress: (done, what) => progress?.(judgedFrom + (1 - judgedFrom) * done, what),
        skipLatency: !cell.latency,
        latencyMs,
        preprocessCheck: false,
      },
    )
    const found = { ...foundOf(compared), sha256: await sha256(made.onnx), warnings: made.warnings }
    const timed = timedOf(compared, (performance.now() - from) / 1000, sources)
    return { row: { ...row, recipe: complete, found, timed }, packed: made.packed }
  } catch (error) {
    if (error instanceof AbortError || context.signal?.aborted) throw error
    const sentence = error instanceof Error ? error.message : String(error)
    const timed = { seconds: (performance.now() - from) / 1000, environment: sources.environment }
    return { row: { ...row, recipe: complete, timed, error: sentence } }
  }
}

/** Originals that were packed: every row is beside one, and packing takes long. */
const originals = new WeakMap<Model, number>()

function packedBytesOf(model: Model): number {
  const bytes = originals.get(model) ?? packModel(model).byteLength
  originals.set(model, bytes)
  return bytes
}

/** The share of a row's progress that the recipe takes, roughly. */
const judgedFrom = 0.8

/** The model, where it and the data are what the sweep was planned with. */
async function checked(cell: PlannedCell, sources: SweepSources, { signal }: Pick<Context, 'signal'>) {
  const { identity, model, data, seed } = cell
  const differs = (what: string, found: string, planned: string): DifferentError =>
    new DifferentError(`${what}: it is not what the sweep was planned with (${found} here, ${planned} there)`)
  if (sources.version !== identity.version) throw differs('coppice', sources.version, identity.version)
  const opened = await sources.model(model.file)
  if (opened.sha256 !== identity.model) throw differs(model.file, short(opened.sha256), short(identity.model))
  const hash = await hashOf(opened.model, data, seed, sources, { signal })
  if (hash !== identity.data) throw differs(data.data, short(hash), short(identity.data))
  return opened
}

const short = (hash: string): string => `SHA-256 ${hash.slice(0, 12)}…`

async function calibrationOf(model: Model, { data, recipe, seed }: Cell): Promise<NonNullable<Recipe['calibration']>> {
  const { name: _, samples, batchSize, ...read } = data
  const told = {
    ...recipe.take,
    ...(samples === undefined ? {} : { samples }),
    ...(batchSize === undefined ? {} : { batchSize }),
  }
  if (read.data !== randomSpec) return { ...read, ...usualTake, ...told }
  const random = await randomData(model, seed)
  return { ...read, samples: random.calibrationSamples, batchSize: random.perCall, ...told }
}

async function applied(
  { model, onnx }: OpenedModel,
  recipe: Recipe,
  { data, progress, ...context }: Pick<Context, 'checkpoint' | 'progress' | 'signal'> & { data?: BoundData },
) {
  const warnings: string[] = []
  const result = await runRecipe(model, recipe, {
    ...context,
    ...(data ? { data } : {}),
    progress: (done, what) => progress?.(judgedFrom * done, what),
    warn: (message) => warnings.push(message),
  })
  // A recipe without steps stands for the original file, as it is.
  return {
    model: result,
    onnx: recipe.steps.length === 0 ? onnx : writeModel(result),
    packed: packModel(result),
    warnings,
  }
}

function foundOf({ before, after, agreement, trial }: Comparison): Omit<Found, 'sha256' | 'warnings'> {
  const { judgements, on } = trial
  const right = judgements.find((j) => j.right)
  const explained = judgements.find((j) => j.explained)
  const samples = (right ?? explained ?? judgements[0])?.samples ?? 0
  const scored = (measure: Measure, scoreBefore: number, scoreAfter: number) => ({
    ...{ measure, on, samples },
    before: measured(before, scoreBefore),
    after: measured(after, scoreAfter),
  })
  if (before.top1 !== undefined && after.top1 !== undefined) return scored('accuracy', before.top1, after.top1)
  if (explained?.explained) return scored('variance explained', explained.explained.before, explained.explained.after)
  if (agreement.top1 !== undefined) return scored('agreement', 1, agreement.top1)
  return scored('signal to noise', mostDb, Math.max(-mostDb, Math.min(mostDb, agreement.snrDb)))
}

function measured({ bytes, packed, params, nonZero, macs }: Side, score: number): Measured {
  return { bytes, packed, params, nonZero, macs, score }
}

function timedOf({ before, after, speedUp }: Comparison, seconds: number, { environment }: SweepSources): Timed {
  const latency = before.latencyMs && after.latencyMs && { before: before.latencyMs, after: after.latencyMs }
  return { seconds, ...(latency ? { latencyMs: latency } : {}), ...(speedUp ? { speedUp } : {}), environment }
}
