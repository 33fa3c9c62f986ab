/**
 * The numbers of constants, up to factors that are not zero: behind nodes that rearrange or scale them, that look them
 * up in a codebook, and less the zero points of the tensor, the channel or the block that they lie in.
 */
import { placeOf } from '../graph/roles.ts'
import { intAttribute, intsAttribute } from '../graph/walk.ts'
import { isOnnxDomain, type Node, type SparseTensor, type Tensor } from '../model.ts'
import { countOf } from '../ops/shape/known.ts'
import { dataTypes, floats, integers, sizeOf } from '../tensor/dtype.ts'
import { type Constant, rearranges } from './_constant.ts'

/** Some that a node cuts off are among them, as they are among a layer's parameters. */
interface Numbers {
  readonly values: ArrayLike<number>
  /** Where on its axes each of them lies; undefined where that is not known. */
  readonly axes?: readonly Axis[]
}

interface Axis {
  readonly size: number
  /** How far apart two neighbours along this axis lie in `values`. */
  readonly stride: number
}

/** The numbers that a node reads at an input, in any order; undefined where they cannot be seen. */
export function numbersAt(
  node: Node,
  input: number,
  inputs: readonly (Constant | undefined)[],
): ArrayLike<number> | undefined {
  const constant = inputs[input]
  const numbers = constant && numbersOf(constant)
  const operator = isOnnxDomain(node.domain) ? node.op : `${node.domain}.${node.op}`
  if (!numbers) return undefined
  if (operator === matMulNBits && input === 1) return numbersInBits(node, numbers.values, inputs[3])
  const place = placeOf(node, input)
  const zeroAt = zeroPoints[operator]?.[input]
  if (zeroAt === undefined) {
    const isPlain = place?.role === 'bias' || !node.inputs.some((_, i) => placeOf(node, i)?.role === 'quantiser')
    return isPlain ? numbers.values : undefined
  }
  if (!node.inputs[zeroAt]) return numbers.values
  const zero = inputs[zeroAt]
  return zero && centred(numbers, numbersOf(zero), { axis: place?.axisOf?.(node, numbers.axes?.length ?? 0) })
}

/** The sparse tensor whose numbers a constant is, up to factors that are not zero and their order. */
export function sparseBehind({ sparse, node, from: [first, second] }: Constant): SparseTensor | undefined {
  if (sparse || !node || !first) return sparse
  if (rearranges(node)) return sparseBehind(first)
  const factor = node.op === 'Mul' && second ? numbersOf(second) : undefined
  return factor && isNowhereZero(factor) ? sparseBehind(first) : undefined
}

/** Of a weight that an operator reads several to a byte, the numbers that it stands for. */
export function countOfNumbers({ dims, dtype }: Tensor, node: Node): number {
  const { rows, columns } = matrixOf(node)
  return dtype === 'uint8' && node.domain === 'com.microsoft' && rows * columns > 0 ? rows * columns : sizeOf(dims)
}

export function storedNumbers(tensor: Tensor): ArrayLike<number> | undefined {
  const { kind } = dataTypes[tensor.dtype]
  if (kind === 'float') return floats(tensor)
  return kind === 'int' || kind === 'uint' || kind === 'bool' ? integers(tensor) : undefined
}

function numbersOf({ tensor, node, from, known }: Constant): Numbers | undefined {
  if (tensor) {
    const values = storedNumbers(tensor)
    return values && { values, axes: axesOf(tensor.dims) }
  }
  const [first, second, third] = from
  if (!node || !first) return undefined
  if (node.op === 'Mul' || node.op === 'Where') {
    const operands = from.map((c) => c && numbersOf(c))
    const result = node.op === 'Mul' ? product(operands[0], operands[1]) : chosen(operands)
    return result?.values.length === countOf(known.shape) ? result : undefined
  }
  if (node.op === 'Concat') {
    const parts = from.map((c) => c && numbersOf(c)?.values)
    return parts.every((p) => p) ? { values: parts.flatMap((p) => Array.from(p ?? [])) } : undefined
  }
  const data = numbersOf(first)
  if (!data) return undefined
  if (node.op === 'Gather') return second && rowsOf(data, numbersOf(second), node)
  if (node.op === 'DequantizeLinear') {
    if (!third) return node.inputs[2] ? undefined : data
    const block = isOnnxDomain(node.domain) ? intAttribute(node, 'block_size', 0) : 0
    const values = centred(data, numbersOf(third), { axis: intAttribute(node, 'axis', 1), block })
    return values && { ...data, values }
  }
  if (node.op === 'Slice' || node.op === 'Split') return { values: data.values }
  if (!rearranges(node)) return undefined
  const { values, axes } = data
  if (node.op === 'Transpose') {
    const order = axes && (intsAttribute(node, 'perm') ?? [...axes.keys()].reverse())
    return { values, ...(order ? { axes: order.map((axis) => axes[axis]) } : {}) }
  }
  if (node.op === 'Identity' || node.op === 'Cast') return data
  const dims = known.shape
  const isKnown = dims?.every((d) => typeof d === 'number') && axes && isRowMajor(axes)
  return { values, ...(isKnown ? { axes: axesOf(dims as number[]) } : {}) }
}

