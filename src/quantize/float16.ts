/**
 * float16: weights in 16 bits, half the file; with `arithmetic: float16` the model also computes in 16 bits, for graphics
 * processors (WebGPU, CUDA). Inputs and outputs keep their types.
 *
 * With `arithmetic: float32` runtimes widen the weights when they load the model, so it runs as fast as before on any
 * processor; on processors without 16-bit arithmetic, 16-bit models are slower.
 */
import { node as makeNode } from '../graph/build.ts'
import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { capturedBy, describe, nodeName, producersOf, subgraphsOf } from '../graph/walk.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import {
  type Attribute,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  opsetOf,
  type Tensor,
  withGraph,
} from '../model.ts'
import { inputsOfFloat32, needsFloat32 } from '../ops/float16.ts'
import { since } from '../ops/operator-sets.ts'
import { inferShapes } from '../ops/shape.ts'
import { castForm, computeConstants, type Form } from '../simplify/compute-constants.ts'
import { inlined } from '../simplify/inline-functions.ts'
import { upgradeOpset } from '../simplify/upgrade.ts'
import { dataTypeOf, dataTypes, floats, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { checkNodeNames } from './node-names.ts'

type Half = 'float16' | 'bfloat16'

export const float16 = defineMethod({
  id: 'float16',
  help: 'stores weights in 16 bits, and computes in 16 bits where that is asked for',
  options: {
    type: {
      type: 'choice',
      of: ['float16', 'bfloat16'],
      default: 'float16',
      help: 'the 16-bit type: float16 has 3 decimal digits up to 65,504; bfloat16 has 2 over the range of float32',
    },
    arithmetic: {
      type: 'choice',
      of: ['float32', 'float16'],
      default: 'float32',
      help: 'what the model computes in: float32 suits processors; float16 suits graphics processors, and needs the type float16',
    },
    minElements: {
      type: 'number',
      default: 256,
      min: 1,
      integer: true,
      help: 'for float32 arithmetic: weights with fewer elements are left in float32',
    },
    excludeNodes: {
      type: 'strings',
      default: [],
      onlyWith: { arithmetic: ['float16'] },
      help: 'for float16 arithmetic: nodes that compute in float32, by name (or first output)',
    },
  },
  run(model, { type, arithmetic, minElements, excludeNodes }, context) {
    if (arithmetic === 'float32') return storedInHalves(model, { type, minElements, context })
    if (type !== 'float16')
      throw new Error('float16: --arithmetic float16 needs --type float16; processors rarely compute in bfloat16')
    // What stays in float32 has its weights stored in 16 bits at least.
    const computed = computedInHalves(model, new Set(excludeNodes), context)
    return storedInHalves(computed, { type, minElements, context })
  },
})

/** The largest finite float16. */
const largestHalf = 65504

/** Whether all elements are finite in that type. bfloat16 has float32's range, but for its last step. */
function fits(tensor: Tensor, type: Half): boolean {
  const largest = type === 'float16' ? largestHalf : 3.3895313892515355e38
  return floats(tensor).every((v) => !Number.isFinite(v) || Math.abs(v) <= largest)
}

/** Weights in 16 bits, each behind a Cast to float32. */
function storedInHalves(
  model: Model,
  { type, minElements, context }: { type: Half; minElements: number; context: Context },
): Model {
  const raised =
    type === 'bfloat16' && opsetOf(model) < since.bfloat16Casts ? upgradeOpset(model, since.bfloat16Casts) : model
  const forms = new Map<Tensor, Form>()
  for (const { name, tensor } of weightTensors(raised)) {
    if (tensor.dtype !== 'float32' || sizeOf(tensor.dims) < minElements) continue
    if (fits(tensor, type)) forms.set(tensor, castForm(tensor, type))
    else context.warn?.(`float16: "${name}" stays float32, as it has values beyond the range of ${type}`)
  }
  return computeConstants(raised, forms)
}

/**
 * Every float32 value may exist in two forms, `x` in float32 and `x_float16`. A node makes and reads one of them; a Cast
 * makes the other where some node wants it. What cannot compute in 16 bits reads and makes float32.
 */
function computedInHalves(given: Model, excluded: ReadonlySet<string>, context: Context): Model {
  const model = inlined(given)
  const { graph } = model
  const { values } = inferShapes(model)
  const edit = editGraph(model)
  const ending = endingRuntime(graph, producersOf(graph))
  checkNodeNames(model, [...excluded], 'float16')

  const isFloat = (name: string): boolean => values.get(name)?.dtype === 'float32'
  const isHalf = (node: Node): boolean =>
    !excluded.has(nodeName(node)) &&
    isOnnxDomain(node.domain) &&
    !needsFloat32(node) &&
    !ending.has(node) &&
    subgraphsOf(node).length === 0 &&
    node.outputs.every((name) => !name || values.get(name)?.dtype !== undefined) &&
    node.outputs.concat(node.inputs).some(isFloat)
  const forms = formsOf(edit, graph.initializers, context)

  const nodes: Node[] = []
  const stayed: Node[] = []
  for (const name of graph.inputs.map((i) => i.name)) if (isFloat(name)) forms.made(name, 'float32')
  for (const node of graph.nodes) {
    if (isHalf(node)) {
      const wide = inputsOfFloat32(node)
      const inputs = node.inputs.map((name, at) => {
        if (!isFloat(name)) return name
        return wide.has(at) ? forms.wide(name, nodes) : forms.half(name, nodes)
      })
      const outputs = node.outputs.map((name) => (name && isFloat(name) ? forms.made(name, 'float16') : name))
      nodes.push({ ...node, inputs, outputs, attributes: inHalves(node, context) })
    } else {
      for (const name of [...node.inputs, ...capturedBy(node)]) if (isFloat(name)) forms.wide(name, nodes)
      for (const name of node.outputs) if (name && isFloat(name)) forms.made(name, 'float32')
      nodes.push(node)
      if ([...node.inputs, ...capturedBy(node)].some(isFloat)) stayed.push(node)
    }
  }
  for (const { name } of graph.outputs) if (isFloat(name)) forms.wide(name, nodes)
  warnOfStayed(stayed, context)
  // Weights that a caller could override would override a value that nothing reads.
  const inputs = graph.inputs.filter((i) => !graph.initializers.has(i.name))
  const halved = edit.finishWith(nodes)
  return withGraph(halved, { inputs })
}

interface Forms {
  /** Notes in which form a node makes a value, and gives its name in that form. */
  made(name: string, form: 'float32' | 'float16'): string
  /** The value in float16; a Cast is put where it has to be made. */
  half(name: string, nodes: Node[]): string
  wide(name: string, nodes: Node[]): string
}

function formsOf(edit: GraphEdit, stored: ReadonlyMap<string, Tensor>, context: Context): Forms {
  const halves = new Map<string, string>()
  const wides = new Set<string>()
  const halfName = (name: string): string => {
    const found = halves.get(name) ?? edit.fresh(`${name}_float16`)
    halves.set(name, found)
    return found
  }
  return {
    made(name, form) {
      if (form === 'float16') return halfName(name)
      wides.add(name)
      return name
    },
    half(name, nodes) {
      if (halves.has(name)) return halfName(name)
      const tensor = stored.get(name)
      if (tensor) edit.store(halved(tensor, halfName(name), context), name)
      else nodes.push(makeNode('Cast', [name], [halfName(name)], { to: dataTypes.float16.code }))
      return halfName(name)
    },
    wide(name, nodes) {
      if (!stored.has(name) && !wides.has(name)) {
        wides.add(name)
        nodes.push(makeNode('Cast', [halves.get(name) as string], [name], { to: dataTypes.float32.code }))
      }
      return name
    },
  }
}

/**
 * Nodes at which ONNX Runtime (1.32 and before) ends the process when it loads them in float16 on a processor: a stored
 * matrix that multiplies a Transpose's output, which it makes one node without a 16-bit kernel, Cast between them or not.
 */
function endingRuntime({ nodes, initializers }: Graph, producers: ReadonlyMap<string, Node>): Set<Node> {
  const found = new Set<Node>()
  for (const node of nodes) {
    const transpose = producers.get(node.inputs[0])
    const isStored = initializers.get(node.inputs[1])?.dims.length === 2
    if (node.op === 'MatMul' && isStored && transpose?.op === 'Transpose') found.add(node).add(transpose)
  }
  return found
}

/** Attributes that say the type of a result. (`stash_type` says in what sums are kept, and stays.) */
const typeAttributes = new Set(['to', 'dtype', 'output_datatype'])

function inHalves(node: Node, context: Context): Record<string, Attribute> {
  return Object.fromEntries(
    Object.entries(node.attributes).map(([name, a]): [string, Attribute] => {
      if (a.type === 'tensor' && a.value.dtype === 'float32')
        return [name, { ...a, value: halved(a.value, a.value.name, context) }]
      const isType = a.type === 'int' && typeAttributes.has(name) && dataTypeOf(Number(a.value)) === 'float32'
      return [name, isType ? { ...a, value: dataTypes.float16.code } : a]
    }),
  )
}

/** A float32 tensor in float16. The largest numbers, with which masks say "never", become the largest of float16. */
function halved(tensor: Tensor, name: string, { warn }: Context): Tensor {
  const values = floats(tensor)
  if (fits(tensor, 'float16')) return tensorOfFloats(name, 'float16', tensor.dims, values)
  warn?.(`float16: "${tensor.name}" has values beyond the range of float16; they become 65,504 or -65,504`)
  const within = values.map((v) => (Number.isFinite(v) ? Math.max(-largestHalf, Math.min(largestHalf, v)) : v))
  return tensorOfFloats(name, 'float16', tensor.dims, within)
}

function warnOfStayed(stayed: readonly Node[], { warn }: Context): void {
  if (stayed.length === 0) return
  const [first, ...more] = stayed
  const which =
    more.length > 0 ? `${describe(first)} and ${more.length} more nodes compute` : `${describe(first)} computes`
  warn?.(`float16: ${which} in float32: float16 is not defined there, or runtimes lack it`)
}
