/**
 * NumPy's .npy and .npz. Source: numpy/lib/format.py (versions 1.0 to 3.0): magic, version, header length, a Python
 * dictionary with `descr`, `fortran_order` and `shape`, then the elements. An .npz is a ZIP of .npy files.
 */
import { UnsupportedError } from '../errors.ts'
import { bytesOf, halfToFloat, sizeOf } from '../tensor/dtype.ts'
import { readZip, writeZip } from './zip.ts'

export interface NpyArray {
  readonly shape: readonly number[]
  /**
   * Row-major. float16 is read as float32, bool as uint8, integers of 16 bits and more as int32 (as float64 where they do not
   * fit). Empty for text.
   */
  readonly data: Uint8Array | Int8Array | Int32Array | Float32Array | Float64Array
  /** The bytes of `data` are truth values, 0 or 1, and no pixels. */
  readonly boolean?: true
  /** Text (NumPy's types U and S), row-major. */
  readonly strings?: readonly string[]
}

/** Whether it begins as a .npy does, with a byte and NUMPY. */
function isNpy(bytes: Uint8Array): boolean {
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
  return bytes.length >= 10 && magic.every((byte, i) => bytes[i] === byte)
}

/** Reads one .npy; `subject` (its name) begins every error. */
export function readNpy(bytes: Uint8Array, subject: string): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!isNpy(bytes)) {
    throw new Error(`${subject}: it is not a .npy array`)
  }
  const major = bytes[6]
  if (major < 1 || major > 3) throw new UnsupportedError(`${subject}: .npy version ${major} is not supported`)
  const start = major === 1 ? 10 : 12
  const headerBytes = major === 1 ? view.getUint16(8, true) : bytes.length >= 12 ? view.getUint32(8, true) : 0
  if (start + headerBytes > bytes.length) throw new Error(`${subject}: its .npy header is cut short`)
  const header = new TextDecoder().decode(bytes.subarray(start, start + headerBytes))
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1]
  const fortran = /'fortran_order':\s*(True|False)/.exec(header)?.[1]
  const shapeText = /'shape':\s*\(([\d\s,]*)\)/.exec(header)?.[1]
  if (descr === undefined || fortran === undefined || shapeText === undefined) {
    throw new UnsupportedError(
      `${subject}: its .npy header describes no plain array: ${JSON.stringify(header.trim().slice(0, 80))}`,
    )
  }
  const shape = shapeText.split(',').flatMap((d) => (d.trim() ? [Number(d)] : []))
  const size = sizeOf(shape)
  const type = elementType(descr, subject)
  const body = bytes.subarray(start + headerBytes)
  if (body.length !== size * type.width) {
    throw new Error(`${subject}: ${body.length} bytes of data; expected ${size * type.width} for [${shape.join(',')}]`)
  }
  const own = new Uint8Array(body) // a copy: .npy data lies at any alignment (a Buffer's slice would not copy)
  if (descr[0] === '>') swapBytes(own, type.kind === 'U' ? 4 : type.width)
  const order = fortran === 'True' ? rowMajor(shape) : undefined
  if (type.kind === 'U' || type.kind === 'S') {
    const strings = textsOf(own, size, type)
    return { shape, data: new Uint8Array(0), strings: order ? Array.from(order, (at) => strings[at]) : strings }
  }
  const data = elements(own.buffer, type, subject)
  return {
    shape,
    data: order ? data.map((_, i) => data[order[i]]) : data,
    ...(type.kind === 'b' ? { boolean: true } : {}),
  }
}

interface ElementType {
  /** NumPy's letter: i, u, f, b (bool), U (UTF-32 text), S (bytes of text). */
  readonly kind: string
  /** Bytes per element. */
  readonly width: number
}

const widths: Readonly<Record<string, readonly number[]>> = { i: [1, 2, 4, 8], u: [1, 2, 4, 8], f: [2, 4, 8], b: [1] }

function elementType(descr: string, subject: string): ElementType {
  const [, kind, digits] = /^[<>|=]([a-zA-Z])(\d*)$/.exec(descr) ?? []
  if (kind === 'O')
    throw new UnsupportedError(
      `${subject}: it holds Python objects, which are not read; expected numbers or strings of one type (lists of different lengths become objects; .astype(str) makes strings of them)`,
    )
  const width = Number(digits)
  if (kind === 'U' && width > 0) return { kind, width: 4 * width }
  if (kind === 'S' && width > 0) return { kind, width }
  if (!widths[kind]?.includes(width))
    throw new UnsupportedError(
      `${subject}: element type "${descr}" is not supported; expected integers, floats of 16 to 64 bits, bool or strings`,
    )
  return { kind, width }
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let at = 0; at + width <= bytes.length; at += width) bytes.subarray(at, at + width).reverse()
}

