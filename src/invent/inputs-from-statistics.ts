/**
 * Inputs made from a model alone: its BatchNormalizations store the mean and variance of what they read in training, and
 * gradients change random inputs until a batch of them has the same (ZeroQ: Cai et al. 2020, arXiv:2001.00281, section 3.1;
 * each channel's difference counts in units of its own deviation here, so that no layer dominates).
 */
import { stopIfAborted } from '../errors.ts'
import { backward, grown } from '../grad/backward.ts'
import { lowerPlain } from '../grad/lower-plain.ts'
import { specialize } from '../grad/specialize.ts'
import { trainingForm } from '../grad/training-form.ts'
import { model as makeModel, nameSource, valueInfo } from '../graph/build.ts'
import { constantOf, producersOf } from '../graph/walk.ts'
import type { Context, Feeds } from '../method.ts'
import { irVersionOf, isOnnxDomain, type Model, type Node, opsetOf } from '../model.ts'
import { add, createEmitter, type Emitter, mul, reduce, scale, shift, sub } from '../ops/grad/emit.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { forTraining } from '../simplify/float32-arithmetic.ts'
import { adamSteps } from '../tensor/adam.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

export interface InventOptions extends Pick<Context, 'seed' | 'signal' | 'progress'> {
  readonly batches: number
  readonly batchSize: number
  /** Steps per batch; default 100. */
  readonly steps?: number
}

/** Step of Adam at first, in units of the inputs' deviation; it falls to 0 by half a cosine. */
const rate = 0.1

/** Whether a model has what inputs can be made from: BatchNormalizations, and one input of float32 whose samples have a shape. */
export function hasStatistics(model: Model): boolean {
  return statisticsOf(model).length > 0 && sampleShapeOf(model) !== undefined
}

/** Batches of inputs. Throws where `hasStatistics` says no, or a gradient is missing. */
export async function inputsFromStatistics(model: Model, options: InventOptions): Promise<Feeds[]> {
  const { batches, batchSize, steps = 100, seed = 0, signal, progress } = options
  const sample = sampleShapeOf(model)
  if (!sample || statisticsOf(model).length === 0)
    throw new Error('inputs from statistics: the model has no BatchNormalization or not one input of float32')
  const { name, dims } = { ...sample, dims: [batchSize, ...sample.shape] }
  const rng = random(seed)
  const { model: gradientModel, loss, gradient } = gradientStep(model, name, dims)
  return withSession(
    () => openSession(gradientModel, { name: 'inputs from statistics' }),
    async (session) => {
      const made: Feeds[] = []
      for (let b = 0; b < batches; b++) {
        const x = Float32Array.from({ length: sizeOf(dims) }, () => rng.normal())
        const step = adamSteps(x.length)
        for (let t = 1; t <= steps; t++) {
          stopIfAborted(signal, 'inputs from statistics')
          const found = await session.run({ [name]: { dtype: 'float32', dims, data: x } }, [loss, gradient])
          step(x, found[gradient].data as Float32Array, (rate * (1 + Math.cos((Math.PI * (t - 1)) / steps))) / 2)
          progress?.((b + t / steps) / batches, 'making inputs from statistics')
        }
        made.push({ [name]: { dtype: 'float32', dims, data: x } })
      }
      return made
    },
  )
}

/** The one input, and the shape of one sample. */
function sampleShapeOf({ graph }: Model): { readonly name: string; readonly shape: number[] } | undefined {
  const [input, ...others] = graph.inputs.filter((i) => !graph.initializers.has(i.name))
  if (!input || others.length > 0 || input.dtype !== 'float32' || !input.shape || input.shape.length < 2)
    return undefined
  const shape = input.shape.slice(1).flatMap((d) => (typeof d === 'number' && d > 0 ? [d] : []))
  return shape.length === input.shape.length - 1 ? { name: input.name, shape } : undefined
}

/** The nodes whose stored statistics are known. */
function statisticsOf({ graph }: Pick<Model, 'graph'>): Node[] {
  const producers = producersOf(graph)
  return graph.nodes.filter(
    (n) =>
      n.op === 'BatchNormalization' &&
      isOnnxDomain(n.domain) &&
      [3, 4].every((i) => constantOf(graph, n.inputs[i] ?? '', producers)?.dtype === 'float32'),
  )
}

/** The model that gives the loss and its gradient by the input. */
function gradientStep(model: Model, input: string, dims: readonly number[]) {
  const special = specialize(forTraining(model), { [input]: dims })
  const form = trainingForm(special, { frozenStatistics: true })
  const g = createEmitter(form.types, nameSource(form.graph))
  const norms = statisticsOf({ graph: form.graph })
  const parts = norms.map((n) => differenceOf(g, form.graph, n))
  const loss = scale(
    g,
    parts.reduce((a, b) => add(g, a, b)),
    1 / parts.length,
  )
  const result = backward(grown(form, g), loss, [input])
  const gradient = result.gradients.get(input)
  if (!gradient) throw new Error(`inputs from statistics: no BatchNormalization depends on the input "${input}"`)
  const lowered = lowerPlain(result)
  const typed = (name: string) => valueInfo(name, 'float32', lowered.types.get(name)?.shape)
  const { nodes, initializers } = lowered.graph
  const made = makeModel(
    { nodes, initializers, inputs: [valueInfo(input, 'float32', dims)], outputs: [typed(loss), typed(gradient)] },
    opsetOf(special.model),
  )
  return { model: { ...made, irVersion: irVersionOf(opsetOf(made)) }, loss, gradient }
}

/** Mean over channels of ((m - μ) / σ)² + ((s - σ) / σ)², for the mean m and deviation s of the batch. */
function differenceOf(g: Emitter, graph: Model['graph'], norm: Node): string {
  const producers = producersOf(graph)
  const [x, , , meanName, varianceName] = norm.inputs
  const [mean, variance] = [meanName, varianceName].map((name) => floats(constantOf(graph, name, producers)!))
  const shape = g.shape(x)
  const axes = shape.map((_, i) => i).filter((i) => i !== 1)
  const channels = shape.map((d, i) => (i === 1 ? d : 1))
  // A channel that hardly moved in training would count without bound.
  const floor =
    1e-4 *
    Math.max(
      1e-12,
      variance.reduce((a, b) => Math.max(a, b), 0),
    )
  const deviation = variance.map((v) => Math.sqrt(Math.max(v, floor)))
  const constant = (values: Float32Array): string => g.constant(values, 'float32', channels)
  const inverse = constant(deviation.map((s) => 1 / s))
  const found = reduce(g, 'ReduceMean', x, { axes, keepDims: true })
  const centred = sub(g, x, found)
  const spread = reduce(g, 'ReduceMean', mul(g, centred, centred), { axes, keepDims: true })
  const apart = mul(g, sub(g, found, constant(mean)), inverse)
  const wider = shift(g, mul(g, g.op('Sqrt', [shift(g, spread, 1e-8)]), inverse), -1)
  const squares = add(g, mul(g, apart, apart), mul(g, wider, wider))
  return scale(g, reduce(g, 'ReduceSum', squares), 1 / shape[1])
}
