/**
 * Protocol Buffers' wire format, driven by tables of fields: one table both decodes and encodes a message.
 * Byte fields are views of the input, never copies. Fields that a table does not name are kept as raw bytes.
 * Source: protobuf.dev/programming-guides/encoding.
 */
import type { Int } from '../model.ts'

/** `raw`: repeated scalars as their concatenated payload, packed or not. `text`: a string, or bytes where it is not UTF-8. */
export type Kind = 'int' | 'float' | 'string' | 'text' | 'bytes' | 'raw-varint' | 'raw-32' | 'raw-64' | Schema

export interface FieldDef {
  readonly name: string
  readonly kind: Kind
  readonly repeated?: boolean
  /** Write repeated scalars unpacked, as proto2 readers of ONNX's attributes expect. */
  readonly unpacked?: boolean
}

export interface Schema {
  readonly message: string
  readonly fields: () => Readonly<Record<number, FieldDef>>
}

/** A decoded message: field names to values; `unknown` holds the bytes of the fields that the table does not name. */
export type Message = { [field: string]: unknown; unknown?: Uint8Array }

/** Protobuf's own readers stop here, too. */
const maxDepth = 100

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const toUtf8 = new TextEncoder()

interface Reader {
  readonly bytes: Uint8Array
  readonly view: DataView
  at: number
}

/** Decodes a message. Throws a sentence with the byte offset where the bytes do not fit the format. */
export function decode(schema: Schema, bytes: Uint8Array): Message {
  const reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 }
  return decodeUntil(schema, reader, bytes.byteLength, 0)
}

function decodeUntil(schema: Schema, reader: Reader, end: number, depth: number): Message {
  if (depth > maxDepth) throw damaged(schema, reader.at, `messages nested more than ${maxDepth} deep`)
  const fields = schema.fields()
  const message: Message = {}
  const unknown: Uint8Array[] = []
  while (reader.at < end) {
    const start = reader.at
    const tag = readVarint(schema, reader, end)
    const field = Math.floor(tag / 8)
    const wireType = tag % 8
    if (field === 0 || field > 0x1fffffff) throw damaged(schema, start, `field number ${field}`)
    const def = fields[field]
    if (!def || !decodeField(schema, def, wireType, message, reader, end, depth)) {
      skip(schema, wireType, reader, end, depth)
      unknown.push(reader.bytes.subarray(start, reader.at))
    }
  }
  for (const def of Object.values(fields)) {
    if (typeof def.kind === 'string' && def.kind.startsWith('raw') && message[def.name]) {
      message[def.name] = concat(message[def.name] as Uint8Array[])
    }
  }
  if (unknown.length > 0) message.unknown = concat(unknown)
  return message
}

/** Reads one field into the message; false where the wire type is not one that its kind can have. */
function decodeField(
  schema: Schema,
  def: FieldDef,
  wireType: number,
  message: Message,
  reader: Reader,
  end: number,
  depth: number,
): boolean {
  const put = (value: unknown) => {
    if (def.repeated || (typeof def.kind === 'string' && def.kind.startsWith('raw'))) {
      const list = (message[def.name] ??= []) as unknown[]
      list.push(value)
    } else message[def.name] = value
  }
  const { kind } = def
  if (kind === 'int' && (wireType === 0 || (wireType === 2 && def.repeated))) {
    if (wireType === 0) put(readInt(schema, reader, end))
    else {
      const list = (message[def.name] ??= []) as Int[]
      const length = readLength(schema, reader, end, def.name)
      for (const until = reader.at + length; reader.at < until; ) list.push(readInt(schema, reader, until))
    }
    return true
  }
  if (kind === 'float' && (wireType === 5 || (wireType === 2 && def.repeated))) {
    const count = wireType === 5 ? 4 : readLength(schema, reader, end, def.name)
    if (count % 4 !== 0 || reader.at + count > end)
      throw damaged(schema, reader.at, `${count} bytes of floats in "${def.name}"`)
    if (wireType === 2 && def.repeated) message[def.name] ??= []
    for (const until = reader.at + count; reader.at < until; reader.at += 4)
      put(reader.view.getFloat32(reader.at, true))
    return true
  }
  if (kind === 'raw-varint' || kind === 'raw-32' || kind === 'raw-64') {
    const start = reader.at
    if (wireType === 2) {
      const length = readLength(schema, reader, end, def.name)
      put(reader.bytes.subarray(reader.at, reader.at + length))
      reader.at += length
      return true
    }
    if (wireType !== { 'raw-varint': 0, 'raw-32': 5, 'raw-64': 1 }[kind]) return false
    skip(schema, wireType, reader, end, depth)
    put(reader.bytes.subarray(start, reader.at))
    return true
  }
  if (wireType !== 2 || kind === 'int' || kind === 'float') return false
  const length = readLength(schema, reader, end, def.name)
  const start = reader.at
  reader.at += length
  if (typeof kind === 'object') {
    reader.at = start
    put(decodeUntil(kind, reader, start + length, depth + 1))
    return true
  }
  const slice = reader.bytes.subarray(start, start + length)
  put(kind === 'bytes' ? slice : toText(schema, slice, start, def))
  return true
}

