/**
 * Stores float weights that take few values as integers: those on a uniform grid as w = Cast(q) · step with q in int8
 * or int16, those of a codebook as w = codebook[Cast(index)] with a uint8 index.
 *
 * Nothing changes but the file: runtimes fold the two nodes into the same float32 weights when they load the model,
 * so it runs as fast as before. (DequantizeLinear would say the same, but ONNX Runtime keeps that for its integer
 * kernels and computes it again at every call, and it needs operator set 10; docs/notes/compact.md.)
 */
import { findStep } from '../formats/coding/grid.ts'
import { nameSource, node } from '../graph/build.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import { mapGraphs } from '../graph/fold.ts'
import { weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import { type Graph, type Model, type Node, opsetOf, type Tensor, withGraph } from '../model.ts'
import { floats, floatTensor, integers, integerTensor } from '../tensor/dtype.ts'

export const compact = defineMethod({
  id: 'compact',
  help: 'stores weights that take few values as integers (a grid or a codebook): a smaller .onnx, the same results',
  options: {
    minSize: {
      type: 'number',
      default: 256,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements stay float: two nodes cost more than they save',
    },
  },
  run(model, { minSize }) {
    if (opsetOf(model) < 7) return model
    const stored = new Map<Tensor, Stored>()
    for (const { tensor } of weightTensors(model)) {
      if (tensor.dtype !== 'float32') continue
      const values = floats(tensor)
      const form = values.length >= minSize ? smaller(onGrid(values), inCodebook(values)) : undefined
      if (form) stored.set(tensor, form)
    }
    return stored.size === 0
      ? model
      : {
          ...model,
          irVersion: Math.max(4, model.irVersion),
          graph: rewrite(model.graph, { stored, fresh: nameSource(model.graph) }),
        }
  },
})

/** A grid of at most 255 levels before a codebook, a codebook before a wide grid. */
function smaller(grid: Stored | undefined, codebook: Stored | undefined): Stored | undefined {
  return grid?.dtype === 'int8' ? grid : (codebook ?? grid)
}

/** Where a tensor's integers go, and the float that the second node combines them with. */
interface Stored {
  readonly levels: ArrayLike<number>
  readonly dtype: 'int8' | 'int16' | 'uint8'
  /** The step of a grid, or a codebook. */
  readonly step?: number
  readonly codebook?: Float32Array
}

function onGrid(values: Float32Array): Stored | undefined {
  const step = findStep(values)
  if (!step) return undefined
  const levels = Int32Array.from(values, (v) => Math.round(v / step))
  let largest = 0
  for (const q of levels) largest = Math.max(largest, Math.abs(q))
  if (largest > 32767) return undefined
  return { levels, step, dtype: largest <= 127 ? 'int8' : 'int16' }
}

/** By bits, so that -0 and NaN stay what they are. */
function inCodebook(values: Float32Array): Stored | undefined {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const index = new Map<number, number>()
  for (const b of bits) {
    if (!index.has(b)) index.set(b, index.size)
    if (index.size > 256 || index.size > values.length / 8) return undefined
  }
  const codebook = new Float32Array(Uint32Array.from(index.keys()).sort().buffer)
  new Uint32Array(codebook.buffer).forEach((b, i) => {
    index.set(b, i)
  })
  return { levels: Uint8Array.from(bits, (b) => index.get(b) as number), codebook, dtype: 'uint8' }
}

interface Rewriting {
  readonly stored: ReadonlyMap<Tensor, Stored>
  /** Names that no graph of the model has. */
  readonly fresh: (base: string) => string
}

/** The graph with initialisers and Constant nodes in their stored form; a weight keeps its name as a computed value. */
function rewrite(graph: Graph, { stored, fresh }: Rewriting): Graph {
  const initializers = new Map<string, Tensor>()
  const store = (name: string, dims: readonly number[], form: Stored): Node[] => {
    const [q, cast, values] = [fresh(`${name}_q`), fresh(`${name}_f`), fresh(`${name}_s`)]
    initializers.set(q, integerTensor(q, form.dtype, dims, form.levels))
    if (form.codebook) {
      initializers.set(values, floatTensor(values, [form.codebook.length], form.codebook))
      return [node('Cast', [q], [cast], { to: 6 }), node('Gather', [values, cast], [name])]
    }
    initializers.set(values, floatTensor(values, [], [form.step as number]))
    return [node('Cast', [q], [cast], { to: 1 }), node('Mul', [cast, values], [name])]
  }
  const first: Node[] = []
  for (const [name, tensor] of graph.initializers) {
    const form = stored.get(tensor)
    if (form) first.push(...store(name, tensor.dims, form))
    else initializers.set(name, tensor)
  }
  const nodes = graph.nodes.flatMap((n) => {
    const value = n.op === 'Constant' && n.attributes.value
    const form = value && value.type === 'tensor' && stored.get(value.value)
    if (form) return store(n.outputs[0], value.value.dims, form)
    return [mapGraphs(n, (inner) => rewrite(inner, { stored, fresh }))]
  })
  // A weight that is computed is no input that a caller could override.
  const inputs = graph.inputs.filter((i) => initializers.has(i.name) || !graph.initializers.has(i.name))
  return { ...graph, nodes: [...first, ...nodes], initializers, inputs }
}

/**
 * The weights on a grid, w = Cast(q) · step, as float tensors again: the model that can be trained, with the same outputs. A
 * codebook stays, since it can be trained as it is.
 */
export function expandGrids(model: Model): Model {
  const { graph } = model
  const initializers = new Map(graph.initializers)
  const integersOf = new Map(
    graph.nodes.flatMap((n) => {
      const tensor = n.op === 'Cast' ? graph.initializers.get(n.inputs[0]) : undefined
      return tensor?.dtype === 'int8' || tensor?.dtype === 'int16' ? [[n.outputs[0], tensor] as const] : []
    }),
  )
  const nodes = graph.nodes.filter(({ op, inputs: [from, by], outputs: [name] }) => {
    const levels = op === 'Mul' ? integersOf.get(from) : undefined
    const step = graph.initializers.get(by)
    if (!levels || step?.dtype !== 'float32' || step.dims.length > 0) return true
    const [scale] = floats(step)
    const values = Float32Array.from(integers(levels), (q) => q * scale)
    initializers.set(name, floatTensor(name, levels.dims, values))
    return false
  })
  return nodes.length === graph.nodes.length ? model : withGraph(model, dropUnused({ ...graph, nodes, initializers }))
}
