/**
 * NumPy's .npy and .npz. Source: numpy/lib/format.py (versions 1.0 to 3.0): magic, version, header length, a Python
 * dictionary with `descr`, `fortran_order` and `shape`, then the elements. An .npz is a ZIP of .npy files.
 */
import { UnsupportedError } from '../errors.ts'
import { bytesOf, halfToFloat, sizeOf } from '../tensor/dtype.ts'
import { readZip, writeZip } from './zip.ts'

export interface NpyArray {
  readonly shape: readonly number[]
  /** Row-major. float16 and float64 are read as float32, bool as uint8, 64-bit and unsigned wide integers as int32. */
  readonly data: Uint8Array | Int8Array | Int32Array | Float32Array | Float64Array
  /** The bytes of `data` are truth values, 0 or 1, and no pixels. */
  readonly boolean?: true
}

/** Reads one .npy; `subject` (its name) begins every error. */
export function readNpy(bytes: Uint8Array, subject: string): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 10 || view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059) {
    throw new Error(`${subject}: it is not a .npy array`)
  }
  const major = bytes[6]
  if (major < 1 || major > 3) throw new UnsupportedError(`${subject}: .npy version ${major} is not one that is read`)
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
  const width = Number(descr.slice(2))
  const body = bytes.subarray(start + headerBytes)
  if (body.length !== size * width) {
    throw new Error(`${subject}: ${body.length} bytes of data; expected ${size * width} for [${shape.join(',')}]`)
  }
  const data = elements(body, descr, size, subject)
  return {
    shape,
    data: fortran === 'True' ? rowMajor(data, shape) : data,
    ...(descr === '|b1' ? { boolean: true } : {}),
  }
}

function elements(body: Uint8Array, descr: string, size: number, subject: string): NpyArray['data'] {
  const bytes = new Uint8Array(body) // a copy: .npy data lies at any alignment (a Buffer's slice would not copy)
  const { buffer } = bytes
  switch (descr) {
    case '|u1':
    case '|b1':
      return bytes
    case '|i1':
      return new Int8Array(buffer)
    case '<i2':
      return Int32Array.from(new Int16Array(buffer))
    case '<u2':
      return Int32Array.from(new Uint16Array(buffer))
    case '<i4':
      return new Int32Array(buffer)
    case '<u4':
      return Int32Array.from(new Uint32Array(buffer), (v) => whole32(v, subject))
    case '<i8':
      return Int32Array.from({ length: size }, wholes(new BigInt64Array(buffer), subject))
    case '<u8':
      return Int32Array.from({ length: size }, wholes(new BigUint64Array(buffer), subject))
    case '<f2':
      return Float32Array.from(new Uint16Array(buffer), halfToFloat)
    case '<f4':
      return new Float32Array(buffer)
    case '<f8':
      return Float32Array.from(new Float64Array(buffer))
    default:
      throw new UnsupportedError(`${subject}: element type "${descr}" is not one that is read`)
  }
}

function wholes(values: BigInt64Array | BigUint64Array, subject: string): (_: unknown, i: number) => number {
  return (_, i) => whole32(Number(values[i]), subject)
}

function whole32(value: number, subject: string): number {
  if (value !== (value | 0)) throw new UnsupportedError(`${subject}: the value ${value} does not fit 32 bits`)
  return value
}

/** Column-major elements in row-major order. */
function rowMajor<T extends NpyArray['data']>(data: T, shape: readonly number[]): T {
  const out = data.slice() as T
  const index = new Uint32Array(shape.length)
  for (let i = 0; i < data.length; i++) {
    let at = 0
    for (let axis = shape.length - 1; axis >= 0; axis--) at = at * shape[axis] + index[axis]
    out[i] = data[at]
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0
  }
  return out
}

const descrs = new Map<unknown, string>([
  [Uint8Array, '|u1'],
  [Int8Array, '|i1'],
  [Int32Array, '<i4'],
  [Float32Array, '<f4'],
])

/** The array as a .npy file (version 1.0). */
export function writeNpy({ shape, data, boolean }: NpyArray): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  const descr = boolean ? '|b1' : descrs.get(data.constructor)
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`
  const header = new TextEncoder().encode(`${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`)
  const prefix = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8)
  const out = new Uint8Array(prefix.length + header.length + data.byteLength)
  out.set(prefix)
  out.set(header, prefix.length)
  out.set(bytesOf(data), prefix.length + header.length)
  return out
}

/** Every array of an .npz, by name. */
export async function readNpz(bytes: Uint8Array, subject: string): Promise<Map<string, NpyArray>> {
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
