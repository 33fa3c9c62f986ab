/** The layers that can be factorised, each as its kernel and the nodes that use it, and those that cannot, with the reason. */
import { didYouMean } from '../errors.ts'
import { node as makeNode } from '../graph/build.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import type { GraphEdit } from '../graph/edit.ts'
import { capturedBy, intAttribute, intsAttribute, producersOf, stringAttribute } from '../graph/walk.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import { isOnnxDomain, type Model, type Node, opsetOf, type Tensor, withGraph } from '../model.ts'
import type { Known, Shapes } from '../ops/shape.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { type DataType, floats, floatValues, isFloat, tensorOfFloats } from '../tensor/dtype.ts'

/** A weight with all nodes that use it, alike. */
export interface FactorLayer {
  /** Its weight's name. */
  readonly name: string
  readonly op: 'Conv' | 'Gemm' | 'MatMul'
  readonly nodes: readonly Node[]
  readonly dtype: DataType
  readonly groups: number
  /** Output and input channels per group. */
  readonly outputs: number
  readonly inputs: number
  /** Sizes of the kernel; none of a dense layer. */
  readonly kernel: readonly number[]
  /** [groups, outputs, inputs, ...kernel]. */
  readonly weights: Float64Array
  /** Places that the nodes read and make, together: of one sample where they are known, otherwise to scale. */
  readonly places: { readonly read: number; readonly made: number }
  /** Of each spatial axis, how many places are read per place made. */
  readonly strides: readonly number[]
}

export interface FoundLayers {
  readonly layers: readonly FactorLayer[]
  /** By the weight's name, why it cannot be factorised. */
  readonly others: ReadonlyMap<string, string>
  readonly shapes: Shapes
}

export const placesIn = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1)

/** Multiply-adds of the layer as it is. */
export function macsOf({ groups, outputs, inputs, kernel, places }: FactorLayer): number {
  return places.made * groups * outputs * inputs * placesIn(kernel)
}

/** All layers of a model with weights of their own: convolutions of one and two dimensions, Gemm and MatMul. */
export async function findLayers(model: Model): Promise<FoundLayers> {
  const shapes = inferShapes(model)
  const layers: FactorLayer[] = []
  const others = new Map<string, string>()
  const read = constantReader(model)
  for (const weight of weightTensors(model)) {
    if (!weight.uses.some(({ node }) => isProduct(node))) continue
    const found = await layerOf(model, weight, { shapes, read })
    if (typeof found === 'string') others.set(weight.name, found)
    else layers.push(found)
  }
  return { layers, others, shapes }
}

const isProduct = ({ op, domain }: Node): boolean =>
  isOnnxDomain(domain) && (op === 'Conv' || op === 'Gemm' || op === 'MatMul')

interface Around {
  readonly shapes: Shapes
  readonly read: (name: string) => Promise<Tensor | string>
}

async function layerOf(model: Model, weight: WeightTensor, { shapes, read }: Around): Promise<FactorLayer | string> {
  const { graph } = model
  const nodes = [...new Set(weight.uses.map((u) => u.node))]
  const [first] = nodes
  const name = first.inputs[1]
  if (nodes.some((n) => !graph.nodes.includes(n))) return 'it is read in a nested graph or a local function'
  if (nodes.some((n) => !isProduct(n)) || weight.uses.some((u) => u.input !== 1))
    return 'it is read by other operators too, or as a first input'
  if (nodes.some((n) => n.inputs[1] !== name || formOf(n) !== formOf(first)))
    return 'its layers read it in different ways'
  const readers = graph.nodes.filter((n) => n.inputs.includes(name) || capturedBy(n).has(name))
  if (readers.length > nodes.length || graph.outputs.some((o) => o.name === name))
    return 'it is read by other operators too, or as a first input'
  if (!isFloat(weight.tensor.dtype)) return `it is stored as ${weight.tensor.dtype}`
  const tensor = await read(name)
  if (typeof tensor === 'string') return tensor
  const { dims, dtype } = tensor
  const values = new Float64Array(floats(tensor))
  if (!allFinite(values)) return 'it holds NaN or infinity'
  const dense = { name: weight.name, nodes, dtype, groups: 1, kernel: [], strides: [] }
  if (first.op !== 'Conv') {
    if (dims.length !== 2) return `it has ${dims.length} axes; matrices have 2`
    if (intAttribute(first, 'transA', 0) === 1) return 'its layer transposes its inputs'
    const turned = first.op === 'Gemm' && intAttribute(first, 'transB', 0) === 1
    const [outputs, inputs] = turned ? dims : [dims[1], dims[0]]
    const weights = turned ? values : swapped(values, inputs, outputs)
    const count = nodes.length
    return { ...dense, op: first.op as 'Gemm', outputs, inputs, weights, places: { read: count, made: count } }
  }
  if (dims.length !== 3 && dims.length !== 4) return `convolutions of ${dims.length - 2} dimensions are left alone`
  const groups = intAttribute(first, 'group', 1)
  const kernel = dims.slice(2)
  const strides = intsAttribute(first, 'strides') ?? kernel.map(() => 1)
  const places = { read: 0, made: 0 }
  for (const node of nodes) {
    const made = spatial(shapes.values.get(node.outputs[0]))
    const given = spatial(shapes.values.get(node.inputs[0]))
    places.made += made ?? 1
    places.read += made !== undefined && given !== undefined ? given : (made ?? 1) * placesIn(strides)
  }
  const sizes = { outputs: dims[0] / groups, inputs: dims[1], groups }
  return { ...dense, op: 'Conv', ...sizes, kernel, weights: values, places, strides }
}

