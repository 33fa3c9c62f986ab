/**
 * A second decoder of packed files, written after docs/format.md and docs/format/head.json alone: it imports nothing from
 * src, so that nothing but the page can have told it anything. It reads layout and head, and writes the ONNX file around
 * the tensors; those from integer streams and raw bits are decoded in spec-integers.ts.
 */
import { readFileSync } from 'node:fs'
import { hash, Mixer, RangeDecoder } from './spec-coder.ts'
import { Names, same } from './spec-text.ts'

interface Field {
  readonly name: string
  readonly kind: string
  readonly repeated?: boolean
  readonly unpacked?: boolean
}
interface MessageTable {
  readonly order: readonly number[]
  readonly names?: readonly string[]
  readonly fields: Readonly<Record<string, Field>>
}
interface Tables {
  readonly messages: Readonly<Record<string, MessageTable>>
  readonly types: readonly { readonly name: string; readonly code: number; readonly bits: number }[]
  readonly codings: readonly {
    readonly name: string
    readonly parameterCount: number
    readonly hasTable: boolean
    readonly hasIntegers: boolean
  }[]
  readonly primer: Tree
}
type Tree = { [field: string]: unknown }

const tables = JSON.parse(readFileSync(new URL('../docs/format/head.json', import.meta.url), 'utf8')) as Tables

/** A tensor, or a part of a large one. */
export interface SpecTensor {
  readonly name: string
  readonly dtype: string
  readonly dims: readonly number[]
  /** Of an element. */
  readonly bits: number
  readonly byteLength: number
  readonly coding: string
  readonly parameters: readonly number[]
  /** How integers are in the stream. */
  readonly form: { readonly lowBits: number; readonly predictor: number; readonly offset: number }
  readonly table: Uint8Array | undefined
  /** Where the head gives it. */
  data: Uint8Array | undefined
  readonly tree: Tree
}

export interface SpecFile {
  readonly tensors: readonly SpecTensor[]
  /** Tensors with integers or raw bits, and the bytes that hold these. */
  readonly groups: readonly {
    /** 0 fast, 1 default, 2 max. */
    readonly mode: number
    readonly tensors: readonly SpecTensor[]
    readonly integers: Uint8Array
    readonly raw: Uint8Array
  }[]
  /** The ONNX file, once all tensors have their data. */
  onnx(): Uint8Array
}

const hashAll = (bytes: Iterable<number>): number => {
  let h = 0
  for (const b of bytes) h = hash(h, b)
  return h
}
const utf8 = new TextEncoder()
const hashText = (s: string): number => hashAll(utf8.encode(s))

// ---- messages

class Head {
  private readonly mixer: Mixer
  private readonly names: Names
  private readonly last = new Map<number, number>()
  private previous = 0
  readonly tensors: SpecTensor[] = []
  private isPrimer = true
  private readonly lastCoding = new Map<number, number>()
  private readonly lastParameter = new Map<number, number>()
  private readonly lastTable = new Map<number, Uint8Array>()

  constructor(bytes: Uint8Array) {
    this.mixer = new Mixer({ bit: () => this.mixer.told as number })
    this.names = new Names(this.mixer)
    this.message('ModelProto', tables.primer, 1)
    this.names.forget()
    this.mixer.coder = new RangeDecoder(bytes)
    this.isPrimer = false
  }

  message(type: string, wanted: Tree | undefined, place: number): Tree {
    const { order, fields } = tables.messages[type]
    const out: Tree = {}
    const first = hash(place, hashText(type))
    let scope = first
    let history = this.last.get(scope) ?? 0
    let presence = 0
    for (const number of order) {
      const field = fields[number]
      const here = hash(scope, number)
      const contexts = [here, hash(here, history), hash(here, presence)]
      const present = this.mixer.bit(wanted?.[field.name] !== undefined ? 1 : 0, contexts, 1, 0)
      presence = presence * 2 + present
      if (!present) continue
      const value = wanted?.[field.name]
      out[field.name] = field.repeated
        ? this.list(type, field, value as unknown[] | undefined, here, out)
        : this.value(type, field, value, here, out)
      if ((type === 'NodeProto' && number === 4) || (type === 'AttributeProto' && number === 1)) {
        scope = hash(scope, hashAll(out[field.name] as Uint8Array))
        history = this.last.get(scope) ?? 0
      }
    }
    this.last.set(first, presence)
    this.last.set(scope, presence)
    if (this.mixer.bit(0, [hash(scope, 9999), 0, 0], 1, 0))
      out.unknown = this.names.bytes(undefined, hash(scope, 9998), false)
    return out
  }

