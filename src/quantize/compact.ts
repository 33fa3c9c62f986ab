/**
 * Stores float weights that take few values as integers: those on a uniform grid as w = Cast(q) · step with q in int8
 * or int16, those of a codebook as w = codebook[Cast(index)] with a uint8 index; and float32 weights that 16 bits hold exactly
 * as w = Cast(h) with h in float16.
 *
 * Nothing changes but the file: runtimes fold the nodes into the same float32 weights when they load the model,
 * so it runs as fast as before. (DequantizeLinear would say the same, but ONNX Runtime keeps that for its integer
 * kernels and computes it again at every call, and it needs operator set 10; docs/notes/compact.md.)
 */
import { findStep } from '../formats/coding/grid-steps.ts'
import { node } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import { type Model, opsetOf, type Tensor } from '../model.ts'
import { since } from '../ops/operator-sets.ts'
import { castForm, computeConstants, type Form } from '../simplify/compute-constants.ts'
import { narrowWeights } from '../simplify/widen-weights.ts'
import { bytesOf, dataTypes, floats, floatTensor, integers, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { nearestHalf } from './quantize-weights.ts'

export const compact = defineMethod({
  id: 'compact',
  help: 'stores weights that take few values as integers (a grid or a codebook), and those that 16 bits hold as float16: a smaller .onnx, the same results',
  options: {
    minElements: {
      type: 'number',
      was: 'minSize',
      default: 256,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements stay float: two nodes cost more than they save',
    },
  },
  run(model, { minElements }) {
    if (opsetOf(model) < since.numpyBroadcasting) return model
    const forms = new Map<Tensor, Form>()
    for (const { tensor } of weightTensors(model)) {
      const values = floats(tensor)
      if (values.length < minElements) continue
      const grid = tensor.dtype === 'float32' ? onGrid(values) : undefined
      // A grid of at most 255 levels before a codebook, a codebook before a wide grid.
      const stored = grid?.dtype === 'int8' ? grid : (inCodebook(tensor) ?? grid)
      if (stored) forms.set(tensor, formOf(tensor, stored))
    }
    return inHalves(narrowWeights(computeConstants(model, forms)), minElements)
  },
})

/** float32 weights of which every one is a float16, stored as such. */
function inHalves(model: Model, minElements: number): Model {
  const isHalf = (v: number): boolean => Object.is(nearestHalf(v), v)
  const chosen = weightTensors(model).filter(
    ({ tensor }) =>
      tensor.dtype === 'float32' && sizeOf(tensor.dims) >= minElements && floats(tensor).every((v) => isHalf(v)),
  )
  return computeConstants(model, new Map(chosen.map(({ tensor }) => [tensor, castForm(tensor, 'float16')])))
}

/** Where a tensor's integers go, and the float that the second node combines them with. */
interface Stored {
  readonly levels: ArrayLike<number>
  readonly dtype: 'int8' | 'int16' | 'uint8'
  /** The step of a grid, or a codebook's elements in the tensor's own type. */
  readonly step?: number
  readonly codebook?: Uint8Array
}

function onGrid(values: Float32Array): Stored | undefined {
  const step = findStep(values, { manyValues: true })
  if (!step) return undefined
  const levels = new Int32Array(values.length)
  let largest = 0
  for (let i = 0; i < values.length; i++) {
    levels[i] = Math.round(values[i] / step)
    largest = Math.max(largest, Math.abs(levels[i]))
  }
  if (largest > 32767) return undefined
  return { levels, step, dtype: largest <= 127 ? 'int8' : 'int16' }
}

/** By bits, so that -0 and NaN stay what they are. */
function inCodebook({ dtype, data }: Tensor): Stored | undefined {
  const width = dataTypes[dtype].bits / 8
  if (width > 4) return undefined
  const Bits = width === 2 ? Uint16Array : Uint32Array
  const bits = new Bits(new Uint8Array(data).buffer)
  const index = new Map<number, number>()
  for (const b of bits) {
    if (!index.has(b)) index.set(b, index.size)
    if (index.size > 256 || index.size > bits.length / 8) return undefined
  }
  // In the order of the values, so that indices of near values are near: they pack as well as levels of a grid.
  const sign = 2 ** (8 * width - 1)
  const rank = (b: number): number => (b >= sign ? -b : b + 1)
  const codebook = Bits.from(index.keys()).sort((a, b) => rank(a) - rank(b))
  codebook.forEach((b, i) => {
    index.set(b, i)
  })
  const levels = Uint8Array.from(bits, (b) => index.get(b) as number)
  return { levels, codebook: bytesOf(codebook), dtype: 'uint8' }
}

/** Integers and the two nodes that make the weight of them. */
function formOf({ dtype, dims }: Tensor, { levels, step, codebook, dtype: integerType }: Stored): Form {
  return (name, fresh) => {
    const [q, cast, second] = [fresh(`${name}_q`), fresh(`${name}_f`), fresh(`${name}_s`)]
    const stored = integerTensor(q, integerType, dims, levels)
    if (codebook) {
      const size = (8 * codebook.length) / dataTypes[dtype].bits
      const book: Tensor = { name: second, dtype, dims: [size], data: codebook }
      const nodes = [node('Cast', [q], [cast], { to: 6 }), node('Gather', [second, cast], [name])]
      return { tensors: [stored, book], nodes }
    }
    const nodes = [node('Cast', [q], [cast], { to: 1 }), node('Mul', [cast, second], [name])]
    return { tensors: [stored, floatTensor(second, [], [step as number])], nodes }
  }
}

/**
 * The weights on a grid, w = Cast(q) · step, as float tensors again: the model that can be trained, with the same outputs. A
 * codebook stays, since it can be trained as it is.
 */
export function expandGrids(model: Model): Model {
  const { graph } = model
  const edit = editGraph(model)
  const integersOf = new Map(
    graph.nodes.flatMap((n) => {
      const tensor = n.op === 'Cast' ? graph.initializers.get(n.inputs[0]) : undefined
      return tensor?.dtype === 'int8' || tensor?.dtype === 'int16' ? [[n.outputs[0], tensor] as const] : []
    }),
  )
  for (const node of graph.nodes) {
    const [from, by] = node.inputs
    const [name] = node.outputs
    const levels = node.op === 'Mul' ? integersOf.get(from) : undefined
    const step = graph.initializers.get(by)
    if (!levels || step?.dtype !== 'float32' || step.dims.length > 0) continue
    const [scale] = floats(step)
    const values = Float32Array.from(integers(levels), (q) => q * scale)
    edit.store(floatTensor(name, levels.dims, values), levels.name)
    edit.replace(node)
  }
  return edit.finish()
}