/** What nodes that share a weight have to have in common. */
function formOf({ op, attributes }: Node): string {
  const { transA, transB, group } = attributes
  return JSON.stringify([op, [transA, transB, group].map((a) => (a?.type === 'int' ? Number(a.value) : undefined))])
}

function spatial(known: Known | undefined): number | undefined {
  const sizes = known?.shape?.slice(2)
  return sizes?.every((d) => typeof d === 'number') ? placesIn(sizes as number[]) : undefined
}

function allFinite(values: Float64Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false
  return true
}

export function swapped(values: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(values.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]
  return out
}

/** Reads values that follow from stored tensors alone (a transposed weight, a sum of two), as ONNX Runtime computes them; or says why not. */
function constantReader(model: Model): (name: string) => Promise<Tensor | string> {
  const { graph } = model
  const producers = producersOf(graph)
  return async (name) => {
    const stored = graph.initializers.get(name)
    if (stored) return stored
    const needed = new Set<string>([name])
    for (const value of needed) {
      const node = producers.get(value)
      if (!node) continue
      if (/uantizeLinear$/.test(node.op)) return 'it is quantised'
      for (const input of [...node.inputs, ...capturedBy(node)]) if (input) needed.add(input)
    }
    const part = dropUnused({ ...graph, inputs: [], outputs: [{ name }], valueInfo: [] })
    const { [name]: value } = await withSession(
      () => openSession(withGraph(model, part), { optimize: 'disabled' }),
      (session) => session.run({}),
    )
    const numbers = floatValues(value)
    if (!numbers) return `it is computed as ${value.dtype}`
    return tensorOfFloats(name, value.dtype as DataType, value.dims, Float64Array.from(numbers))
  }
}

/** Those that the caller asks for: all, or the named ones, without those that are to stay. Throws at names that no weight has. */
export function chosenOf(
  id: string,
  { layers, others }: FoundLayers,
  { only, exclude }: { readonly only: readonly string[]; readonly exclude: readonly string[] },
): FactorLayer[] {
  const names = new Set([...layers.map((l) => l.name), ...others.keys()])
  for (const name of [...only, ...exclude])
    if (!names.has(name))
      throw new Error(`${id}: there is no layer with the weight "${name}"${didYouMean(name, names)}`)
  return layers.filter((l) => (only.length === 0 || only.includes(l.name)) && !exclude.includes(l.name))
}

/** One of the layers that stand for another, in order. */
export interface Factor {
  /** What it is called after the layer's weight: `in`, `core`, `out`. */
  readonly suffix: string
  /** A convolution's weights, [outputs, inputs per group, ...kernel]; a dense layer's [outputs, inputs]. */
  readonly dims: readonly number[]
  readonly values: Float64Array
  /** Of a convolution, which of the layer's strides, dilations and pads it has along each axis; none of a kernel of ones. */
  readonly axes?: readonly boolean[]
  readonly groups?: number
}

export interface Factors {
  readonly factors: readonly Factor[]
  /** Added to the layer's bias, per output: what the factors lose of the outputs' means. */
  readonly bias?: Float64Array
  /** Of each group. */
  readonly losses: readonly Loss[]
}

