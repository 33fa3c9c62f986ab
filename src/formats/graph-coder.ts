/**
 * An ONNX message tree (onnx/schema.ts) to and from the head stream of a packed file.
 *
 * Nothing of protobuf's framing is coded: lengths and tags follow from the tree. Fields are predicted from what the same
 * field held the last time in the same place (for an attribute: the same attribute of the same operator); names are
 * references to names seen before wherever they can be, else text, predicted from text seen before.
 * Tensors' data is handed to `codeTensor`. Coding is symmetrical: encoding takes the tree, decoding makes it.
 */
import {
  AttributeProto,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
  TypeProto,
  ValueInfoProto,
} from '../onnx/schema.ts'
import { concat, decode, encode, type FieldDef, type Message, type Schema } from '../onnx/wire.ts'
import { damaged } from './coding/coding.ts'
import { type BitCoder, ContextMixer, hash, type MixerMemory } from './entropy/context-mixer.ts'
import { primer } from './graph-primer.ts'
import { type ListCoder, listCoder, longList, planOf } from './list-coder.ts'
import { type NameMemory, type NameTable, nameMemory, nameTable, type PlanText } from './name-coder.ts'
import { charactersOf, planText } from './plan-text.ts'

export interface GraphCoderOptions {
  /** Codes a tensor's bytes: `message` has its dims and dataType already. Called in the order of the tree. */
  readonly codeTensor: (message: Message, data: Uint8Array | undefined) => void
  /** Called for what is coded, with the number of items that it counts as, so that damaged input can be stopped. */
  readonly check: (items: number) => void
}

/** The order in which fields are coded, where it is not that of their numbers: what tells the most comes first. */
export const fieldOrder = new Map<Schema, readonly number[]>([
  [NodeProto, [4, 7, 8, 1, 2, 3, 5, 6, 9]],
  [AttributeProto, [1, 20, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 21, 22, 23]],
  [TensorProto, [8, 2, 1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16]],
  [GraphProto, [2, 1, 5, 10, 11, 12, 13, 14, 15, 16]],
])

/** Fields whose strings are names of values, and so refer to each other. */
export const valueNames = new Map<Schema, readonly string[]>([
  [NodeProto, ['inputs', 'outputs']],
  [TensorProto, ['name']],
  [ValueInfoProto, ['name']],
])

const maxDepth = 100

/** Items of a graph, symbols of text not counted: the tree of them all must fit in the memory of any engine. */
export const maxItems = 2 ** 24
/** What a message counts as, beside the value that it is: it takes more memory than a number, and 2 bytes of ONNX at least. */
const messageItems = 6

const sets = { presence: 0, count: 64, int: 128, sign: 192, float: 256, bytes: 320, type: 384 } as const

/** A mixer that has coded the primer. */
export function primedMixer(coder: BitCoder): ContextMixer {
  primed ??= prime()
  return new ContextMixer(coder, { learnt: primed.mixer })
}

/** Codes a message with a mixer that `primedMixer` made: encodes it, or decodes one where there is none. */
export function codeMessage(
  mixer: ContextMixer,
  schema: Schema,
  message: Message | undefined,
  options: GraphCoderOptions,
): Message {
  return codeTree(
    stateOf(mixer, options, { treeOf: treeOfType, planOf, planText, charactersOf }),
    schema,
    message,
    1,
    0,
  )
}

/** Decodes a message; a decoder that has this alone takes none of what encoding needs. */
export function decodeMessage(mixer: ContextMixer, schema: Schema, options: GraphCoderOptions): Message {
  return codeTree(stateOf(mixer, options), schema, undefined, 1, 0)
}

/** What only encoders need. */
interface Encoding {
  readonly treeOf: NonNullable<State['treeOf']>
  readonly planOf: typeof planOf
  readonly planText: PlanText
  readonly charactersOf: typeof charactersOf
}

function stateOf(mixer: ContextMixer, options: GraphCoderOptions, encoding?: Encoding): State {
  primed ??= prime()
  let items = 0
  const count = (n: number): void => {
    items += n
    if (items > maxItems) throw new Error(`cop: the graph has more than ${maxItems} items; expected fewer`)
    options.check(n)
  }
  const names = nameTable(mixer, { count, check: options.check }, structuredClone(primed.names), encoding?.planText)
  const lists = listCoder(mixer, () => options.check(1), encoding?.planOf)
  return {
    mixer,
    names,
    lists,
    last: new Map(primed.last),
    previous: primed.previous,
    options,
    count,
    treeOf: encoding?.treeOf,
    charactersOf: encoding?.charactersOf,
  }
}

/** What is learnt from the primer, which is the same for every file. */
interface Primed {
  readonly mixer: MixerMemory
  readonly names: NameMemory
  readonly last: ReadonlyMap<number, number>
  readonly previous: number
}

let primed: Primed | undefined

/** Where the primer goes: to nowhere. */
const nowhere: BitCoder = { decoding: false, code: (bit) => bit, codeRaw: (value) => value }

