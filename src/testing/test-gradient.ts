/**
 * The conformance check of backward rules: a node's gradients against central differences of ONNX Runtime's own forward
 * results, in float64 where the runtime has the operator in it, else in float32. Done twice: the gradient's own
 * gradient is checked the same way.
 */
import { backward, grown, type TypedGraph } from '../grad/backward.ts'
import { lowerPlain } from '../grad/lower-plain.ts'
import { model as makeModel, nameSource, node, valueInfo } from '../graph/build.ts'
import type { Feeds, Value } from '../method.ts'
import type { Graph, Model, Tensor } from '../model.ts'
import { createEmitter, mul, sum, type Types, type ValueType } from '../ops/grad/emit.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

export interface GradientCase {
  readonly op: string
  /** Says which variant it is. */
  readonly name?: string
  /** Inputs that are differentiated for, by their shapes; values are seeded. Undefined: left out. */
  readonly inputs: readonly (readonly number[] | undefined)[]
  /** Where values lie; default [-2, 2]. */
  readonly range?: readonly [number, number]
  /** Inputs after those, which stay as they are: whole numbers (int64), or floats of the tested type. */
  readonly constants?: readonly (
    | { readonly ints: readonly number[]; readonly dims?: readonly number[] }
    | { readonly floats: readonly number[]; readonly dims?: readonly number[] }
    | { readonly bools: readonly number[]; readonly dims: readonly number[] }
    | undefined
  )[]
  /** Puts the constants in front. */
  readonly constantsFirst?: boolean
  readonly attributes?: Parameters<typeof node>[3]
  readonly domain?: string
  readonly outputs?: number
  /** Which of the outputs are left out. */
  readonly without?: readonly number[]
  /** The operator set; default 20. */
  readonly opset?: number
  /** For macros, which shape inference does not know. */
  readonly outputShapes?: readonly (readonly number[])[]
  /** Operators without float64 kernels somewhere in the chain. */
  readonly float32?: boolean
  /** Why the second derivative is not checked. */
  readonly once?: string
}

type Float = 'float32' | 'float64'

/** Gives the largest error of first and second derivatives, relative to the largest derivative. */
export async function gradientErrors(test: GradientCase, seed = 1): Promise<{ first: number; second: number }> {
  const dtype: Float = test.float32 ? 'float32' : 'float64'
  const forward = forwardGraph(test, dtype)
  const names = differentiatedFor(test)
  const once = backward(forward, 'loss', names)
  const values = inputValues(test, dtype, seed)
  const measured = { values, dtype, opset: test.opset }
  const first = await compare(forward, 'loss', { ...once, names }, measured)
  if (test.once) return { first, second: 0 }
  const gradients = names.flatMap((name) => once.gradients.get(name) ?? [])
  const scalar = probe(once, gradients, { vectors: drawn(once, gradients, seed + 99) })
  const twice = backward(scalar, 'probe', names)
  const second = await compare(scalar, 'probe', { ...twice, names }, measured)
  return { first, second }
}

/** The names of the inputs that are differentiated for. */
export function differentiatedFor(test: GradientCase): string[] {
  return test.inputs.flatMap((shape, i) => (shape ? [`x${i}`] : []))
}

/** loss = Σ over outputs of <output, fixed random numbers>. */
export function forwardGraph(test: GradientCase, dtype: Float): TypedGraph {
  const initializers = new Map<string, Tensor>()
  const constants = (test.constants ?? []).map((c, i) => {
    if (!c) return ''
    const name = `c${i}`
    if ('ints' in c) initializers.set(name, integerTensor(name, 'int64', c.dims ?? [c.ints.length], c.ints))
    else if ('bools' in c) initializers.set(name, integerTensor(name, 'bool', c.dims, c.bools))
    else initializers.set(name, floatsAs(name, dtype, c.dims ?? [c.floats.length], c.floats))
    return name
  })
  const names = differentiatedFor(test)
  const given = test.inputs.map((shape, i) => (shape ? `x${i}` : ''))
  const all = Array.from({ length: test.outputs ?? 1 }, (_, i) => (test.without?.includes(i) ? '' : `y${i}`))
  const outputs = all.filter((name) => name)
  const inputs = test.constantsFirst ? [...constants, ...given] : [...given, ...constants]
  const tested = node(test.op, inputs, all, test.attributes, test.domain ? { domain: test.domain } : {})
  const graph: Graph = {
    name: 'forward',
    nodes: [tested],
    initializers,
    inputs: names.map((name) => valueInfo(name, dtype, test.inputs[given.indexOf(name)])),
    outputs: outputs.map((name) => valueInfo(name, dtype)),
  }
  const shapes = inferShapes(makeModel(graph, test.opset ?? 20)).values
  const types = new Map<string, ValueType>(
    [...shapes].map(([name, known]) => [name, { dtype: known.dtype ?? dtype, shape: (known.shape ?? []) as number[] }]),
  )
  outputs.forEach((name, i) => {
    const shape = test.outputShapes?.[i]
    if (shape) types.set(name, { dtype, shape })
  })
  const floating = outputs.filter((name) => types.get(name)?.dtype === dtype)
  const typed = { graph, types }
  return probe(typed, floating, { vectors: drawn(typed, floating, 7), name: 'loss' })
}

interface ProbeOptions {
  /** One for each value, of its size. */
  readonly vectors: readonly Float32Array[]
  /** Of the scalar. */
  readonly name?: string
}