  private list(type: string, field: Field, wanted: unknown[] | undefined, place: number, parent: Tree): unknown[] {
    const before = this.last.get(place) ?? 0
    const count = this.mixer.number(wanted?.length ?? 0, [place, hash(place, before)], 64)
    this.last.set(place, count)
    if (count >= 16) {
      const long = this.longList(type, field, wanted, count, place)
      if (long) return long
    }
    const out: unknown[] = []
    for (let i = 0; i < count; i++) {
      const here = field.kind in tables.messages ? place : hash(place, Math.min(i, 7) + 1)
      out.push(this.value(type, field, wanted?.[i], here, parent))
    }
    return out
  }

  /** The last long lists, the latest first, as 32-bit numbers. */
  private columns: number[][] = []

  private longList(
    type: string,
    { name, kind }: Field,
    wanted: unknown[] | undefined,
    count: number,
    place: number,
  ): unknown[] | undefined {
    if (kind in tables.messages || tables.messages[type].names?.includes(name)) return undefined
    if (kind === 'int') return this.integers(wanted, count, place)
    const { mixer } = this
    const set = 576 + 8 * (hash(place, 0) & 31)
    const columns = this.columns.filter((c) => c.length === count).slice(0, 7)
    const out: number[] = []
    const besides = (at: number): number[] => columns.map((c, k) => hash(hash(at, k), c[out.length]))
    const texts: Uint8Array[] = []
    const numberOf = (text: Uint8Array): number => texts.findIndex((t) => same(t, text)) + 1
    for (let history = 0, i = 0; i < count; i++) {
      const [left, left2] = [out[i - 1] ?? 0, out[i - 2] ?? 0]
      if (kind === 'float') {
        const contexts = [place, hash(place, 1 + (history & 3)), ...besides(place)]
        const again = mixer.bit(0, contexts, 1, set + 3)
        history = (2 * history + again) & 3
        let word = again ? left : 0
        for (let shift = 24; !again && shift >= 0; shift -= 8) {
          const part = hash(hash(place, 8 + shift), word)
          const more = [part, hash(8 + shift, word), hash(part, left), ...besides(part)]
          word = (word << 8) | mixer.symbol(0, 8, more, set + 4 + shift / 8)
        }
        out.push(word)
      } else {
        const text = wanted?.[i] as string | undefined
        const bytes = text === undefined ? undefined : utf8.encode(text)
        const contexts = [place, hash(hash(place, 1), left), hash(hash(place, 2), hash(left, left2)), ...besides(place)]
        const number = mixer.number(bytes ? numberOf(bytes) : 0, contexts, set + 2)
        const isNew = number === 0 || number > texts.length
        if (isNew) texts.push(this.names.bytes(bytes, hash(place, 8), false))
        out.push(isNew ? texts.length : number)
      }
    }
    this.columns = [out, ...this.columns].slice(0, 16)
    return kind === 'float' ? [...new Float32Array(Int32Array.from(out).buffer)] : out.map((n) => texts[n - 1])
  }

  private integers(wanted: unknown[] | undefined, count: number, place: number): bigint[] {
    if (wanted) throw new Error('the primer has no long list of integers')
    if (this.mixer.bit(1, [hash(place, 9)], 3, 64)) {
      if (this.mixer.bit(0, [hash(place, 10)], 3, 64))
        return [...this.names.bytes(undefined, hash(place, 11), false)].map(BigInt)
      return this.longInts(count, place).map(BigInt)
    }
    const low = this.longInts(count, hash(place, 12))
    const high = this.longInts(count, hash(place, 13))
    return low.map((l, i) => BigInt(high[i]) * 2n ** 32n + BigInt(l >>> 0))
  }

