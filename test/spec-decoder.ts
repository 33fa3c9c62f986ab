/**
 * A second decoder of packed files, written after docs/format.md and docs/format/head.json alone: it imports nothing from
 * src, so that nothing but the page can have told it anything. It reads layout and head, and writes the ONNX file around
 * the tensors; those from integer streams and raw bits are decoded in spec-integers.ts.
 */
import { readFileSync } from 'node:fs'

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

// ---- probabilities

/** R of the page. */
export const reciprocal = Array.from({ length: 1024 }, (_, n) => Math.floor(163840 / (10 * n + 16)))
export const squash = (() => {
  const table = new Int32Array(2 * 3071 + 1)
  let e = 1
  for (let x = 0; x <= 3071; x++) {
    const p = Math.floor((65536 * e) / (1 + e) + 0.5)
    table[3071 + x] = Math.min(65535, p)
    table[3071 - x] = Math.max(1, 65536 - p)
    e *= 1.0039138893383475
  }
  return (x: number): number => table[3071 + x]
})()
export const stretch = Array.from({ length: 4096 }, (_, i) => {
  let low = -3071
  let high = 3071
  // The smallest x with squash(x) >= 16 i + 8, or 3071.
  while (low < high) {
    const middle = (low + high) >> 1
    if (squash(middle) >= 16 * i + 8) high = middle
    else low = middle + 1
  }
  return low
})

export const hash = (a: number, b: number): number => {
  let h = Math.imul(a, 0x2c1b3c6d) ^ Math.imul((b + 0x7f4a7c15) | 0, 0x297a2d39)
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b)
  return h ^ (h >>> 13)
}
const hashAll = (bytes: Iterable<number>): number => {
  let h = 0
  for (const b of bytes) h = hash(h, b)
  return h
}
const utf8 = new TextEncoder()
const hashText = (s: string): number => hashAll(utf8.encode(s))

// ---- the arithmetic decoder, and a coder that is told the bits (for the primer)

interface BitCoder {
  bit(p: number): number
}

export class RangeDecoder implements BitCoder {
  range = 0xffffffff
  code = 0
  private at = 0
  private readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    for (let i = 0; i < 4; i++) this.code = this.code * 256 + this.next()
  }
  private next(): number {
    if (this.at > this.bytes.length + 12) throw new Error('the stream ends too soon')
    return this.bytes[this.at++] ?? 0
  }
  bit(p: number): number {
    const bound = Math.floor(this.range / 65536) * p
    const bit = this.code < bound ? 1 : 0
    if (bit) this.range = bound
    else {
      this.code -= bound
      this.range -= bound
    }
    this.fill()
    return bit
  }
  /** Reads bytes until the range is wide enough for the next step. */
  fill(): void {
    for (; this.range < 2 ** 24; this.range *= 256) this.code = this.code * 256 + this.next()
  }
}

export class Mixer {
  coder: BitCoder
  /** While the primer is coded: the bit that is wanted next. */
  told: number | undefined
  private readonly p: readonly Int32Array[]
  private readonly n: readonly Uint16Array[]
  private readonly weights = new Int32Array(1024 * 10).fill(20000)
  /** Bits that each set has coded. */
  private readonly coded = new Int32Array(1024)
  private readonly slots: number
  private readonly limit: number
  constructor(coder: BitCoder, { slots = 65536, limit = 60 } = {}) {
    this.coder = coder
    this.slots = slots
    this.limit = limit
    this.p = Array.from({ length: 10 }, () => new Int32Array(slots).fill(1 << 21))
    this.n = Array.from({ length: 10 }, () => new Uint16Array(slots))
  }
  bit(wanted: number, contexts: readonly number[], node: number, set: number): number {
    const slots = contexts.map((c) => hash(c, node) & (this.slots - 1))
    const s = slots.map((slot, j) => {
      const count = this.n[j][slot]
      const x = count === 0 ? 0 : stretch[this.p[j][slot] >> 10]
      return count > 3 ? x + (x >> 1) : x
    })
    let sum = 0
    for (const [j, x] of s.entries()) sum += Math.imul(this.weights[10 * set + j], x) >> 4
    const p = squash(Math.max(-2047, Math.min(2047, sum >> 12)))
    this.told = wanted
    const bit = this.coder.bit(p)
    const error = bit * 65536 - p
    const uses = ++this.coded[set]
    const shift = uses < 256 ? 14 : uses < 2048 ? 15 : uses < 16384 ? 16 : 17
    for (const [j, slot] of slots.entries()) {
      const weight = this.weights[10 * set + j] + ((Math.imul(error, s[j]) + 2 ** (shift - 1)) >> shift)
      this.weights[10 * set + j] = Math.max(-(2 ** 18), Math.min(2 ** 18, weight))
      const [old, count] = [this.p[j][slot], this.n[j][slot]]
      this.p[j][slot] = old + (Math.imul(((bit ? 4194303 : 0) - old) >> 5, reciprocal[count]) >> 9)
      if (count < this.limit) this.n[j][slot]++
    }
    return bit
  }
  symbol(wanted: number, count: number, contexts: readonly number[], set: number): number {
    let node = 1
    for (let i = count - 1; i >= 0; i--) node = 2 * node + this.bit((wanted >> i) & 1, contexts, node, set)
    return node - 2 ** count
  }
  number(wanted: number, contexts: readonly number[], set: number): number {
    const bits = (wanted + 1).toString(2)
    let length = 0
    while (length < 53 && this.bit(length < bits.length - 1 ? 1 : 0, contexts, length + 1, set)) length++
    let out = 1
    for (let i = length - 1; i >= 0; i--) {
      const node = out < 4096 ? 64 + 4096 * length + out : 32 + i
      out = 2 * out + this.bit(Number(bits[bits.length - 1 - i] ?? 0), contexts, node, set)
    }
    return out - 1
  }
}

