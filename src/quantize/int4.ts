/**
 * int4: the matrices that products and lookups read, in 4 bits per weight with a scale per block of a row, as
 * com.microsoft.MatMulNBits and GatherBlockQuantized read them: about a fifth of the size of float32. The model computes in
 * float, so calibration inputs are not needed. ONNX Runtime runs both operators; other runtimes may not.
 *
 * A block's scale is the one of a few that rounds the block with the least squared error.
 */
import { node as makeNode } from '../graph/build.ts'
import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { consumersOf, floatAttribute, intAttribute, nodeName } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import { isOnnxDomain, type Model, type Node, type Tensor } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import type { OptionsOf } from '../options.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { contribDomain, withContrib } from './_contrib.ts'
import { type Blocks, roundBlocks } from './_int4-blocks.ts'
import { foldAllWeights, products } from './fold-weights.ts'
import { checkNodeNames } from './node-names.ts'

const options = {
  blockSize: {
    type: 'number',
    default: 32,
    min: 16,
    max: 256,
    integer: true,
    help: 'weights that share a scale: 16, 32, 64, 128 or 256; fewer are more exact and take more bytes',
  },
  symmetric: {
    type: 'boolean',
    default: true,
    help: 'zero is the middle of the 16 levels; false: each block of a product has a zero of its own, which takes 4 more bits per block',
  },
  activations: {
    type: 'choice',
    of: ['float32', 'int8'],
    default: 'float32',
    help: 'what the other factor of a product may be rounded to on the way: int8 is faster on processors, and less exact',
  },
  tables: { type: 'boolean', default: true, help: 'round the tables of lookups (embeddings) too' },
  minElements: {
    type: 'number',
    default: 1024,
    min: 1,
    integer: true,
    help: 'matrices with fewer elements are left alone',
  },
  excludeNodes: { type: 'strings', default: [], help: 'nodes to keep in float, by name (or first output)' },
} as const

export const int4 = defineMethod({
  id: 'int4',
  help: 'stores the matrices of products and lookups in 4 bits, with a scale per block',
  options,
  async run(given, settings, { warn }) {
    const { blockSize, excludeNodes } = settings
    if (Math.log2(blockSize) % 1 !== 0)
      throw new Error(`int4: blockSize is ${blockSize}; expected 16, 32, 64, 128 or 256`)
    checkNodeNames(given, excludeNodes, 'int4')
    const model = await foldAllWeights(given, products)
    const { found, left } = readers(model, settings)
    const [first, ...more] = left
    if (first)
      warn?.(
        more.length > 0
          ? `int4: "${first}" and ${more.length} more matrices stay in float: other nodes than products and lookups read them, they are read in more than one way, or numbers in them are not finite`
          : `int4: "${first}" stays in float: another node than a product or lookup reads it, it is read in more than one way, or numbers in it are not finite`,
      )
    if (found.size === 0) {
      warn?.('int4: no product or lookup reads a stored float32 matrix alone; the model is returned as it is')
      return given
    }
    const edit = editGraph(model)
    for (const [matrix, nodes] of found) rewrite(edit, { matrix, nodes, settings })
    const done = withContrib(edit.finish())
    return { ...done, irVersion: Math.max(done.irVersion, irVersionOfInt4) }
  },
})

interface Readers {
  /** The nodes that read each matrix, where all of its readers can read it in 4 bits and read it the same way. */
  readonly found: ReadonlyMap<Tensor, Node[]>
  /** The names of matrices that stay, though nobody asked for it. */
  readonly left: readonly string[]
}

function readers(model: Model, { minElements, tables, excludeNodes }: OptionsOf<typeof options>): Readers {
  const { graph } = model
  const { values } = inferShapes(model)
  // A vector is no left factor of MatMulNBits.
  const isReadable = ({ op, inputs }: Node): boolean =>
    op === 'Gather' || (values.get(inputs[0])?.shape?.length ?? 0) > 1
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const consumers = consumersOf(graph)
  const excluded = new Set(excludeNodes)
  const found = new Map<Tensor, Node[]>()
  const left: string[] = []
  for (const [name, tensor] of graph.initializers) {
    const nodes = consumers.get(name) ?? []
    const ways = new Set(nodes.map((n) => wayOf(n, name)))
    const [way] = ways
    if (tensor.dtype !== 'float32' || tensor.dims.length !== 2 || sizeOf(tensor.dims) < minElements) continue
    if (nodes.some((n) => excluded.has(nodeName(n))) || (way === 'rows' && !tables)) continue
    const isPlain = ways.size === 1 && way && nodes.every(isReadable) && !outputs.has(name)
    if (isPlain && floats(tensor).every(Number.isFinite)) found.set(tensor, nodes)
    else left.push(name)
  }
  return { found, left }
}

/** How a node reads a matrix: as the right factor of a product, turned or not, or row by row. */
type Way = 'product' | 'turned product' | 'rows'

