/**
 * What became of every constant of a model: weights that were compressed, with what they took and take; and everything
 * else, with its bytes and why it is as it was. Together they are all constants: nothing is left in silence.
 */
import { whyNoGrid } from '../calibrate/layers.ts'
import { constantsOf, type StoredConstant } from '../graph/constants.ts'
import { namesSince } from '../graph/edit.ts'
import type { Role } from '../graph/roles.ts'
import { bytesOfList, bytesOfTensor, describe, graphsOf, nodeName, sparseParts, tensorsOf } from '../graph/walk.ts'
import type { Attribute, Model, Node, Tensor } from '../model.ts'
import { densified } from '../simplify/densify.ts'
import { dataTypes, floats, integers, sameBytes, sizeOf } from '../tensor/dtype.ts'
import type { LayerRow, Untouched } from './report.ts'

export interface ConstantRows {
  readonly layers: readonly LayerRow[]
  /** Largest first. */
  readonly untouched: readonly Untouched[]
}

export interface RowOptions {
  /** The model as its file stores it, if `before` is another form of that: its sparse tensors are smaller than dense ones. */
  readonly file?: Model
  /** Divergence of the output by weight, where it was measured. */
  readonly sensitivity?: ReadonlyMap<string, number>
  /** Why a node's weight stayed as it was, by the node's name (its first output where it has none). */
  readonly kept?: ReadonlyMap<string, string>
  /** Why any weight stayed that nothing else explains. */
  readonly otherwise: string
  /** What each tensor of the model that came out takes in its packed file; as many bytes as it has where that is not known. */
  readonly tensorBytes?: ReadonlyMap<Tensor, number>
}

/** `before` is the model whose weights were compressed. Constants are paired by name, or by where `after` says they came from. */
export function constantRows(before: Model, after: Model, options: RowOptions): ConstantRows {
  const denseBefore = densified(before)
  const denseAfter = densified(after)
  const [filed, made] = [options.file ?? before, after].map(sparseParts)
  const now = nowOf(denseAfter)
  const layers: LayerRow[] = []
  const untouched: Untouched[] = []
  for (const constant of constantsOf(denseBefore)) {
    const { name, tensor } = constant
    const stored = now(constant)
    const sparse = namesSince(denseBefore, name).flatMap((n) => filed.get(n) ?? [])
    const bytesBefore = total(sparse.length > 0 ? sparse : [tensor], bytesOfTensor)
    if (stored && !isSame(stored, tensor)) {
      const sensitivity = namesSince(denseAfter, stored.name).flatMap((n) => options.sensitivity?.get(n) ?? [])
      const bytesAfter = total(
        made.get(stored.name) ?? [stored],
        (part) => options.tensorBytes?.get(part) ?? bytesOfTensor(part),
      )
      layers.push(rowOf(constant, stored, { bytesBefore, bytesAfter, sensitivity: sensitivity[0] }))
    } else if (stored) untouched.push(untouchedRow(constant, bytesBefore, why(constant, options)))
  }
  return { layers, untouched: grouped([...untouched, ...attributeRows(before)]) }
}

function total(tensors: readonly Tensor[], bytesOf: (tensor: Tensor) => number): number {
  return tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0)
}

function isSame(a: Tensor, b: Tensor): boolean {
  return a === b || (a.dtype === b.dtype && sameBytes(a.data, b.data))
}

/** Finds what a constant is stored as in a model; undefined where it was merged into others. */
function nowOf(after: Model): (constant: StoredConstant) => Tensor | undefined {
  const byName = new Map<string, { readonly made: Tensor[]; readonly own: Tensor[] }>()
  for (const { tensor, node } of tensorsOf(after)) {
    for (const [age, name] of namesSince(after, node ? node.outputs[0] : tensor.name).entries()) {
      const entry = byName.get(name) ?? { made: [], own: [] }
      byName.set(name, entry)
      entry[age > 0 ? 'made' : 'own'].push(tensor)
    }
  }
  const seen = new Map<string, number>()
  return ({ name }) => {
    // Nested graphs repeat names: the second of a name pairs with the second.
    const k = seen.get(name) ?? 0
    seen.set(name, k + 1)
    // Where a float copy stays beside what was made of it, the latter counts.
    const { made, own } = byName.get(name) ?? { made: [], own: [] }
    return [...made, ...own][k]
  }
}