// ---- names and text

interface Entry {
  readonly bytes: Uint8Array
  roles: number
  next?: Entry
}

class Names {
  private readonly mixer: Mixer
  private readonly lastHow = new Map<number, number>()
  private readonly previous = new Map<number, Uint8Array>()
  private history: number[] = []
  private readonly positions = new Int32Array(65536)
  private readonly farPositions = new Int32Array(65536)
  private readonly starts = new Map<number, number>()
  private previousStart = 0
  private ordered: Entry[] = []
  private recent: Entry[] = []
  private cursor = [0, 0, 0, 0, 0]
  private last: Entry | undefined
  constructor(mixer: Mixer) {
    this.mixer = mixer
  }
  forget(): void {
    this.ordered = []
    this.recent = []
    this.cursor = [0, 0, 0, 0, 0]
    this.last = undefined
  }
  private nextInOrder(role: number): number {
    return this.ordered.findIndex(({ roles }, i) => {
      if (i < this.cursor[role] || roles & (1 << role)) return false
      return role === 3 ? !(roles & 4) : role === 4 ? (roles & 4) !== 0 : role === 2 && roles === 2
    })
  }
  name(wanted: Uint8Array | undefined, place: number, role: number): Uint8Array {
    const at = this.nextInOrder(role)
    const ordering = this.ordered[at]
    const follower = this.last?.next
    const before = this.lastHow.get(place) ?? 0
    const any = this.lastHow.get(-1) ?? 0
    const can = (ordering ? 1 : 0) + (follower ? 2 : 0) + (follower && follower === ordering ? 4 : 0)
    const contexts = [hash(place, can), hash(place, before * 8 + can), hash(role * 8 + can, any), hash(place, any)]
    const known = wanted && this.ordered.find((e) => same(e.bytes, wanted))
    const choice = !wanted || !known ? 0 : known === ordering ? 1 : known === follower ? 2 : 3
    const how = this.mixer.symbol(choice, 2, contexts, 448)
    this.lastHow.set(place, (before * 4 + how) & 63)
    this.lastHow.set(-1, (any * 4 + how) & 255)
    let entry: Entry | undefined
    if (how === 0) {
      const bytes = this.text(wanted, place, true)
      entry = this.ordered.find((e) => same(e.bytes, bytes))
      if (!entry) this.ordered.push((entry = { bytes, roles: 0 }))
    } else if (how === 1) {
      entry = ordering
      this.cursor[role] = at + 1
    } else if (how === 2) entry = follower
    else {
      const rank = known ? this.recent.length - 1 - this.recent.lastIndexOf(known) : 0
      entry =
        this.recent[this.recent.length - 1 - this.mixer.number(rank, [place, hash(role, before), hash(role, 77)], 449)]
    }
    if (!entry) throw new Error('a name that is not there')
    const found = entry
    entry.roles |= 1 << role
    this.recent = [...this.recent.filter((e) => e !== found), found]
    if (this.last) this.last.next = entry
    this.last = entry
    return entry.bytes
  }
  bytes(wanted: Uint8Array | undefined, place: number, repeats: boolean): Uint8Array {
    const before = repeats ? this.previous.get(place) : undefined
    if (before && this.mixer.bit(wanted && same(wanted, before) ? 1 : 0, [place, hash(place, 3)], 5, 448)) return before
    const out = this.text(wanted, place, false)
    if (repeats) this.previous.set(place, out)
    return out
  }
  private text(wanted: Uint8Array | undefined, place: number, isName: boolean): Uint8Array {
    const h = this.history
    const start = h.length
    const symbols = wanted && [...wanted].flatMap((b) => (b < 2 ? [1, b] : [b]))
    const lastStart = this.starts.get(place) ?? 0
    let alongPlace = lastStart
    let alongPrevious = isName ? this.previousStart : lastStart
    this.previousStart = start
    this.starts.set(place, start)
    let match = 0
    let matched = 0
    let whole = place
    let word = 0
    const out: number[] = []
    for (let escaped = false, i = 0; ; i++) {
      const at = h.length
      const [c1, c2, c3, c4] = [1, 2, 3, 4].map((d) => (at - d >= start ? h[at - d] : 0))
      const alike = alongPlace === lastStart + (at - start) ? 1 : 0
      const other = h[alongPlace || alongPrevious] ?? 0
      const expected = match > 0 ? h[match] : 0
      const length = match > 0 ? Math.min(matched, 15) : 0
      const contexts = [
        hash(1, place),
        hash(2, c1 | (place << 8)),
        hash(3, c1 | (c2 << 8)),
        hash(4, c1 | (c2 << 8) | (c3 << 16)),
        hash(5, c1 | (c2 << 8) | (c3 << 16) | (c4 << 24)),
        hash(6, expected | (length << 8)),
        hash(7, whole),
        hash(8, other | (c1 << 8) | (alike << 16)),
        hash(9, word),
      ]
      const set = 512 + 4 * length + (at === start ? 0 : alike ? 1 : 2)
      const symbol = symbols?.[i] ?? 0
      const near = hash(10, Math.min(matched, 32))
      const long = [near, hash(11, expected | (c1 << 8)), hash(near, expected), hash(12, whole), hash(13, word)]
      const isExpected = matched >= 16 && this.mixer.bit(symbol === expected ? 1 : 0, long, 1, 450) === 1
      const byte = isExpected ? expected : this.mixer.symbol(symbol, 8, contexts, set)
      if (alongPlace > 0 && h[alongPlace] !== 0) alongPlace++
      if (alongPrevious > 0 && h[alongPrevious] !== 0) alongPrevious++
      h.push(byte)
      whole = hash(whole, byte)
      word = /[a-zA-Z]/.test(String.fromCharCode(byte)) ? hash(word, byte) : 0
      if (match > 0 && h[match] === byte) {
        match++
        matched++
      } else match = matched = 0
      const n = h.length
      const few = n - start
      const key =
        few >= 3
          ? hash(h[n - 1] | (h[n - 2] << 8) | (h[n - 3] << 16), 11)
          : hash(place, few === 1 ? h[n - 1] : h[n - 1] | (h[n - 2] << 8))
      if (few >= 8) {
        const [low, high] = [1, 5].map(
          (d) => h[n - d] | (h[n - d - 1] << 8) | (h[n - d - 2] << 16) | (h[n - d - 3] << 24),
        )
        const far = hash(low, high) & 0xffff
        if (match === 0) match = this.farPositions[far]
        this.farPositions[far] = n
      }
      if (match === 0) match = this.positions[key & 0xffff]
      this.positions[key & 0xffff] = n
      if (match > 0 && matched === 0)
        while (matched < 32 && matched < match && h[match - 1 - matched] === h[n - 1 - matched]) matched++
      if (!escaped && byte === 0) return Uint8Array.from(out)
      if (!escaped && byte === 1) escaped = true
      else {
        escaped = false
        out.push(byte)
      }
    }
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i])
}

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
    if (kind === 'int' && !this.mixer.bit(1, [hash(place, 9)], 3, 64)) return undefined
    const { mixer } = this
    const set = 576 + 8 * (hash(place, 0) & 31)
    const columns = this.columns.filter((c) => c.length === count).slice(0, 7)
    const out: number[] = []
    const besides = (at: number): number[] => columns.map((c, k) => hash(hash(at, k), c[out.length]))
    const texts: Uint8Array[] = []
    const numberOf = (text: Uint8Array): number => texts.findIndex((t) => same(t, text)) + 1
    if (kind === 'int') this.longInts(place, set, { columns, out, count, besides, wanted })
    else {
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
          const contexts = [
            place,
            hash(hash(place, 1), left),
            hash(hash(place, 2), hash(left, left2)),
            ...besides(place),
          ]
          const number = mixer.number(bytes ? numberOf(bytes) : 0, contexts, set + 2)
          const isNew = number === 0 || number > texts.length
          if (isNew) texts.push(this.names.bytes(bytes, hash(place, 8), false))
          out.push(isNew ? texts.length : number)
        }
      }
    }
    this.columns = [out, ...this.columns].slice(0, 16)
    if (kind === 'int') return out.map(BigInt)
    return kind === 'float' ? [...new Float32Array(Int32Array.from(out).buffer)] : out.map((n) => texts[n - 1])
  }

  private longInts(
    place: number,
    set: number,
    list: {
      readonly columns: readonly number[][]
      readonly out: number[]
      readonly count: number
      readonly besides: (at: number) => number[]
      readonly wanted: unknown[] | undefined
    },
  ): void {
    if (list.wanted) throw new Error('the primer has no long list of integers')
    const { columns, out, count, besides } = list
    const { mixer } = this
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
  }

  private value(type: string, { name, kind }: Field, wanted: unknown, place: number, parent: Tree): unknown {
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
  if (file[0] !== 0x63 || file[1] !== 0x6f || file[2] !== 0x70 || file[3] !== 4) throw new Error('no packed file')
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
