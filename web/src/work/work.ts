/**
 * The page's worker: everything that takes long. It is ended and begun anew to cancel, so that nothing here needs to ask
 * whether it should stop.
 */
import { expose } from 'comlink'
import {
  inputShapesOf,
  inspectModel,
  type Model,
  methods,
  openSession,
  parseRecipe,
  type Recipe,
  runRecipe,
  runSteps,
  type ShapeFlags,
  shapedModel,
  withInputShapes,
  writeModel,
} from 'coppice'
import { drawSamples } from 'coppice/data'
import { answeredHandle, filePartsOf, guessTask, parseTask, partsBeside, scan } from 'coppice/evaluate'
import { type PackOptions, packModelInto } from 'coppice/formats'
import { comparisonRows, compressWithReport, renderHtml, renderScan, tilesOf } from 'coppice/report'
import { densified } from 'coppice/simplify'
import { compareSamples } from './compare.ts'
import { bindData, dataSummary } from './data.ts'
import type {
  Chosen,
  Compared,
  CompressOutcome,
  DataSummary,
  Made,
  MethodInfo,
  MethodOutcome,
  ModelSummary,
  Say,
  Sizes,
  Task,
  Tell,
  TrainPoint,
  Watch,
  Words,
} from './messages.ts'
import { openModel, openToWork, stemOf, summaryOf } from './models.ts'
import { withThreads } from './pool.ts'

/** Progress crosses to the page at most so often. */
const tellEveryMs = 100

function seldom(tell: Tell): Tell {
  let last = Number.NEGATIVE_INFINITY
  return (done, what) => {
    const now = performance.now()
    if (now - last < tellEveryMs && done > 0 && done < 1) return
    last = now
    tell(done, what)
  }
}

/** Told each step of training; asks the page, and waits for it, a few times a second. */
function watching(watch: Watch): (progress: TrainPoint) => unknown {
  let last = Number.NEGATIVE_INFINITY
  return ({ step, steps, loss, accuracy }) => {
    const now = performance.now()
    if (now - last < tellEveryMs && step < steps) return undefined
    last = now
    return watch({ step, steps, loss, ...(accuracy === undefined ? {} : { accuracy }) })
  }
}

/** What a person's browser is, for reports. */
const environment = [`coppice ${__VERSION__}`, 'ONNX Runtime in a page', navigator.userAgent]

function sizesOf(model: Model, bytes: number): Sizes {
  const { params, macs, bytes: constants } = inspectModel(model).totals
  return { bytes, parts: filePartsOf(model, constants), params, macs }
}

const shaped = (model: Model, words: Words = {}): Model =>
  shapedModel(model, { inputShape: [], ...words } as unknown as ShapeFlags)

const api = {
  async open(model: Chosen): Promise<ModelSummary> {
    return summaryOf(await openModel(model))
  },

  /** The methods with their option tables, for forms. */
  methods(): MethodInfo[] {
    return [...methods.values()].map(({ id, help, data, trains, options }) => ({
      id,
      help,
      ...(data ? { data } : {}),
      trains: trains === true,
      options,
    }))
  },

  async readData({ model: chosen, data, reading = {}, seed }: Task, tell: Tell): Promise<DataSummary> {
    if (!data) throw new Error('data: none was chosen')
    const { model } = await openToWork(chosen)
    return dataSummary(await bindData(shaped(model, reading), data, { words: reading, seed, tell: seldom(tell) }))
  },

  async pack(chosen: Chosen, mode: 'fast' | 'default' | 'max', tell: Tell): Promise<Made> {
    const { name, model } = await openModel(chosen)
    const progress = seldom(tell)
    return packed(`${stemOf(name)}.cop`, model, { mode, progress: (done) => progress(done, 'packing') })
  },

  async unpack(chosen: Chosen): Promise<Made> {
    const { name, onnx, model } = await openModel(chosen)
    return made(`${stemOf(name)}.onnx`, onnx ?? writeModel(model))
  },

  async compress(task: Task, words: Words, tell: Tell, say: Say): Promise<CompressOutcome> {
    const { name, model: asFiled, onnx: original, fileBytes, raisedFrom } = await openToWork(task.model)
    const model = shaped(asFiled, task.reading)
    const progress = seldom(tell)
    progress(0, 'loading ONNX Runtime')
    // What the runtime cannot load is told at once.
    await (await openSession(original, { name })).release()
    const { reading = {}, seed } = task
    const data = task.data && (await bindData(model, task.data, { words: reading, seed, tell: progress }))
    const stem = stemOf(name)
    const { report, ...result } = await compressWithReport(model, {
      compress: {
        ...words,
        seed,
        original,
        say,
        warn: say,
        ...(data ? { data, calibration: data.spec } : {}),
        writtenInputs: inputShapesOf(asFiled),
      },
      report: {
        names: [name, `${stem}.small.onnx`],
        fileBytes,
        packedFile: `${stem}.cop`,
        notes: raisedFrom === undefined ? [] : [`operator set ${raisedFrom} was raised`],
        environment,
        withWorkers: (use) => withThreads(fileBytes, use),
      },
      progress,
    })
    return {
      onnx: made(`${stem}.small.onnx`, result.onnx),
      packed: made(`${stem}.cop`, result.packed),
      recipe: result.recipe,
      holds: result.holds,
      tiles: tilesOf(report),
      rows: comparisonRows(report),
      warnings: report.warnings,
      html: renderHtml(report),
      decoded: blobOf(result.decoded),
    }
  },

  /** Pictures of the test set through the original and the result. */
  async compare(task: Task, after: Blob, count: number): Promise<Compared[]> {
    if (!task.data) return []
    const { model: asFiled } = await openToWork(task.model)
    const { reading = {}, seed } = task
    const model = shaped(asFiled, reading)
    const data = await bindData(model, task.data, { words: reading, seed })
    return compareSamples(model, new Uint8Array(await after.arrayBuffer()), { data, seed, count })
  },

  /** One method alone. */
  async apply(task: Task, id: string, options: Words, tell: Tell, watch: Watch): Promise<MethodOutcome> {
    const method = methods.get(id)
    if (!method) throw new Error(`method: there is none named "${id}"`)
    const { reading = {}, seed } = task
    return changed(task, tell, async (model, context) => {
      const data =
        method.data && task.data && (await bindData(model, task.data, { words: reading, seed, tell: context.progress }))
      if (method.trains && !data) throw new Error(`${id}: it trains, and there is no data; add data first`)
      const { task: words } = reading as { task?: string }
      const meaning =
        words && data ? parseTask(words, guessTask(model, { dataset: data.splits.train }), model) : undefined
      const made = await runSteps(densified(model), [[id, options]], {
        ...context,
        seed,
        training: watching(watch),
        ...(data ? { data: await answeredHandle(model, data, { ...context, seed, usual: usualTake }) } : {}),
        ...(meaning ? { task: meaning } : {}),
      })
      return { made, step: [id, options] }
    })
  },

  readRecipe(text: string, name: string): Recipe {
    return parseRecipe(text, name)
  },

  /** All steps of a recipe. */
  async recipe(task: Task, recipe: Recipe, tell: Tell): Promise<MethodOutcome> {
    const { reading = {} } = task
    return changed(task, tell, async (model, context) => {
      const words = { ...wordsOf(recipe.calibration), ...reading }
      const data = recipe.calibration && task.data && (await bindData(model, task.data, { words, seed: recipe.seed }))
      return { made: await runRecipe(model, recipe, { ...context, ...(data ? { data } : {}) }) }
    })
  },

  /** How far each weight tensor alone can be pruned: the page of curves. */
  async scan(task: Task, { samples, maxLoss }: { samples: number; maxLoss: number }, tell: Tell): Promise<string> {
    if (!task.data) throw new Error('scan: there is no data; add data with labels first')
    const { name, model: asFiled } = await openToWork(task.model)
    const { reading = {}, seed } = task
    const model = shaped(densified(asFiled), reading)
    const { splits, batcher, spec } = await bindData(model, task.data, { words: reading, seed })
    const held = drawSamples(splits.train, samples, seed)
    const result = await scan(model, { batcher, data: held }, { maxLoss, progress: seldom(tell) })
    return renderScan(
      { title: `Sensitivity of ${name}`, made: new Date().toISOString(), facts: [['data', spec.data]], environment },
      result,
    )
  },
}