function prime(): Primed {
  const mixer = new ContextMixer(nowhere)
  const count = () => {}
  const options: GraphCoderOptions = { check: count, codeTensor: () => {} }
  const memory = nameMemory()
  const names = nameTable(mixer, { count, check: count }, memory)
  const lists = listCoder(mixer, count, undefined)
  const state: State = { mixer, names, lists, last: new Map(), previous: 0, options, count }
  codeTree(state, ModelProto, primer(), 1, 0)
  return { mixer: mixer.learnt, names: memory, last: state.last, previous: state.previous }
}

interface State {
  readonly mixer: ContextMixer
  readonly names: NameTable
  readonly lists: ListCoder
  /** What a place held the last time, by the hash of the place. */
  readonly last: Map<number, number>
  /** The number coded before. */
  previous: number
  readonly options: GraphCoderOptions
  /** Counts items. */
  readonly count: (items: number) => void
  /** A value's type as a tree, where that gives the same bytes back; of encoders. */
  readonly treeOf?: (type: Uint8Array) => Message | undefined
  /** The text whose characters a list of numbers is, if it is one; of encoders. */
  readonly charactersOf?: (values: readonly number[]) => Uint8Array | undefined
}

function codeTree(state: State, schema: Schema, message: Message | undefined, place: number, depth: number): Message {
  if (depth > maxDepth) throw damaged(`its messages are nested more than ${maxDepth} deep`)
  state.count(messageItems)
  const fields = schema.fields()
  const order = fieldOrder.get(schema) ?? Object.keys(fields).map(Number)
  const out: Message = {}
  let scope = hash(place, keyOf(toUtf8.encode(schema.message)))
  let history = state.last.get(scope) ?? 0
  const maskPlace = scope
  let presence = 0
  for (const number of order) {
    const def = fields[number]
    const here = hash(scope, number)
    const present = flag(
      state,
      message && message[def.name] !== undefined,
      here,
      hash(here, history),
      hash(here, presence),
    )
    presence = (presence << 1) | present
    if (!present) continue
    const value = message?.[def.name]
    state.count(1)
    out[def.name] = def.repeated
      ? codeList(state, schema, def, value as unknown[] | undefined, here, out, depth)
      : codeValue(state, schema, def, value, here, out, depth)
    // What follows in a node depends on its operator; in an attribute, on its name.
    if ((schema === NodeProto && number === 4) || (schema === AttributeProto && number === 1)) {
      scope = hash(scope, keyOf(out[def.name] as Uint8Array))
      history = state.last.get(scope) ?? 0
    }
  }
  state.last.set(maskPlace, presence)
  state.last.set(scope, presence)
  const unknown = flag(state, message && message.unknown !== undefined, hash(scope, 9999), 0, 0)
  if (unknown) out.unknown = state.names.bytes(message?.unknown, hash(scope, 9998), false)
  return out
}

function flag(state: State, value: boolean | undefined, a: number, b: number, c: number): number {
  state.options.check(0)
  return state.mixer.bit(value ? 1 : 0, [a, b, c], 1, sets.presence)
}

function codeList(
  state: State,
  schema: Schema,
  def: FieldDef,
  values: unknown[] | undefined,
  place: number,
  parent: Message,
  depth: number,
): unknown[] {
  const before = state.last.get(place) ?? 0
  const count = state.mixer.number(values?.length ?? 0, [place, hash(place, before)], sets.count)
  state.last.set(place, count)
  const out: unknown[] = []
  // Before the first is decoded: a damaged count may be any number.
  state.count(count)
  if (count >= longList) {
    const long = codeLongList(state, schema, def, values, count, place)
    if (long) return long
  }
  for (let i = 0; i < count; i++) {
    // Of messages, all share what they learn; of numbers and names, each position has its own.
    const here = typeof def.kind === 'object' ? place : hash(place, Math.min(i, 7) + 1)
    out.push(codeValue(state, schema, def, values?.[i], here, parent, depth))
  }
  return out
}

/** A long list of numbers or strings; undefined for all others. */
function codeLongList(
  { mixer, lists, names, charactersOf }: State,
  schema: Schema,
  def: FieldDef,
  values: unknown[] | undefined,
  count: number,
  place: number,
): unknown[] | undefined {
  if (def.kind === 'int') {
    const ints = values as (number | bigint)[] | undefined
    const isNarrow = ints?.every((v) => typeof v === 'number' && (v | 0) === v)
    if (mixer.bit(isNarrow ? 1 : 0, [hash(place, 9)], 3, sets.count)) {
      const text = charactersOf?.(ints as number[])
      if (mixer.bit(text ? 1 : 0, [hash(place, 10)], 3, sets.count))
        return Array.from(names.bytes(text, hash(place, 11), false))
      return lists.ints(ints as number[] | undefined, count, place)
    }
    // Beyond 32 bits: the low halves, which differ little from each other where the numbers do, then the high ones.
    const half = (shift: bigint): number[] | undefined =>
      ints?.map((v) => Number(BigInt.asIntN(32, BigInt(v) >> shift)))
    const low = lists.ints(half(0n), count, hash(place, 12))
    const high = lists.ints(half(32n), count, hash(place, 13))
    return low.map((l, i) => numberOf((BigInt(high[i]) << 32n) | BigInt(l >>> 0)))
  }
  if (def.kind === 'float') {
    const words = values && new Int32Array(Float32Array.from(values as number[]).buffer)
    return Array.from(new Float32Array(lists.words(words, count, place).buffer))
  }
  if (typeof def.kind === 'object' || valueNames.get(schema)?.includes(def.name)) return undefined
  const texts = values?.map((v) => (typeof v === 'string' ? toUtf8.encode(v) : (v as Uint8Array)))
  return lists.strings(texts, { count, place, fresh: (text) => names.bytes(text, hash(place, 8), false) })
}

