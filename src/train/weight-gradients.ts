/**
 * Gradients of the loss at a model's weights: of the cross-entropy where samples have labels, of what the task asks for where they
 * have targets; in inference form (BatchNormalization at its stored statistics,
 * no dropout), and products of its Hessian with vectors by a second backward pass (Pearlmutter 1994).
 */
import { batchAxisOf, pickSamples, requiredInputs } from '../data/batch-axis.ts'
import { subset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { drawSamples, usualTake } from '../data/handle.ts'
import { backward, grown } from '../grad/backward.ts'
import { lowerPlain } from '../grad/lower-plain.ts'
import { specialize } from '../grad/specialize.ts'
import { trainingForm } from '../grad/training-form.ts'
import { model as makeModel, nameSource, valueInfo } from '../graph/build.ts'
import type { WeightTensor } from '../graph/weights.ts'
import type { Context, Feeds, LabelledFeeds, Value } from '../method.ts'
import { irVersionOf, isOnnxDomain, type Model, opsetOf } from '../model.ts'
import { add, cast, createEmitter, type Emitter, mul, sum } from '../ops/grad/emit.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { forTraining } from '../simplify/float32-arithmetic.ts'
import { floatValues, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { lossInput } from './loss-graph.ts'
import { losses } from './losses.ts'
import { type Objective, objectiveOf, objectiveOfLabels, onlyOutput, targetsFor } from './objective.ts'

/** Samples to take gradients on. */
export interface GradientBatch extends LabelledFeeds {
  /** Samples with targets, and what is learnt of them; `labels` then only count the samples. */
  readonly answers?: { readonly data: Dataset; readonly objective: Objective }
}

export interface Gradients {
  /** dL/dw of each weight for the mean loss over the batch; with `vectors`, the Hessian's product with them instead. */
  of(batch: GradientBatch, vectors?: readonly Float32Array[]): Promise<Float32Array[]>
  /** The sum of squares of all that each call gave. */
  readonly energies: readonly number[]
  release(): Promise<void>
}

export interface GradientOptions {
  /** Shapes of every input, batch axis included. */
  readonly inputShapes: Readonly<Record<string, readonly number[]>>
  /** What is learnt; default: classes, or yes or no, from labels. */
  readonly objective?: Objective
  /** 2: Hessian-vector products. */
  readonly order?: 1 | 2
}

/** Builds and opens the graph that gives them. Throws an UnsupportedError naming the node where a rule is missing. */
export async function openGradients(
  model: Model,
  weights: readonly WeightTensor[],
  { inputShapes, objective = objectiveOfLabels(model), order = 1 }: GradientOptions,
): Promise<Gradients> {
  const names = weights.map((w) => w.name)
  const special = specialize(onlyOutput(forTraining(model), objective.output), inputShapes)
  const form = trainingForm(special, { frozenStatistics: true })
  const g = createEmitter(form.types, nameSource(form.graph))
  const logits = lossInput(g, form.graph, objective)
  const shape = g.shape(logits)
  const target = g.fresh('target')
  g.types.set(target, { dtype: 'float32', shape })
  const loss = losses[objective.loss](g, logits, target)
  let result = backward(grown(form, g), loss, names)
  const vectors: string[] = []
  const emitter = () => createEmitter(result.types, nameSource(result.graph))
  /** In float32, also of weights that are stored in fewer bits. */
  const gradientsBy = (e: Emitter) =>
    names.map((name) => {
      const gradient = result.gradients.get(name)
      return gradient && cast(e, gradient, 'float32')
    })
  if (order === 2) {
    const e = emitter()
    const parts = gradientsBy(e).flatMap((gradient, i) => {
      const vector = e.fresh(`vector_${i}`)
      e.types.set(vector, { dtype: 'float32', shape: e.shape(names[i]) })
      vectors.push(vector)
      return gradient ? [sum(e, mul(e, gradient, vector))] : []
    })
    const product = parts.reduce((a, b) => add(e, a, b))
    result = backward(grown(result, e), product, names)
  }
  const e = emitter()
  const outputs = gradientsBy(e)
  const { graph, types } = lowerPlain({ ...result, ...grown(result, e) })
  const typed = (name: string) => valueInfo(name, 'float32', types.get(name)?.shape)
  const wanted = [...new Set(outputs.filter((o) => o !== undefined))]
  const step = makeModel(
    {
      nodes: graph.nodes,
      initializers: graph.initializers,
      inputs: [...form.graph.inputs.filter((i) => !graph.initializers.has(i.name)), ...[target, ...vectors].map(typed)],
      outputs: wanted.map(typed),
    },
    special.model.opsets.find((o) => isOnnxDomain(o.domain))?.version,
  )
  const session = await openSession({ ...step, irVersion: irVersionOf(opsetOf(step)) })
  const masks = Object.fromEntries(form.masks.map((m) => [m.input, ones(m.shape)]))
  const energies: number[] = []
  return {
    energies,
    async of({ feeds, labels, answers }, given = []) {
      const known = answers?.data ?? {
        ...{ id: 'labels', length: labels.length, fields: {} },
        labels: Int32Array.from(labels),
      }
      const data = targetsFor(objective, known, [...new Array(known.length).keys()], { shape })
      const all: Record<string, Value> = { ...feeds, ...masks, [target]: { dtype: 'float32', dims: [...shape], data } }
      vectors.forEach((name, i) => {
        all[name] = { dtype: 'float32', dims: [...weights[i].tensor.dims], data: given[i] }
      })
      const found = await session.run(all, wanted)
      const gradients = outputs.map((o, i) =>
        o === undefined
          ? new Float32Array(sizeOf(weights[i].tensor.dims))
          : Float32Array.from(found[o].data as Float32Array),
      )
      energies.push(energyOf(gradients))
      return gradients
    },
    release: () => session.release(),
  }
}

function ones(dims: readonly number[]): Value {
  return { dtype: 'float32', dims: [...dims], data: new Float32Array(sizeOf(dims)).fill(1) }
}

/** Says so where a few of the calls decide alone: samples that a network has memorised have no gradient to speak of. */
export function warnOfSilence(subject: string, { energies }: Gradients, context: Context): void {
  const mean = energies.reduce((a, b) => a + b, 0) / energies.length
  const silent = energies.filter((e) => e <= 1e-6 * mean).length
  if (silent < 0.9 * energies.length) return
  context.warn?.(
    `${subject}: ${silent} of ${energies.length} batches have near-zero gradients (the network has memorised them); the others alone decide, and magnitude, lamp or obs may keep more`,
  )
}

function energyOf(gradients: readonly Float32Array[]): number {
  let sum = 0
  for (const g of gradients) for (let k = 0; k < g.length; k++) sum += g[k] * g[k]
  return sum
}

/** For gradients on batches like that one. */
export function gradientOptions({ feeds, answers }: GradientBatch): GradientOptions {
  return { inputShapes: shapesOf(feeds), ...(answers ? { objective: answers.objective } : {}) }
}

export function shapesOf(feeds: Feeds): Record<string, readonly number[]> {
  return Object.fromEntries(Object.entries(feeds).map(([name, v]) => [name, v.dims]))
}

/**
 * The samples that a method may take gradients on, one at a time or by the batch as they come: labelled ones, those of a training
 * set with targets, or calibration inputs with labels drawn from the model's own scores (which gives Fisher's information at its output).
 * The first batches are taken: whoever gives them sees to it that they hold all classes. Undefined where the context has neither.
 */
export async function gradientBatches(
  model: Model,
  context: Context,
  options: { readonly samples: number },
): Promise<GradientBatch[] | undefined> {
  const { data } = context
  const source =
    data?.labelled?.(options) ??
    withTargets(model, context, options) ??
    (data ? await drawLabels(model, context, options) : undefined)
  if (!source) return undefined
  const batches: GradientBatch[] = []
  let seen = 0
  for (const batch of source) {
    if (seen >= options.samples) break
    batches.push(batch)
    seen += batch.labels.length
  }
  return batches.length > 0 ? batches : undefined
}

/** Batches of a training set that has targets; undefined where there is none. */
function withTargets(
  model: Model,
  { data, task, seed = 0 }: Context,
  { samples }: { readonly samples: number },
): Iterable<GradientBatch> | undefined {
  if (!data?.train?.targets || !data.batcher) return undefined
  const { train, batcher } = data
  const objective = objectiveOf(model, train, task)
  const set = drawSamples(train, samples, seed)
  return [...fedBatches(batcher, set, usualTake.batchSize)].map(({ feeds, fed, indices }) => {
    const filled = Array.from({ length: fed }, (_, i) => indices[Math.min(i, indices.length - 1)])
    return { feeds, labels: new Int32Array(fed), answers: { data: subset(set, filled), objective } }
  })
}

async function drawLabels(
  model: Model,
  context: Context,
  options: { readonly samples: number },
): Promise<LabelledFeeds[]> {
  const rng = random(context.seed ?? 0)
  const objective = objectiveOfLabels(model)
  return withSession(
    () => openSession(onlyOutput(model, objective.output)),
    async (session) => {
      const batches: LabelledFeeds[] = []
      for (const feeds of context.data?.calibration(options) ?? []) {
        const scores = (await session.run(feeds, [objective.output]))[objective.output]
        const rows = scores.dims[0]
        const classes = scores.data.length / rows
        const labels = Int32Array.from({ length: rows }, (_, i) => {
          const row = (floatValues(scores) as Float32Array).subarray(i * classes, (i + 1) * classes)
          return drawn(objective, row, rng.next())
        })
        batches.push({ feeds, labels })
      }
      return batches
    },
  )
}

/** The class that a number of [0, 1) draws by a row's probabilities. */
function drawn({ kind, probabilities }: Objective, row: Float32Array, chance: number): number {
  if (kind !== 'classes') return Number(chance < (probabilities ? row[0] : 1 / (1 + Math.exp(-row[0]))))
  const top = Math.max(...row)
  const weights = Array.from(row, (v) => (probabilities ? v : Math.exp(v - top)))
  let left = chance * weights.reduce((a, b) => a + b, 0)
  const at = weights.findIndex((w) => {
    left -= w
    return left < 0
  })
  return at < 0 ? row.length - 1 : at
}

/**
 * Each sample of a batch as a batch of its own; where the model takes one size of batch only, that many times the sample,
 * since the mean of their losses is its loss.
 */
export function* singles(model: Model, { feeds, labels, answers }: GradientBatch): Generator<GradientBatch> {
  const axes = new Map(requiredInputs(model).map((input) => [input.name, { input, axis: batchAxisOf(input, model) }]))
  const batched = [...axes.values()].filter(
    ({ input, axis }) => axis !== undefined && feeds[input.name].dims[axis] >= labels.length,
  )
  const sizes = batched.map(({ input, axis }) => input.shape?.[axis!])
  const fixed = sizes.length > 0 && sizes.every((size) => typeof size === 'number' && size > 0)
  const copies = fixed ? Math.min(...(sizes as number[])) : 1
  const rows = Math.max(copies, labels.length)
  for (let i = 0; i < labels.length; i++) {
    const one = Object.entries(feeds).map(([name, value]) => {
      const axis = axes.get(name)?.axis
      if (axis === undefined || value.dims[axis] !== rows) return [name, value] as const
      return [name, pickSamples(value, axis, new Array(copies).fill(i))] as const
    })
    yield {
      ...{ feeds: Object.fromEntries(one), labels: Array(copies).fill(labels[i]) },
      ...(answers ? { answers: { ...answers, data: subset(answers.data, Array(copies).fill(i)) } } : {}),
    }
  }
}