  private longInts(count: number, place: number): number[] {
    const { mixer } = this
    const set = 576 + 8 * (hash(place, 0) & 31)
    const columns = this.columns.filter((c) => c.length === count).slice(0, 7)
    const out: number[] = []
    const besides = (at: number): number[] => columns.map((c, k) => hash(hash(at, k), c[out.length]))
    const guess = mixer.bit(0, [hash(place, 1)], 1, set)
    const delta = mixer.bit(0, [hash(place, 2)], 2, set)
    const other = columns[mixer.number(0, [hash(place, 3)], set)]
    const memory = new Int32Array(4096)
    for (let history = 0, i = 0; i < count; i++) {
      const [left, left2] = [out[i - 1] ?? 0, out[i - 2] ?? 0]
      const key = hash(left, columns[0]?.[i] ?? 0) & 4095
      const beside = other?.[i] ?? 0
      const known = [left, left + 1, 0, beside, beside + 1, 2 * left - left2, memory[key]]
      let choice = 7
      if (guess) {
        const contexts = [place, hash(place, history & 7), hash(place, 64 + (history & 63)), ...besides(place)]
        choice = mixer.symbol(0, 3, contexts, set + 1)
        history = (history * 8 + choice) & 63
      }
      let v = known[choice]
      if (choice === 7) {
        const at = [hash(place, 4), hash(hash(place, 5), left), hash(hash(place, 6), left2), ...besides(hash(place, 7))]
        const n = mixer.number(0, at, set + 2)
        v = (n % 2 === 0 ? n / 2 : -(n + 1) / 2) + (delta ? left : 0)
      }
      out.push(v | 0)
      memory[key] = v
    }
    this.columns = [out, ...this.columns].slice(0, 16)
    return out
  }

  private value(type: string, { name, kind }: Field, wanted: unknown, place: number, parent: Tree): unknown {
    if (kind === 'NodeProto' || kind === 'GraphProto') return this.message(kind, wanted as Tree | undefined, 0)
    if (kind in tables.messages) return this.message(kind, wanted as Tree | undefined, hash(place, hashText(type)))
    if (kind === 'int') return this.int(wanted as number | undefined, place)
    if (kind === 'float') return this.float(wanted as number | undefined, place)
    if (type === 'TensorProto' && name === 'rawData') return this.tensor(parent)
    if (type === 'ValueInfoProto' && name === 'type') {
      if (!this.mixer.bit(1, [place], 1, 384)) return this.names.bytes(undefined, place, false)
      return encode('TypeProto', this.message('TypeProto', wanted as Tree | undefined, place))
    }
    const bytes = typeof wanted === 'string' ? utf8.encode(wanted) : undefined
    if (!tables.messages[type].names?.includes(name)) return this.names.bytes(bytes, place, true)
    const role = type === 'NodeProto' ? (name === 'inputs' ? 1 : 2) : type === 'TensorProto' ? 3 : 4
    return this.names.name(bytes, place, role)
  }

  private int(wanted: number | undefined, place: number): bigint {
    const before = this.last.get(place) ?? 0
    const { mixer, previous } = this
    const contexts = [place, hash(place, before), hash(place, previous), hash(previous, before)]
    const value = wanted ?? 0
    const negative = mixer.bit(value < 0 ? 1 : 0, contexts, 1, 192)
    let size: bigint
    if (mixer.bit(0, contexts, 2, 192)) {
      const high = BigInt(mixer.number(0, contexts, 128))
      size = (high << 32n) | BigInt(mixer.number(0, contexts, 129))
    } else size = BigInt(mixer.number(value < 0 ? -1 - value : value, contexts, 128))
    const result = BigInt.asIntN(64, negative ? -1n - size : size)
    this.previous = Number(BigInt.asIntN(32, result))
    this.last.set(place, this.previous)
    return result
  }

  private float(wanted: number | undefined, place: number): number {
    const view = new DataView(new ArrayBuffer(4))
    view.setFloat32(0, wanted ?? 0)
    const bits = view.getUint32(0)
    const before = this.last.get(place) ?? 0
    let out = 0
    for (const shift of [24, 16, 8, 0]) {
      const contexts = [hash(place, shift), hash(hash(place, shift), before), hash(shift, out)]
      out = (out << 8) | this.mixer.symbol((bits >>> shift) & 255, 8, contexts, 256)
    }
    this.last.set(place, out)
    view.setInt32(0, out)
    return view.getFloat32(0)
  }