/** Axes of numbers in row-major order. */
function axesOf(dims: readonly number[]): Axis[] {
  return dims.map((size, i) => ({ size, stride: sizeOf(dims.slice(i + 1)) }))
}

function isRowMajor(axes: readonly Axis[]): boolean {
  return axesOf(axes.map(({ size }) => size)).every(({ size, stride }, i) => size === 1 || stride === axes[i].stride)
}

/** Rows of a codebook. */
function rowsOf(book: Numbers, indices: Numbers | undefined, node: Node): Numbers | undefined {
  const rows = book.axes?.[0]?.size
  if (!indices || !rows || !isRowMajor(book.axes ?? []) || intAttribute(node, 'axis', 0) !== 0) return undefined
  const width = book.values.length / rows
  const values = new Float64Array(indices.values.length * width)
  for (let i = 0; i < indices.values.length; i++) {
    const at = indices.values[i]
    const row = at < 0 ? at + rows : at
    for (let k = 0; k < width; k++) values[i * width + k] = book.values[row * width + k]
  }
  const outer = indices.axes?.map(({ size, stride }) => ({ size, stride: stride * width }))
  return { values, ...(outer ? { axes: [...outer, ...(book.axes ?? []).slice(1)] } : {}) }
}

/** The larger of two operands: a factor that is nowhere zero is left out, zeros of a mask count. */
function product(a: Numbers | undefined, b: Numbers | undefined): Numbers | undefined {
  if (!a || !b) return undefined
  const [data, factor] = b.values.length > a.values.length ? [b, a] : [a, b]
  if (data.values.length !== factor.values.length && isNowhereZero(factor)) return data
  const index = indexIn(factor, data)
  return index && { ...data, values: Float64Array.from(data.values, (v, i) => v * factor.values[index(i)]) }
}

/** Where: of two operands, the first where a condition holds. */
function chosen([where, yes, no]: readonly (Numbers | undefined)[]): Numbers | undefined {
  if (!where || !yes || !no) return undefined
  const data = [where, yes, no].reduce((a, b) => (b.values.length > a.values.length ? b : a))
  const [asked, first, second] = [where, yes, no].map((n) => indexIn(n, data))
  if (!asked || !first || !second) return undefined
  const value = (i: number): number => (where.values[asked(i)] ? yes.values[first(i)] : no.values[second(i)])
  return { ...data, values: Float64Array.from({ length: data.values.length }, (_, i) => value(i)) }
}

const isNowhereZero = ({ values }: Numbers): boolean => Array.from(values).every((v) => v !== 0)

interface Spreading {
  /** That a list of numbers runs along; counted from the end where it is below 0. */
  readonly axis?: number
  /** How many neighbours along `axis` share a number. */
  readonly block?: number
}

/** Integers less their zero points; undefined where it is not known which belongs to which. */
function centred(data: Numbers, zero: Numbers | undefined, spreading: Spreading): ArrayLike<number> | undefined {
  if (!zero || zero.values.length === 0) return undefined
  const { values } = data
  const point = zero.values[0]
  if (Array.from(zero.values).every((z) => z === point))
    return point === 0 ? values : Int32Array.from(values, (q) => q - point)
  const index = indexIn(zero, data, spreading)
  return index && Int32Array.from(values, (q, i) => q - zero.values[index(i)])
}