function toText(schema: Schema, bytes: Uint8Array, at: number, def: FieldDef): string | Uint8Array {
  try {
    return utf8.decode(bytes)
  } catch {
    if (def.kind === 'text') return bytes
    throw damaged(schema, at, `"${def.name}" is not valid UTF-8`)
  }
}

/** A tag or length: at most 2^35, else damaged. */
function readVarint(schema: Schema, reader: Reader, end: number): number {
  let value = 0
  for (let shift = 1, n = 0; n < 5; n++, shift *= 128) {
    if (reader.at >= end) throw damaged(schema, reader.at, 'the file ends inside a number')
    const byte = reader.bytes[reader.at++]
    value += (byte & 127) * shift
    if (byte < 128) return value
  }
  throw damaged(schema, reader.at, 'a length of more than 5 bytes')
}

function readLength(schema: Schema, reader: Reader, end: number, field: string): number {
  const length = readVarint(schema, reader, end)
  if (length > end - reader.at) {
    throw damaged(schema, reader.at, `"${field}" wants ${length} bytes, ${end - reader.at} are left`)
  }
  return length
}

/** A signed 64-bit varint: a number where a double holds it. */
function readInt(schema: Schema, reader: Reader, end: number): Int {
  let low = 0
  let high = 0
  for (let n = 0; n < 10; n++) {
    if (reader.at >= end) throw damaged(schema, reader.at, 'the file ends inside a number')
    const byte = reader.bytes[reader.at++]
    if (n < 4) low += (byte & 127) * 2 ** (7 * n)
    else if (n === 4) {
      low += (byte & 15) * 2 ** 28
      high = (byte >> 4) & 7
    } else high += (byte & 127) * 2 ** (7 * n - 32)
    if (byte < 128) return int64(low, high % 2 ** 32)
  }
  throw damaged(schema, reader.at, 'a number of more than 10 bytes')
}

function int64(low: number, high: number): Int {
  const value = (high >= 2 ** 31 ? high - 2 ** 32 : high) * 2 ** 32 + low
  return Number.isSafeInteger(value) ? value : BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low))
}

function skip(schema: Schema, wireType: number, reader: Reader, end: number, depth: number): void {
  const start = reader.at
  if (wireType === 0) readInt(schema, reader, end)
  else if (wireType === 1) reader.at += 8
  else if (wireType === 5) reader.at += 4
  else if (wireType === 2) {
    const length = readLength(schema, reader, end, 'an unknown field') // moves the reader itself: not within +=
    reader.at += length
  } else throw damaged(schema, start, `wire type ${wireType} at depth ${depth}`)
  if (reader.at > end) throw damaged(schema, start, 'the file ends inside a field')
}

function damaged(schema: Schema, at: number, what: string): Error {
  return new Error(`onnx: ${what}; not an ONNX file, or a damaged one; in ${schema.message} at byte ${at}`)
}

/** The varints of a `raw-varint` field as signed 64-bit integers; `max` bounds how many there may be. */
export function varints(bytes: Uint8Array, max: number): BigInt64Array {
  let count = 0
  for (let i = 0; i < bytes.length; i++) if (bytes[i] < 128) count++
  if (count !== max) throw new Error(`onnx: ${count} numbers; expected ${max}`)
  const out = new BigInt64Array(count)
  const reader: Reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 }
  for (let i = 0; i < count; i++) out[i] = BigInt(readInt(varintList, reader, bytes.length))
  return out
}
const varintList: Schema = { message: 'a list of numbers', fields: () => ({}) }

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]
  let length = 0
  for (const part of parts) length += part.byteLength
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