function codeValue(
  state: State,
  schema: Schema,
  def: FieldDef,
  value: unknown,
  place: number,
  parent: Message,
  depth: number,
): unknown {
  const { kind } = def
  if (typeof kind === 'object') {
    // Nodes and graphs are alike wherever they are: in a branch or a function as in the model.
    const isAnywhere = kind === NodeProto || kind === GraphProto
    const inner = isAnywhere ? 0 : hash(place, keyOf(toUtf8.encode(schema.message)))
    return codeTree(state, kind, value as Message | undefined, inner, depth + 1)
  }
  if (kind === 'int') return codeInt(state, value as number | bigint | undefined, place)
  if (kind === 'float') return codeFloat(state, value as number | undefined, place)
  if (schema === TensorProto && def.name === 'rawData') {
    state.options.codeTensor(parent, value as Uint8Array | undefined)
    return new Uint8Array(0)
  }
  if (schema === ValueInfoProto && def.name === 'type')
    return codeType(state, value as Uint8Array | Message | undefined, place, depth)
  const bytes = typeof value === 'string' ? toUtf8.encode(value) : (value as Uint8Array | undefined)
  const isName = valueNames.get(schema)?.includes(def.name) ?? false
  const role = schema === NodeProto ? (def.name === 'inputs' ? 1 : 2) : schema === TensorProto ? 3 : 4
  return isName ? state.names.name(bytes, place, role) : state.names.bytes(bytes, place, true)
}

const toUtf8 = new TextEncoder()

function treeOfType(type: Uint8Array): Message | undefined {
  const tree = decode(TypeProto, type)
  const again = concat(encode(TypeProto, tree).chunks)
  return again.length === type.length && again.every((b, i) => b === type[i]) ? tree : undefined
}

/** A value's type. */
function codeType(state: State, value: Uint8Array | Message | undefined, place: number, depth: number): Uint8Array {
  const tree = value instanceof Uint8Array ? state.treeOf?.(value) : value
  const isTree = state.mixer.bit(tree ? 1 : 0, [place], 1, sets.type)
  if (!isTree) return state.names.bytes(value as Uint8Array | undefined, place, false)
  return concat(encode(TypeProto, codeTree(state, TypeProto, tree, place, depth + 1)).chunks)
}

function codeInt(state: State, value: number | bigint | undefined, place: number): number | bigint {
  const { mixer } = state
  const before = state.last.get(place) ?? 0
  const contexts = [place, hash(place, before), hash(place, state.previous), hash(state.previous, before)]
  const big = BigInt(value ?? 0)
  const negative = mixer.bit(big < 0n ? 1 : 0, contexts, 1, sets.sign)
  const size = negative ? -1n - big : big
  const wide = mixer.bit(size >= 2n ** 52n ? 1 : 0, contexts, 2, sets.sign)
  let magnitude: bigint
  if (wide) {
    const high = mixer.number(Number(size >> 32n), contexts, sets.int)
    const low = mixer.number(Number(size & 0xffffffffn), contexts, sets.int + 1)
    magnitude = (BigInt(high) << 32n) | BigInt(low)
  } else magnitude = BigInt(mixer.number(Number(size), contexts, sets.int))
  const result = BigInt.asIntN(64, negative ? -1n - magnitude : magnitude)
  const folded = Number(BigInt.asIntN(32, result))
  state.last.set(place, folded)
  state.previous = folded
  return numberOf(result)
}

/** An integer as the tree has it: a number where it is exact. */
function numberOf(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

const scratch = new DataView(new ArrayBuffer(4))

function codeFloat(state: State, value: number | undefined, place: number): number {
  if (value !== undefined) scratch.setFloat32(0, value)
  const bits = value === undefined ? 0 : scratch.getUint32(0)
  const before = state.last.get(place) ?? 0
  let out = 0
  for (let shift = 24; shift >= 0; shift -= 8) {
    const contexts = [hash(place, shift), hash(hash(place, shift), before), hash(shift, out)]
    out = (out << 8) | state.mixer.symbol((bits >>> shift) & 255, 8, contexts, sets.float)
  }
  state.last.set(place, out)
  scratch.setUint32(0, out >>> 0)
  return scratch.getFloat32(0)
}

function keyOf(bytes: Uint8Array): number {
  let h = 0
  for (const b of bytes) h = hash(h, b)
  return h
}