  tensor(tree: Tree): Uint8Array {
    if (this.isPrimer) return new Uint8Array(0)
    const code = Number(tree.dataType ?? 0)
    const type = tables.types.find((t) => t.code === code)
    if (!type) throw new Error(`element type ${code}`)
    const dims = ((tree.dims ?? []) as bigint[]).map(Number)
    const size = dims.reduce((a, b) => a * b, 1)
    const axis = dims.findIndex((d) => d > 1)
    if (size <= 2 ** 22 || type.bits === 0) this.part(tree, type, dims)
    else {
      const unit = type.bits < 8 ? 8 : 1
      const rows = Math.max(unit, Math.floor((2 ** 22 * dims[axis]) / size / unit) * unit)
      for (let from = 0; from < dims[axis]; from += rows)
        this.part(tree, type, dims.with(axis, Math.min(rows, dims[axis] - from)))
    }
    return new Uint8Array(0)
  }

  private part(tree: Tree, type: Tables['types'][number], dims: readonly number[]): void {
    const { mixer } = this
    const size = dims.reduce((a, b) => a * b, 1)
    const byteLength = Math.ceil((size * type.bits) / 8)
    const kind = hash(type.name.length * 31 + type.name.charCodeAt(type.name.length - 1), dims.length)
    const sized = hash(kind, Math.min(size, 64))
    const number = mixer.symbol(0, 4, [kind, sized, hash(sized, this.lastCoding.get(kind) ?? 0)], 960)
    this.lastCoding.set(kind, number)
    const coding = tables.codings[number]
    const parameters: number[] = []
    for (let i = 0; i < coding.parameterCount; i++) {
      const place = hash(number * 8 + i, kind)
      const contexts = [place, hash(place, this.lastParameter.get(place) ?? 0), hash(place, parameters[0] ?? 0)]
      parameters.push(mixer.number(0, contexts, 961))
      this.lastParameter.set(place, parameters[i])
    }
    const [lowBits, predictor, offset] = [0, 1, 2].map((i) =>
      coding.hasIntegers ? mixer.number(0, [hash(hash(number, 0x10b175), i), hash(kind, i)], 963 + i) : 0,
    )
    const table = coding.hasTable ? this.table(hash(number, coding.name === 'inline' ? sized : kind)) : undefined
    const data =
      coding.name === 'inline'
        ? table
        : coding.name === 'constant'
          ? Uint8Array.from({ length: byteLength }, (_, i) => (table as Uint8Array)[i % (table as Uint8Array).length])
          : undefined
    const name = new TextDecoder().decode((tree.name ?? new Uint8Array(0)) as Uint8Array)
    const tensor = {
      name,
      dtype: type.name,
      dims,
      bits: type.bits,
      byteLength,
      coding: coding.name,
      parameters,
      form: { lowBits, predictor, offset },
      table,
      data,
      tree,
    }
    this.tensors.push(tensor)
  }

  private table(place: number): Uint8Array {
    const before = this.lastTable.get(place)
    const length = this.mixer.number(0, [place, hash(place, before?.length ?? 0)], 962)
    const out = new Uint8Array(length)
    let whole = hash(place, length)
    for (let i = 0; i < length; i++) {
      const column = i % 4
      const at = (d: number): number => (i >= d ? out[i - d] : 0)
      const contexts = [
        hash(place, column),
        hash(whole, 1),
        hash(hash(column, 2), before && i < before.length ? before[i] : -1),
        hash(hash(column, 3), at(4) | (at(1) << 8)),
        hash(hash(column, 4), at(4) | (at(8) << 8)),
        hash(hash(column, 5), at(1)),
      ]
      out[i] = this.mixer.symbol(0, 8, contexts, 968 + column)
      whole = hash(whole, out[i])
    }
    this.lastTable.set(place, out)
    return out
  }
}

// ---- ONNX out