function elements(buffer: ArrayBuffer, { kind, width }: ElementType, subject: string): NpyArray['data'] {
  switch (`${kind}${width}`) {
    case 'u1':
    case 'b1':
      return new Uint8Array(buffer)
    case 'i1':
      return new Int8Array(buffer)
    case 'i2':
      return Int32Array.from(new Int16Array(buffer))
    case 'u2':
      return Int32Array.from(new Uint16Array(buffer))
    case 'i4':
      return new Int32Array(buffer)
    case 'u4':
      return narrowed(Float64Array.from(new Uint32Array(buffer)))
    case 'f2':
      return Float32Array.from(new Uint16Array(buffer), halfToFloat)
    case 'f4':
      return new Float32Array(buffer)
    case 'f8':
      return new Float64Array(buffer)
    default: {
      const wide = kind === 'u' ? new BigUint64Array(buffer) : new BigInt64Array(buffer)
      const values = Float64Array.from(wide as BigInt64Array, Number)
      const wrong = values.findIndex((v) => !Number.isSafeInteger(v))
      if (wrong >= 0) throw new UnsupportedError(`${subject}: the value ${wide[wrong]} does not fit 53 bits`)
      return narrowed(values)
    }
  }
}

/** As int32 where all fit. */
function narrowed(values: Float64Array): Int32Array | Float64Array {
  return values.every((v) => v === (v | 0)) ? Int32Array.from(values) : values
}

/** Fixed-width texts, padded with zeros: UTF-32 (U), or bytes that are read as UTF-8 (S). */
function textsOf(bytes: Uint8Array<ArrayBuffer>, size: number, { kind, width }: ElementType): string[] {
  const decoder = new TextDecoder()
  const points = kind === 'U' ? new Uint32Array(bytes.buffer) : undefined
  return Array.from({ length: size }, (_, i) => {
    if (!points) return decoder.decode(bytes.subarray(i * width, (i + 1) * width)).replace(/\0+$/, '')
    const text = points.subarray((i * width) / 4, ((i + 1) * width) / 4)
    // What is no code point (a damaged file) is shown as one.
    return Array.from(text, (p) => String.fromCodePoint(p <= 0x10ffff ? p : 0xfffd))
      .join('')
      .replace(/\0+$/, '')
  })
}

/** Where each element of a row-major array lies in the column-major one. */
function rowMajor(shape: readonly number[]): Uint32Array {
  const places = new Uint32Array(sizeOf(shape))
  const index = new Uint32Array(shape.length)
  for (let i = 0; i < places.length; i++) {
    let at = 0
    for (let axis = shape.length - 1; axis >= 0; axis--) at = at * shape[axis] + index[axis]
    places[i] = at
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0
  }
  return places
}

const descrs = new Map<unknown, string>([
  [Uint8Array, '|u1'],
  [Int8Array, '|i1'],
  [Int32Array, '<i4'],
  [Float32Array, '<f4'],
  [Float64Array, '<f8'],
])

/** The array as a .npy file (version 1.0). */
export function writeNpy({ shape, data, boolean, strings }: NpyArray): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  const longest = strings?.reduce((most, text) => Math.max(most, [...text].length), 1) ?? 0
  const descr = strings ? `<U${longest}` : boolean ? '|b1' : descrs.get(data.constructor)
  const body = strings ? bytesOf(Uint32Array.from(strings.flatMap((text) => padded(text, longest)))) : bytesOf(data)
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`
  const header = new TextEncoder().encode(`${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`)
  const prefix = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8)
  const out = new Uint8Array(prefix.length + header.length + body.byteLength)
  out.set(prefix)
  out.set(header, prefix.length)
  out.set(body, prefix.length + header.length)
  return out
}

/** The text's code points, and zeros. */
function padded(text: string, length: number): number[] {
  const points = Array.from(text, (character) => character.codePointAt(0)!)
  return [...points, ...new Array<number>(length - points.length).fill(0)]
}

/** Every array of an .npz, by name. */
export async function readNpz(bytes: Uint8Array, subject: string): Promise<Map<string, NpyArray>> {
  if (isNpy(bytes)) throw new Error(`${subject}: it is a single .npy array; expected an .npz, which names its arrays`)
  const arrays = new Map<string, NpyArray>()
  for (const entry of await readZip(bytes, subject)) {
    const name = entry.name.replace(/\.npy$/, '')
    arrays.set(name, readNpy(entry.bytes, `${subject}: array "${name}"`))
  }
  return arrays
}

/** The arrays as an .npz, deflated where `packed`. */
export function writeNpz(arrays: Readonly<Record<string, NpyArray>>, packed = false): Promise<Uint8Array> {
  const entries = Object.entries(arrays).map(([name, array]) => ({ name: `${name}.npy`, bytes: writeNpy(array) }))
  return writeZip(entries, packed)
}