/** Squared norms, of the weights or in the norm of the data. */
export interface Loss {
  /** Of the weights less what the factors make of them. */
  readonly lost: number
  /** Of the weights. */
  readonly whole: number
}

/** Puts factors in place of a layer. */
export function putFactors(model: Model, edit: GraphEdit, layer: FactorLayer, { factors, bias }: Factors): void {
  const turned = layer.op === 'MatMul'
  const stored = factors.map(({ suffix, dims, values }, i) => {
    const isLast = i === factors.length - 1
    // A dense layer's first factors are plain products, which every operator set knows without a bias.
    const asColumns = layer.op !== 'Conv' && (turned || !isLast)
    const name = edit.fresh(`${layer.name}_${suffix}`)
    const [rows, columns] = dims
    return edit.store(
      asColumns
        ? tensorOfFloats(name, layer.dtype, [columns, rows], swapped(values, rows, columns))
        : tensorOfFloats(name, layer.dtype, dims, values),
    )
  })
  for (const node of layer.nodes) {
    let value = node.inputs[0]
    const made: Node[] = []
    for (const [i, factor] of factors.entries()) {
      const isLast = i === factors.length - 1
      const output = isLast ? node.outputs[0] : edit.fresh(`${node.outputs[0]}_${factor.suffix}`)
      const inputs = [value, stored[i]]
      if (isLast) inputs.push(...biasOf(model, edit, { node, dtype: layer.dtype, bias }))
      made.push(
        factorNode(node, layer, {
          factor,
          inputs,
          output,
          isLast,
          name: edit.fresh(`${node.name || output}_${factor.suffix}`),
        }),
      )
      value = output
    }
    edit.replace(node, made)
  }
}

interface Placed {
  readonly factor: Factor
  readonly inputs: readonly string[]
  readonly output: string
  readonly isLast: boolean
  readonly name: string
}

function factorNode(node: Node, { op, kernel, groups }: FactorLayer, placed: Placed): Node {
  const { factor, inputs, output, isLast, name } = placed
  if (op !== 'Conv') {
    if (op === 'MatMul' || !isLast) return makeNode('MatMul', inputs, [output], {}, { name })
    const { alpha, beta } = node.attributes
    return makeNode('Gemm', inputs, [output], { transB: 1, alpha, beta }, { name })
  }
  const axes = factor.axes ?? kernel.map(() => false)
  const own = (name: string, rest: number): number[] | undefined =>
    intsAttribute(node, name)?.map((v, i) => (axes[i % axes.length] ? v : rest))
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET')
  const isPlain = !axes.includes(true)
  return makeNode(
    'Conv',
    inputs,
    [output],
    {
      kernel_shape: factor.dims.slice(2),
      group: factor.groups ?? groups,
      ...(isPlain ? {} : { strides: own('strides', 1), dilations: own('dilations', 1) }),
      ...(isPlain ? {} : auto === 'NOTSET' ? { pads: own('pads', 0) } : { auto_pad: auto }),
    },
    { name },
  )
}

/** Whether what factors lose of a layer's means can be given back: its bias is stored, or it can have one. */
export function takesBias(model: Model, { op, nodes, outputs, groups }: FactorLayer): boolean {
  if (nodes.length > 1 || op === 'MatMul') return false
  const [{ inputs, attributes }] = nodes
  const isOne = (name: string): boolean => attributes[name]?.type !== 'float' || attributes[name].value === 1
  if (!isOne('alpha') || !isOne('beta')) return false
  const name = inputs[2]
  if (!name) return op === 'Conv' || opsetOf(model) >= 11
  const stored = model.graph.initializers.get(name)
  return stored !== undefined && stored.dims.length === 1 && stored.dims[0] === outputs * groups
}

interface Biased {
  readonly node: Node
  readonly dtype: DataType
  readonly bias?: Float64Array
}

/** The inputs of a layer's last node beyond its weights. */
function biasOf(model: Model, edit: GraphEdit, { node, dtype, bias }: Biased): string[] {
  const name = node.inputs[2]
  if (!bias) return name ? [name] : []
  const before = name ? model.graph.initializers.get(name) : undefined
  const values = before ? floats(before) : new Float32Array(bias.length)
  const sum = bias.map((b, i) => b + values[i])
  return [edit.store(tensorOfFloats(edit.fresh(name || `${node.inputs[1]}_bias`), dtype, [bias.length], sum), name)]
}