/**
 * Encoded bytes in order; long byte fields stay views of the caller's memory, so that a file can be written without a copy.
 * A byte field may hold, in place of bytes, a `Later` whose bytes are made when their turn comes.
 */
export interface Encoded<Later extends { readonly byteLength: number } = never> {
  readonly chunks: (Uint8Array | Later)[]
  readonly byteLength: number
}

/** Encodes a message: fields in the order of their numbers, then the unknown ones. */
export function encode<Later extends { readonly byteLength: number } = never>(
  schema: Schema,
  message: Message,
): Encoded<Later> {
  const out = new Writer<Later>()
  for (const [number, def] of Object.entries(schema.fields())) {
    const value = message[def.name]
    if (value === undefined) continue
    encodeField(out, Number(number), def, value)
  }
  if (message.unknown) out.bytes(message.unknown)
  return out.finish()
}

function encodeField<Later extends { readonly byteLength: number }>(
  out: Writer<Later>,
  number: number,
  def: FieldDef,
  value: unknown,
): void {
  const { kind } = def
  if (kind === 'raw-varint' || kind === 'raw-32' || kind === 'raw-64') {
    if ((value as Uint8Array).byteLength > 0) out.lengthDelimited(number, value as Uint8Array)
    return
  }
  const values = def.repeated ? (value as unknown[]) : [value]
  if (def.repeated && !def.unpacked && (kind === 'int' || kind === 'float')) {
    if (values.length === 0) return
    const packed = new Writer<Later>()
    for (const v of values) kind === 'int' ? packed.int(v as Int) : packed.float(v as number)
    out.nested(number, packed.finish())
    return
  }
  for (const v of values) {
    if (kind === 'int') {
      out.varint(number * 8)
      out.int(v as Int)
    } else if (kind === 'float') {
      out.varint(number * 8 + 5)
      out.float(v as number)
    } else if (typeof kind === 'object') out.nested(number, encode<Later>(kind, v as Message))
    else out.lengthDelimited(number, typeof v === 'string' ? toUtf8.encode(v) : (v as Uint8Array | Later))
  }
}

class Writer<Later extends { readonly byteLength: number } = never> {
  private chunks: (Uint8Array | Later)[] = []
  private buffer = new Uint8Array(256)
  private view = new DataView(this.buffer.buffer)
  private used = 0
  private total = 0

  private reserve(n: number): void {
    if (this.used + n <= this.buffer.length) return
    this.flush()
    this.buffer = new Uint8Array(Math.max(1024, n))
    this.view = new DataView(this.buffer.buffer)
  }

  private flush(): void {
    if (this.used > 0) this.chunks.push(this.buffer.subarray(0, this.used))
    this.buffer = this.buffer.subarray(this.used)
    this.view = new DataView(this.buffer.buffer, this.buffer.byteOffset, this.buffer.byteLength)
    this.used = 0
  }

  varint(value: number): void {
    this.reserve(10)
    for (; value >= 128; value = Math.floor(value / 128)) this.put((value % 128) | 128)
    this.put(value)
  }

  private put(byte: number): void {
    this.buffer[this.used++] = byte
    this.total++
  }

  int(value: Int): void {
    if (typeof value === 'number' && value >= 0) {
      this.varint(value)
      return
    }
    this.reserve(10)
    let rest = BigInt.asUintN(64, BigInt(value))
    for (; rest >= 128n; rest >>= 7n) this.put(Number(rest & 127n) | 128)
    this.put(Number(rest))
  }

  float(value: number): void {
    this.reserve(4)
    this.view.setFloat32(this.used, value, true)
    this.used += 4
    this.total += 4
  }

  bytes(value: Uint8Array | Later): void {
    this.total += value.byteLength
    if (value instanceof Uint8Array && value.byteLength <= 64) {
      this.reserve(value.byteLength)
      this.buffer.set(value, this.used)
      this.used += value.byteLength
    } else {
      this.flush()
      this.chunks.push(value)
    }
  }

  lengthDelimited(field: number, value: Uint8Array | Later): void {
    this.varint(field * 8 + 2)
    this.varint(value.byteLength)
    this.bytes(value)
  }

  nested(field: number, encoded: Encoded<Later>): void {
    this.varint(field * 8 + 2)
    this.varint(encoded.byteLength)
    for (const chunk of encoded.chunks) this.bytes(chunk)
  }

  finish(): Encoded<Later> {
    this.flush()
    return { chunks: this.chunks, byteLength: this.total }
  }
}
