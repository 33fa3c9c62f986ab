/** The report on what `compress` made: measured on the model that comes out of the packed file. */
import { brokenInWords, type Compressed } from '../compress/result.ts'
import { compareModels, type MeasureOptions } from '../evaluate/compare.ts'
import { packedSizeOn } from '../formats/pack.ts'
import { msToPack, msToWarmUp } from '../formats/pack-costs.ts'
import { inputShapesOf, withInputShapes } from '../graph/input-shapes.ts'
import type { Model } from '../model.ts'
import { Outlook, type Piece } from '../progress.ts'
import type { Goal } from '../search/goals.ts'
import { isSameModel, type SpeedUp, speedInWords, speedVerdict } from '../speed-up.ts'
import { byteLengthOf, sizeOf } from '../tensor/dtype.ts'
import type { Workers } from '../workers.ts'
import { constantRows } from './constant-rows.ts'
import { inputFacts } from './input-facts.ts'
import type { Report } from './report.ts'

export interface ReportOptions
  extends Pick<MeasureOptions, 'progress' | 'signal' | 'compressors' | 'skipLatency'>,
    Partial<Pick<Report, 'packedFile' | 'environment'>> {
  /** What the models are called; default: `original` and `compressed`. */
  readonly names?: readonly [before: string, after: string]
  /** Bytes of the file that was given, where it was not the .onnx itself. */
  readonly fileBytes?: number
  /** Threads that were asked for. */
  readonly threads?: number
  /** Notes and warnings of before compressing, which come first. */
  readonly notes?: readonly string[]
  readonly warnings?: readonly string[]
  /** Lends threads to pack on for as long as `use` takes; by default there are none but this. They are gone while speed is measured. */
  readonly withWorkers?: <T>(use: (workers: Workers | undefined) => Promise<T>) => Promise<T>
}

type Part = 'original' | 'measuring'

/** How long latency is measured at most, in milliseconds. */
const latencyMs = { size: 3_000, speed: 20_000 }

/** From so many weights on, about, models are packed on several threads. */
const ofManyThreads = 4e6

/** What lies ahead, in milliseconds that are guessed. */
function partsAhead(model: Model, { skipLatency }: ReportOptions, goal: Goal): Piece<Part>[] {
  const weights = [...model.graph.initializers.values()].map((t) => ({ ...t, size: sizeOf(t.dims) }))
  const toPack = weights.reduce((sum, w) => sum + msToPack({ ...w, byteLength: byteLengthOf(w.dtype, w.size) }), 0)
  const params = weights.reduce((sum, { size }) => sum + size, 0)
  const threads = params < ofManyThreads ? 1 : 2
  return [
    { kind: 'original', cost: (msToWarmUp + toPack) / threads },
    { kind: 'measuring', cost: 100 + 8e-5 * params + (skipLatency ? 0 : latencyMs[goal]) },
  ]
}

/** A guess of the milliseconds that a report takes. */
export function msToReport(model: Model, options: ReportOptions, goal: Goal): number {
  return partsAhead(model, options, goal).reduce((sum, { cost }) => sum + cost, 0)
}

/**
 * Says all of a result: sizes, accuracy, agreement and speed beside the original, and what became of every constant. Where the
 * limit is broken, the first warning says so.
 */
export async function reportOf(result: Compressed, options: ReportOptions = {}): Promise<Report> {
  const { model, written, original, goal, seed, mode, data, calibration } = result.from
  const { isUnjudged } = result
  const { signal, names = ['original', 'compressed'], fileBytes = original.byteLength } = options
  const outlook = new Outlook(partsAhead(model, options, goal), options.progress)
  const { withWorkers = (use) => use(undefined) } = options
  const packedBytes = await withWorkers((workers) =>
    packedSizeOn(written, { mode, workers, progress: outlook.begin('original', 'packing the original, to compare') }),
  )
  const { speedUp, trial, ...comparison } = await compareModels(
    { name: names[0], model, onnx: original, packedBytes },
    {
      name: names[1],
      model: withInputShapes(result.model, inputShapesOf(model)),
      onnx: result.decoded,
      packedBytes: result.packed.byteLength,
    },
    {
      data,
      // Compressing has done that.
      preprocessCheck: false,
      seed,
      trial: result.trial,
      compressors: options.compressors,
      skipLatency: options.skipLatency || isUnjudged,
      latencyMs: latencyMs[goal],
      signal,
      progress: outlook.begin('measuring', 'measuring'),
    },
  )
  const { test } = data?.splits ?? {}
  return {
    title: `${names[0]}, compressed for ${goal}`,
    goal,
    made: new Date().toISOString(),
    input: inputFacts(model, {
      data: data && { ...data, spec: calibration },
      seed,
      threads: options.threads,
    }),
    ...(options.packedFile === undefined ? {} : { packedFile: options.packedFile }),
    before: { ...comparison.before, bytes: fileBytes },
    after: { ...comparison.after, bytes: result.onnx.byteLength },
    ...(isUnjudged ? {} : { agreement: comparison.agreement }),
    ...(speedUp ? { speedUp } : {}),
    ...(test?.labels ? { testSet: { id: test.id, samples: test.length } } : {}),
    ...(result.heldBack ? { heldBack: result.heldBack } : {}),
    ...(isUnjudged
      ? {}
      : { judged: { on: trial.on, holds: result.holds, findings: trial.verdict.findings, apart: trial.apart } }),
    ...constantRows(result.floatForm, result.model, { ...result, file: model }),
    recipe: result.recipe,
    notes: [...(options.notes ?? []), ...result.notes],
    warnings: [
      ...(result.holds ? [] : [`the limit is broken: ${brokenInWords(trial)}`]),
      ...(options.warnings ?? []),
      ...result.warnings,
      ...(speedUp ? speedWarnings(speedUp, goal) : []),
    ],
    environment: options.environment ?? [],
  }
}

function speedWarnings(speedUp: SpeedUp, goal: string): string[] {
  const verdict = speedVerdict(speedUp)
  if (verdict === 'slower') return [`the result is ${speedInWords(speedUp)}`]
  if (goal !== 'speed' || verdict !== 'could not tell') return []
  return [
    isSameModel(speedUp)
      ? 'nothing faster was found on this machine: the result is the unchanged model'
      : `the result may not be faster: ${speedInWords(speedUp)}`,
  ]
}