function encode(type: string, tree: Tree): Uint8Array {
  const out: Uint8Array[] = []
  const varint = (value: bigint): Uint8Array => {
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, value)
    for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
    return Uint8Array.of(...bytes, Number(rest))
  }
  const float = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer)
  const delimited = (number: string, bytes: Uint8Array): void => {
    out.push(varint(BigInt(Number(number) * 8 + 2)), varint(BigInt(bytes.length)), bytes)
  }
  for (const [number, { name, kind, repeated, unpacked }] of Object.entries(tables.messages[type].fields)) {
    const value = tree[name]
    if (value === undefined) continue
    const values = repeated ? (value as unknown[]) : [value]
    const isScalar = kind === 'int' || kind === 'float'
    const scalar = (v: unknown): Uint8Array => (kind === 'int' ? varint(v as bigint) : float(v as number))
    if (isScalar && repeated && !unpacked) {
      if (values.length > 0) delimited(number, joined(values.map(scalar)))
    } else if (isScalar) {
      for (const v of values) out.push(varint(BigInt(Number(number) * 8 + (kind === 'int' ? 0 : 5))), scalar(v))
    } else if (kind in tables.messages) for (const v of values) delimited(number, encode(kind, v as Tree))
    else if (!kind.startsWith('raw') || (value as Uint8Array).length > 0)
      for (const v of values) delimited(number, v as Uint8Array)
  }
  if (tree.unknown) out.push(tree.unknown as Uint8Array)
  return joined(out)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

// ---- the file

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return ~crc >>> 0
}

export function readBySpec(file: Uint8Array): SpecFile {
  let at = 4
  const u32 = (): number => {
    at += 4
    return new DataView(file.buffer, file.byteOffset).getUint32(at - 4, true)
  }
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = file[at++]
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  const check = (from: number, to: number, sum: number): void => {
    if (crc32(file.subarray(from, to)) !== sum) throw new Error('the checksum does not fit')
  }
  if (file[0] !== 0x63 || file[1] !== 0x6f || file[2] !== 0x70 || file[3] !== 8) throw new Error('no packed file')
  const headSum = u32()
  const modeByte = file[at++]
  const modeOf = (): number => (modeByte < 4 ? modeByte : file[at++])
  const total = varint()
  const besideData = varint()
  const headLength = varint()
  const sizes = Array.from({ length: varint() }, () => ({
    mode: modeOf(),
    integers: varint(),
    raw: varint(),
    sum: u32(),
  }))
  check(8, at + headLength, headSum)
  const head = new Head(file.subarray(at, at + headLength))
  at += headLength
  const tree = besideData === 0 ? undefined : head.message('ModelProto', undefined, 1)
  if (!tree) head.tensor({ dataType: 2n, dims: [BigInt(total)] })

  const members: SpecTensor[][] = sizes.map(() => [])
  let size = 2 ** 20
  let index = -1
  for (const tensor of head.tensors) {
    if (['inline', 'constant', 'copy'].includes(tensor.coding)) continue
    if (size >= 2 ** 20) {
      index++
      size = 0
    }
    members[index].push(tensor)
    size += tensor.dims.reduce((a, b) => a * b, 1)
  }
  const groups = sizes.map(({ mode, integers, raw, sum }, i) => {
    const middle = at + integers
    const end = middle + raw
    check(at, end, sum)
    const group = { mode, tensors: members[i], integers: file.subarray(at, middle), raw: file.subarray(middle, end) }
    at = end
    return group
  })
  if (at !== file.length) throw new Error('bytes after the end')
  return {
    tensors: head.tensors,
    groups,
    onnx() {
      const parts = new Map<Tree, Uint8Array[]>()
      for (const { tree: place, data } of head.tensors)
        parts.set(place, [...(parts.get(place) ?? []), data as Uint8Array])
      for (const [place, data] of parts) place.rawData = joined(data)
      const out = tree ? encode('ModelProto', tree) : joined(head.tensors.map((t) => t.data as Uint8Array))
      const dataLength = head.tensors.reduce((n, t) => n + t.byteLength, 0)
      if (out.length !== total || total - dataLength !== besideData) throw new Error('lengths that do not fit')
      return out
    },
  }
}