/** What methods look at where nobody says, as on the command line. */
const usualTake = { samples: 512, batchSize: 64 }

interface Change {
  readonly made: Model
  readonly step?: MethodOutcome['step']
}

interface ChangeContext {
  readonly progress: Tell
  readonly warn: (message: string) => void
}

/** A changed model, written and packed. */
async function changed(
  { model: chosen, reading }: Task,
  tell: Tell,
  change: (model: Model, context: ChangeContext) => Promise<Change>,
): Promise<MethodOutcome> {
  const { name, model: asFiled, fileBytes, onnx } = await openToWork(chosen)
  const warnings: string[] = []
  const progress = seldom(tell)
  const model = shaped(asFiled, reading)
  const { made: changedModel, step } = await change(model, {
    progress: (done, what) => progress(0.9 * done, what),
    warn: (message) => warnings.push(message),
  })
  const result = changedModel === model ? asFiled : withInputShapes(changedModel, inputShapesOf(asFiled))
  // A recipe without steps stands for the file as it is.
  const bytes = result === asFiled ? onnx : writeModel(result)
  const stem = stemOf(name)
  const [before, after] = [sizesOf(asFiled, fileBytes), sizesOf(result, bytes.length)]
  return {
    onnx: made(`${stem}.changed.onnx`, bytes),
    packed: await packed(`${stem}.changed.cop`, result, {
      progress: (done) => progress(0.9 + 0.1 * done, 'packing'),
    }),
    warnings,
    before,
    after,
    parts: partsBeside(before, after),
    ...(step ? { step } : {}),
  }
}

/** What a recipe says of reading data, in the words of the option tables. */
function wordsOf(calibration: Recipe['calibration']): Words {
  if (!calibration) return {}
  const { range, mean, std, channels, layout, resize, label, header } = calibration
  return {
    ...(range ? { inputRange: range.join('..') } : {}),
    ...(mean ? { mean } : {}),
    ...(std ? { std } : {}),
    ...(channels ? { channels } : {}),
    ...(layout ? { layout } : {}),
    ...(resize ? { resize } : {}),
    ...(label === undefined ? {} : { label }),
    ...(header === undefined ? {} : { header: header ? 'yes' : 'no' }),
  }
}

function blobOf(bytes: Uint8Array): Blob {
  return new Blob([bytes as Uint8Array<ArrayBuffer>])
}

function made(name: string, bytes: Uint8Array): Made {
  return { name, blob: blobOf(bytes) }
}

/** Packs a model; what is coded goes out of memory at once. */
async function packed(name: string, model: Model, options: PackOptions): Promise<Made> {
  const groups: Blob[] = []
  const store = {
    add: (chunks: readonly Uint8Array[]) => void groups.push(...chunks.map(blobOf)),
    clear: () => void groups.splice(0),
  }
  const { bytes } = inspectModel(model).totals
  const beginning = await withThreads(bytes, (workers) => packModelInto(model, { ...options, workers }, store))
  return { name, blob: new Blob([...beginning.map(blobOf), ...groups]) }
}

export type Work = typeof api

expose(api)