/** Appends the scalar Σ <value, vector>. */
export function probe(
  { graph, types }: TypedGraph,
  values: readonly string[],
  { vectors, name = 'probe' }: ProbeOptions,
): TypedGraph {
  const g = createEmitter(types, nameSource(graph))
  const parts = values.map((v, i) => sum(g, mul(g, v, g.constant(vectors[i], g.dtype(v), g.shape(v)))))
  const total = parts.reduce((a, b) => g.op('Add', [a, b]))
  g.nodes.push(node('Identity', [total], [name]))
  g.types.set(name, { dtype: g.dtype(total), shape: [] })
  return grown({ graph, types }, g)
}

/** Seeded vectors for `probe`, uniform in [-1, 1]. */
export function drawn({ types }: TypedGraph, values: readonly string[], seed: number): Float32Array[] {
  const rng = random(seed)
  return values.map((v) => Float32Array.from({ length: sizeOf(types.get(v)?.shape ?? []) }, () => rng.next() * 2 - 1))
}

interface Differentiated {
  readonly graph: Graph
  readonly types: Types
  readonly gradients: ReadonlyMap<string, string>
  readonly names: readonly string[]
}

async function compare(
  forward: TypedGraph,
  of: string,
  { graph, types, gradients, names }: Differentiated,
  { values, dtype, opset }: { values: Readonly<Record<string, Value>>; dtype: Float; opset?: number },
): Promise<number> {
  const wanted = names.filter((name) => gradients.has(name)).map((name) => gradients.get(name) as string)
  const analytic = await evaluate({ graph, types }, wanted, values, { dtype, opset })
  const measure = await opener(forward, of, { dtype, opset })
  const eps = dtype === 'float64' ? 1e-5 : 2e-2
  let worst = 0
  let largest = dtype === 'float64' ? 1e-3 : 1e-1
  for (const name of names) {
    const value = values[name]
    const data = value.data as Float64Array
    const count = Math.min(data.length, 40)
    const gradient = gradients.has(name) ? (analytic[gradients.get(name) as string].data as Float64Array) : undefined
    for (let k = 0; k < count; k++) {
      const i = Math.floor((k * data.length) / count)
      const at = async (delta: number): Promise<number> => {
        const moved = data.slice()
        moved[i] += delta
        return measure.run(copied({ ...values, [name]: { ...value, data: moved } }))
      }
      const numeric = ((await at(eps)) - (await at(-eps))) / (2 * eps)
      const found = gradient ? gradient[i] : 0
      largest = Math.max(largest, Math.abs(numeric))
      worst = Math.max(worst, Number.isFinite(found) ? Math.abs(found - numeric) : Number.POSITIVE_INFINITY)
    }
  }
  await measure.release()
  return worst / largest
}

interface Evaluated {
  readonly dtype: Float
  /** Default 20. */
  readonly opset?: number
}

function asModel({ graph, types }: TypedGraph, outputs: readonly string[], { dtype, opset = 20 }: Evaluated): Model {
  const lowered = lowerPlain({ graph, types })
  const model = makeModel(
    {
      ...lowered.graph,
      outputs: [...new Set(outputs)].map((name) => valueInfo(name, dtype, lowered.types.get(name)?.shape)),
    },
    opset,
  )
  const domains = new Set(lowered.graph.nodes.flatMap((n) => n.domain || []))
  return { ...model, opsets: [...model.opsets, ...[...domains].map((domain) => ({ domain, version: 1 }))] }
}

/** The values of some of a graph's outputs, macros expanded. */
export async function evaluate(graph: TypedGraph, outputs: readonly string[], feeds: Feeds, as: Evaluated) {
  if (outputs.length === 0) return {}
  const session = await openSession(asModel(graph, outputs, as), { threads: 1 })
  try {
    return await session.run(copied(feeds))
  } finally {
    await session.release()
  }
}

/** ONNX Runtime's BatchNormalization writes running statistics over its inputs, the caller's arrays included. */
function copied(feeds: Feeds): Feeds {
  return Object.fromEntries(Object.entries(feeds).map(([name, v]) => [name, { ...v, data: v.data.slice() }]))
}

async function opener(graph: TypedGraph, of: string, as: Evaluated) {
  const session = await openSession(asModel(graph, [of], as), { threads: 1 })
  return {
    run: async (feeds: Feeds): Promise<number> => Number((await session.run(feeds))[of].data[0]),
    release: () => session.release(),
  }
}

/** Values a little apart from each other, so that no maximum is a tie and no kink is near. */
export function inputValues(test: GradientCase, dtype: Float, seed: number): Record<string, Value> {
  const rng = random(seed)
  const [low, high] = test.range ?? [-2, 2]
  const values: Record<string, Value> = {}
  test.inputs.forEach((dims, k) => {
    if (!dims) return
    const size = sizeOf(dims)
    const places = Array.from({ length: size }, (_, i) => i)
    for (let i = size - 1; i > 0; i--) {
      const j = rng.below(i + 1)
      ;[places[i], places[j]] = [places[j], places[i]]
    }
    const list = places.map(
      (p) => low + ((p + 0.5 + 0.3 * (rng.next() - 0.5) + 0.07 * k) / (size + 0.5)) * (high - low),
    )
    values[`x${k}`] = { dtype, dims, data: dtype === 'float64' ? Float64Array.from(list) : Float32Array.from(list) }
  })
  return values
}

function floatsAs(name: string, dtype: Float, dims: readonly number[], values: readonly number[]): Tensor {
  const array = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values)
  return { name, dtype, dims, data: bytesOf(array) }
}