function rowOf(
  constant: StoredConstant,
  now: Tensor,
  { bytesBefore, bytesAfter, sensitivity }: Pick<LayerRow, 'bytesBefore' | 'bytesAfter' | 'sensitivity'>,
): LayerRow {
  const { name, tensor, uses } = constant
  const weights = sizeOf(tensor.dims)
  return {
    name,
    op: opOf(uses[0].node),
    weights,
    bytesBefore,
    bytesAfter,
    bitsPerWeight: (8 * bytesAfter) / Math.max(1, weights),
    sparsity: zeroShare(now),
    ...(sensitivity === undefined ? {} : { sensitivity }),
  }
}

function opOf({ domain, op }: Node): string {
  return domain ? `${domain}.${op}` : op
}

function zeroShare(tensor: Tensor): number {
  const values = dataTypes[tensor.dtype].kind === 'float' ? floats(tensor) : integers(tensor)
  let zeros = 0
  for (const v of values) if (v === 0) zeros++
  return zeros / Math.max(1, values.length)
}

const reasons: Readonly<Record<Exclude<Role, 'weight' | 'unknown'>, string>> = {
  bias: 'bias',
  norm: 'scale or shift of a normalisation',
  statistic: 'statistic of a normalisation',
  factor: 'factor on the way to a weight',
  quantiser: 'scale or zero point of a quantiser',
  offset: 'one number per channel, in arithmetic',
  setting: 'shape, index or other setting',
  fixed: 'an output that no input of the model changes',
  unused: 'nothing reads it',
}

/** Why weights that are neither floats of 16 bits or more nor integers stay. */
const ofOtherKinds: Readonly<Record<string, string>> = {
  string: 'text',
  complex: 'complex numbers',
  'tiny-float': 'floats of few bits already',
}

function why({ role, tensor, uses }: StoredConstant, { kept, otherwise }: RowOptions): string {
  if (role === 'unknown') {
    const { node } = uses.find((u) => u.role === 'unknown') as (typeof uses)[number]
    return `read by ${opOf(node)}, an operator that coppice does not know`
  }
  if (role !== 'weight') return reasons[role]
  const { kind } = dataTypes[tensor.dtype]
  if (kind !== 'float') return ofOtherKinds[kind] ?? 'integers already'
  const nodes = uses.filter((u) => u.role === 'weight').map((u) => u.node)
  const told = nodes.map((n) => kept?.get(nodeName(n))).find((w) => w)
  if (told) return told
  if (tensor.dims.length < 2) return 'a weight of one axis'
  return whyNoGrid(tensor, 64) ?? otherwise
}

function untouchedRow({ name, uses }: StoredConstant, bytes: number, reason: string): Untouched {
  const label = name || (uses[0] ? describe(uses[0].node) : 'a constant')
  return { name: label, bytes, tensors: 1, reason }
}

/** Attributes of this many numbers are listed: trees and the like keep what they learnt there. */
const longAttribute = 64

function attributeRows(model: Model): Untouched[] {
  const nodes = [...graphsOf(model)].flatMap((g) => g.nodes)
  return nodes.flatMap((node) => {
    const bytes = Object.values(node.attributes).reduce((sum, a) => sum + listBytes(a), 0)
    return bytes > 0
      ? [{ name: describe(node), bytes, tensors: 0, reason: `numbers in attributes of ${opOf(node)}` }]
      : []
  })
}

function listBytes(a: Attribute): number {
  const isList = a.type === 'floats' || a.type === 'ints' || a.type === 'strings'
  return isList && a.value.length >= longAttribute ? bytesOfList(a) : 0
}

/** What is smaller than this is listed in one row with others of the same reason. */
const smallBytes = 1024

function grouped(rows: readonly Untouched[]): Untouched[] {
  const small = new Map<string, Untouched>()
  for (const row of rows.filter((r) => r.bytes < smallBytes)) {
    const { bytes, tensors } = small.get(row.reason) ?? { bytes: 0, tensors: 0 }
    const count = tensors + row.tensors
    small.set(row.reason, {
      ...row,
      name: count > 1 ? `${count} small tensors` : row.name,
      bytes: bytes + row.bytes,
      tensors: count,
    })
  }
  return [...rows.filter((r) => r.bytes >= smallBytes), ...small.values()].sort((a, b) => b.bytes - a.bytes)
}