/** Which of fewer numbers belongs to each of `data`, as they are spread over it; undefined where that is not known. */
function indexIn(
  few: Numbers,
  data: Numbers,
  { axis, block = 0 }: Spreading = {},
): ((i: number) => number) | undefined {
  if (few.values.length === 1) return () => 0
  if (!few.axes || !data.axes) return undefined
  const rank = data.axes.length
  let spread: readonly (Axis | undefined)[] = [...Array(Math.max(0, rank - few.axes.length)), ...few.axes]
  const at = axis !== undefined && axis < 0 ? axis + rank : axis
  if (few.axes.length === 1 && axis !== undefined && block === 0)
    spread = data.axes.map((_, i) => (i === at ? few.axes?.[0] : undefined))
  const terms: { stride: number; size: number; step: number; by: number }[] = []
  for (const [i, own] of spread.entries()) {
    if (!own || own.size === 1) continue
    const { size, stride } = data.axes[i]
    const step = own.size === size ? 1 : i === at && block > 0 ? block : 0
    if (step === 0 || own.size !== Math.ceil(size / step)) return undefined
    terms.push({ stride, size, step, by: own.stride })
  }
  if (terms.length === 0 || spread.length !== rank) return undefined
  return (i) => terms.reduce((sum, t) => sum + t.by * Math.floor((Math.floor(i / t.stride) % t.size) / t.step), 0)
}

/** For operators on integers: by the input that has them, the input that has their zero points. */
const zeroPoints: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  ConvInteger: { 1: 3 },
  MatMulInteger: { 0: 2, 1: 3 },
  QLinearConv: { 3: 5 },
  QLinearMatMul: { 0: 2, 3: 5 },
  'com.microsoft.DynamicQuantizeLSTM': { 1: 9, 2: 11 },
  'com.microsoft.DynamicQuantizeMatMul': { 1: 3 },
  'com.microsoft.MatMulIntegerToFloat': { 0: 4, 1: 5 },
  'com.microsoft.QAttention': { 1: 7 },
  'com.microsoft.QGemm': { 0: 2, 3: 5 },
  'com.microsoft.QLinearAdd': { 0: 2, 3: 5 },
  'com.microsoft.QLinearConv': { 3: 5 },
  'com.microsoft.QLinearMul': { 0: 2, 3: 5 },
}

const matMulNBits = 'com.microsoft.MatMulNBits'

const matrixOf = (node: Node): { rows: number; columns: number } => ({
  rows: intAttribute(node, 'N', 0),
  columns: intAttribute(node, 'K', 0),
})

/**
 * The numbers of a MatMulNBits less their zero points. Bytes: [rows, blocks, bytes of a block], of zero points
 * [rows, bytes of a row], the first number in the lowest bits; zero points of another type have a number a block. Without
 * them the middle of the range is zero.
 */
function numbersInBits(node: Node, bytes: ArrayLike<number>, zero: Constant | undefined): Float32Array | undefined {
  const { rows, columns } = matrixOf(node)
  const [bits, block] = [intAttribute(node, 'bits', 4), intAttribute(node, 'block_size', 0)]
  const blocks = Math.ceil(columns / block)
  const [perRow, zerosPerRow] = [(blocks * block * bits) / 8, Math.ceil((blocks * bits) / 8)]
  const zeros = zero && numbersOf(zero)?.values
  if (8 % bits !== 0 || bytes.length !== rows * perRow || (node.inputs[3] && !zeros)) return undefined
  const packed = zero?.known.dtype === 'uint8'
  if (zeros && zeros.length !== rows * (packed ? zerosPerRow : blocks)) return undefined
  const read = (from: ArrayLike<number>, start: number, i: number): number =>
    (from[start + Math.floor((i * bits) / 8)] >> ((i * bits) % 8)) & (2 ** bits - 1)
  const middle = 2 ** (bits - 1)
  const point = (row: number, at: number): number => {
    if (!zeros) return middle
    return packed ? read(zeros, row * zerosPerRow, at) : zeros[row * blocks + at]
  }
  const numbers = new Float32Array(rows * columns)
  for (let row = 0; row < rows; row++)
    for (let at = 0; at < blocks; at++) {
      const own = point(row, at)
      for (let c = at * block; c < Math.min(columns, (at + 1) * block); c++)
        numbers[row * columns + c] = read(bytes, row * perRow, c) - own
    }
  return numbers
}