function wayOf(node: Node, name: string): Way | undefined {
  const { op, domain, inputs } = node
  if (!isOnnxDomain(domain)) return undefined
  const at = inputs.indexOf(name)
  if (inputs.lastIndexOf(name) !== at) return undefined
  if (op === 'MatMul' && at === 1) return 'product'
  if (op === 'Gather' && at === 0 && intAttribute(node, 'axis', 0) === 0) return 'rows'
  const isPlain =
    intAttribute(node, 'transA', 0) === 0 &&
    floatAttribute(node, 'alpha', 1) === 1 &&
    (!inputs[2] || floatAttribute(node, 'beta', 1) === 1)
  if (op !== 'Gemm' || at !== 1 || !isPlain) return undefined
  return intAttribute(node, 'transB', 0) === 1 ? 'turned product' : 'product'
}

interface Rewrite {
  readonly matrix: Tensor
  readonly nodes: readonly Node[]
  readonly settings: OptionsOf<typeof options>
}

const domain = contribDomain

function rewrite(edit: GraphEdit, { matrix, nodes, settings }: Rewrite): void {
  const { blockSize, symmetric, activations } = settings
  const way = wayOf(nodes[0], matrix.name) as Way
  // Blocks lie along the axis that a product sums over, and along the rows of a table.
  const rows =
    way === 'product' ? turned(matrix) : { count: matrix.dims[0], length: matrix.dims[1], values: floats(matrix) }
  const blocks = roundBlocks(rows, { size: blockSize, symmetric: symmetric || way === 'rows' })
  const stored = way === 'rows' ? storeTable(edit, matrix, blocks) : storeFactor(edit, matrix, blocks)
  for (const node of nodes) {
    const { inputs, outputs } = node
    if (way === 'rows') {
      const attributes = { gather_axis: 0, quantize_axis: 1, block_size: blockSize }
      edit.replace(node, [
        makeNode('GatherBlockQuantized', [stored[0], inputs[1], stored[1]], outputs, attributes, {
          ...named(node),
          domain,
        }),
      ])
      continue
    }
    const attributes = {
      K: rows.length,
      N: rows.count,
      bits: 4,
      block_size: blockSize,
      ...(activations === 'int8' ? { accuracy_level: 4 } : {}),
    }
    const bias = node.op === 'Gemm' ? inputs[2] : undefined
    const product = bias ? edit.fresh(`${outputs[0]}_product`) : outputs[0]
    const made = makeNode('MatMulNBits', [inputs[0], ...stored], [product], attributes, { ...named(node), domain })
    edit.replace(node, bias ? [made, makeNode('Add', [product, bias], outputs)] : [made])
  }
}

const named = ({ name }: Node): { name?: string } => (name ? { name } : {})

/** The columns of a matrix as rows. */
function turned({ dims: [length, count], ...rest }: Tensor): { count: number; length: number; values: Float32Array } {
  const from = floats({ ...rest, dims: [length, count] })
  const values = new Float32Array(from.length)
  for (let i = 0; i < length; i++) for (let j = 0; j < count; j++) values[j * length + i] = from[i * count + j]
  return { count, length, values }
}

/** [rows, blocks, bytes of a block], two levels a byte; scales; and zero points where blocks have their own. */
function storeFactor(edit: GraphEdit, { name }: Tensor, blocks: Blocks): string[] {
  const { rows, perRow, size, levels, scales, zeros } = blocks
  const data = pairs(levels.map((v) => v + 8))
  const stored = [
    edit.store(integerTensor(edit.fresh(`${name}_int4`), 'uint8', [rows, perRow, size / 2], data), name),
    edit.store(floatTensor(edit.fresh(`${name}_scales`), [rows * perRow], scales)),
  ]
  if (!zeros) return stored
  // Each row of zero points begins with a byte of its own.
  const width = Math.ceil(perRow / 2)
  const packed = new Uint8Array(rows * width)
  for (let r = 0; r < rows; r++) packed.set(pairs(zeros.subarray(r * perRow, (r + 1) * perRow)), r * width)
  const points = integerTensor(edit.fresh(`${name}_zeros`), 'uint8', [packed.length], packed)
  return [...stored, edit.store(points)]
}

/** [rows, columns] of int4, and [rows, blocks] of scales. */
function storeTable(edit: GraphEdit, { name, dims }: Tensor, { rows, perRow, size, levels, scales }: Blocks): string[] {
  const plain = new Int8Array(dims[0] * dims[1])
  for (let r = 0; r < rows; r++) plain.set(levels.subarray(r * perRow * size, r * perRow * size + dims[1]), r * dims[1])
  const table = { name: edit.fresh(`${name}_int4`), dtype: 'int4', dims, data: pairs(plain) } as const
  return [edit.store(table, name), edit.store(floatTensor(edit.fresh(`${name}_scales`), [rows, perRow], scales))]
}

/** 4-bit numbers two a byte, the first in the low half. */
function pairs(levels: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(levels.length / 2))
  for (let i = 0; i < levels.length; i++) bytes[i >> 1] |= (levels[i] & 15) << (4 * (i & 1))
  return bytes
}

/** The first version of the file format that has 4-bit types. */
const irVersionOfInt4 = 10
