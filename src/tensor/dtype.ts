/**
 * ONNX's element types, and typed views of a tensor's bytes.
 *
 * `data` is little-endian at any alignment. `floats` and `integers` give typed arrays that share memory where the
 * alignment allows it and copy where not; treat them as readonly.
 */
import { UnsupportedError } from '../errors.ts'
import type { Tensor } from '../model.ts'

interface TypeInfo {
  /** TensorProto.DataType */
  readonly code: number
  /** Bits an element; 0 for strings. */
  readonly bits: number
  readonly kind: 'float' | 'int' | 'uint' | 'bool' | 'complex' | 'string' | 'tiny-float'
}

const type = (code: number, bits: number, kind: TypeInfo['kind']): TypeInfo => ({ code, bits, kind })

export const dataTypes = {
  float32: type(1, 32, 'float'),
  uint8: type(2, 8, 'uint'),
  int8: type(3, 8, 'int'),
  uint16: type(4, 16, 'uint'),
  int16: type(5, 16, 'int'),
  int32: type(6, 32, 'int'),
  int64: type(7, 64, 'int'),
  string: type(8, 0, 'string'),
  bool: type(9, 8, 'bool'),
  float16: type(10, 16, 'float'),
  float64: type(11, 64, 'float'),
  uint32: type(12, 32, 'uint'),
  uint64: type(13, 64, 'uint'),
  complex64: type(14, 64, 'complex'),
  complex128: type(15, 128, 'complex'),
  bfloat16: type(16, 16, 'float'),
  float8e4m3fn: type(17, 8, 'tiny-float'),
  float8e4m3fnuz: type(18, 8, 'tiny-float'),
  float8e5m2: type(19, 8, 'tiny-float'),
  float8e5m2fnuz: type(20, 8, 'tiny-float'),
  uint4: type(21, 4, 'uint'),
  int4: type(22, 4, 'int'),
  float4e2m1: type(23, 4, 'tiny-float'),
  float8e8m0: type(24, 8, 'tiny-float'),
  uint2: type(25, 2, 'uint'),
  int2: type(26, 2, 'int'),
  float6e2m3: type(27, 6, 'tiny-float'),
  float6e3m2: type(28, 6, 'tiny-float'),
} satisfies Record<string, TypeInfo>

export type DataType = keyof typeof dataTypes

const byCode = new Map<number, DataType>(
  (Object.keys(dataTypes) as DataType[]).map((name) => [dataTypes[name].code, name]),
)

/** The type of ONNX's number for it, or undefined. */
export function dataTypeOf(code: number): DataType | undefined {
  return byCode.get(code)
}

/** The type by its name in TensorProto.DataType, such as FLOAT, or undefined. */
export function dataTypeNamed(name: string): DataType | undefined {
  const other = { FLOAT: 'float32', DOUBLE: 'float64' }[name.toUpperCase()] ?? name.toLowerCase()
  return Object.hasOwn(dataTypes, other) ? (other as DataType) : undefined
}

/** The number of elements of a shape; a scalar ([]) has one. */
export function sizeOf(dims: readonly number[]): number {
  let size = 1
  for (const d of dims) size *= d
  return size
}

/** Bytes that `size` elements take, packed as `raw_data` packs them. */
export function byteLengthOf(dtype: DataType, size: number): number {
  return Math.ceil((size * dataTypes[dtype].bits) / 8)
}

export function isFloat(dtype: DataType | undefined): boolean {
  return dtype !== undefined && dataTypes[dtype].kind === 'float'
}

type TypedArrayConstructor<T> = {
  new (buffer: ArrayBufferLike, offset: number, length: number): T
  BYTES_PER_ELEMENT: number
}

/** The bytes as a typed array: a view where aligned, else a copy. (Every platform JavaScript runs on is little-endian.) */
function view<T>(bytes: Uint8Array, type: TypedArrayConstructor<T>): T {
  const width = type.BYTES_PER_ELEMENT
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes) // not slice(): Node's Buffer gives a view of that
  return new type(aligned.buffer, aligned.byteOffset, Math.floor(bytes.byteLength / width))
}

/** The elements of a float tensor (float32, float64, float16, bfloat16) as float32; a view for float32. */
export function floats(tensor: Tensor): Float32Array {
  const { data } = tensor
  switch (tensor.dtype) {
    case 'float32':
      return view(data, Float32Array)
    case 'float64':
      return Float32Array.from(view(data, Float64Array))
    case 'float16':
      return Float32Array.from(view(data, Uint16Array), halfToFloat)
    case 'bfloat16': {
      const out = new Uint32Array(data.byteLength / 2)
      view(data, Uint16Array).forEach((bits, i) => {
        out[i] = bits << 16
      })
      return new Float32Array(out.buffer)
    }
    default:
      throw new UnsupportedError(`tensor "${tensor.name}": ${tensor.dtype} cannot be read as floats`)
  }
}

/** The elements of an integer or bool tensor as numbers (4- and 2-bit types unpacked; 64-bit values beyond 2^53 clamped). */
export function integers(
  tensor: Tensor,
): Int32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Uint32Array {
  const { data } = tensor
  switch (tensor.dtype) {
    case 'int8':
      return view(data, Int8Array)
    case 'uint8':
    case 'bool':
      return data
    case 'int16':
      return view(data, Int16Array)
    case 'uint16':
      return view(data, Uint16Array)
    case 'int32':
      return view(data, Int32Array)
    case 'uint32':
      return view(data, Uint32Array)
    case 'int64':
      return Float64Array.from(view(data, BigInt64Array), clampToSafe)
    case 'uint64':
      return Float64Array.from(view(data, BigUint64Array), clampToSafe)
    case 'int4':
    case 'uint4':
    case 'int2':
    case 'uint2': {
      const { bits, kind } = dataTypes[tensor.dtype]
      const perByte = 8 / bits
      const half = kind === 'int' ? 1 << (bits - 1) : 1 << bits
      return Int32Array.from({ length: sizeOf(tensor.dims) }, (_, i) => {
        const value = (data[Math.floor(i / perByte)] >> ((i % perByte) * bits)) & ((1 << bits) - 1)
        return value >= half ? value - (1 << bits) : value
      })
    }
    default:
      throw new UnsupportedError(`tensor "${tensor.name}": ${tensor.dtype} cannot be read as integers`)
  }
}

function clampToSafe(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER
  return Number(value)
}

/** IEEE 754 binary16 to a number. */
export function halfToFloat(bits: number): number {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** A number to IEEE 754 binary16, to nearest, ties to even; beyond 65,504 infinite. */
export function floatToHalf(value: number): number {
  bits32.setFloat32(0, value)
  const bits = bits32.getUint32(0)
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00)
  if (magnitude < 0x38800000) {
    // Beside 0.5, a float32 has its last place where halves below their normal range have theirs.
    bits32.setFloat32(0, Math.abs(bits32.getFloat32(0)) + 0.5)
    return sign | (bits32.getUint32(0) - 0x3f000000)
  }
  // A carry out of the fraction is the next exponent, and out of the largest is infinity.
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
}

const bits32 = new DataView(new ArrayBuffer(4))

/** A number to bfloat16, to nearest, ties to even. */
export function floatToBfloat(value: number): number {
  bits32.setFloat32(0, value)
  const bits = bits32.getUint32(0)
  if (Number.isNaN(value)) return 0x7fc0
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

/**
 * The numbers of a float array as ONNX Runtime hands them over and takes them: float16 as bits in a Uint16Array (or a
 * Float16Array, where JavaScript has that). Undefined where they are no floats. A view where it can be.
 */
export function floatValues({
  dtype,
  data,
}: {
  readonly dtype: string
  readonly data: ArrayLike<number | bigint | string>
}): Float32Array | Float64Array | undefined {
  if (data instanceof Float32Array || data instanceof Float64Array) return data
  if (dtype !== 'float16') return undefined
  return data instanceof Uint16Array
    ? Float32Array.from(data, halfToFloat)
    : Float32Array.from(data as ArrayLike<number>)
}

/** The bytes under a typed array; of strings, their UTF-8 with a zero after each. */
export function bytesOf(array: ArrayBufferView | readonly string[]): Uint8Array {
  if (!ArrayBuffer.isView(array)) return new TextEncoder().encode(array.map((text) => `${text}\0`).join(''))
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

/** A float32 tensor. `values` is used as it is, not copied. */
export function floatTensor(name: string, dims: readonly number[], values: Float32Array | readonly number[]): Tensor {
  const array = values instanceof Float32Array ? values : Float32Array.from(values)
  return checkSize({ name, dtype: 'float32', dims, data: bytesOf(array) })
}

/** A tensor of any float type, its values rounded to that. */
export function tensorOfFloats(
  name: string,
  dtype: DataType,
  dims: readonly number[],
  values: Float32Array | Float64Array,
): Tensor {
  const array = (): ArrayBufferView => {
    switch (dtype) {
      case 'float32':
        return values instanceof Float32Array ? values : new Float32Array(values)
      case 'float64':
        return new Float64Array(values)
      case 'float16':
        return Uint16Array.from(values, floatToHalf)
      case 'bfloat16':
        return Uint16Array.from(values, floatToBfloat)
      default:
        throw new UnsupportedError(`tensor "${name}": ${dtype} cannot hold floats`)
    }
  }
  return checkSize({ name, dtype, dims, data: bytesOf(array()) })
}

const integerArrays = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const

/** An integer tensor of whole numbers (int64 and uint64 too). */
export function integerTensor(
  name: string,
  dtype: keyof typeof integerArrays | 'int64' | 'uint64',
  dims: readonly number[],
  values: ArrayLike<number>,
): Tensor {
  const array =
    dtype === 'int64' || dtype === 'uint64'
      ? BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i]))
      : integerArrays[dtype].from(values)
  return checkSize({ name, dtype, dims, data: bytesOf(array) })
}

/** The tensor, if its bytes fit its shape; else an error that names it. */
export function checkSize(tensor: Tensor): Tensor {
  const want = byteLengthOf(tensor.dtype, sizeOf(tensor.dims))
  if (tensor.dtype !== 'string' && tensor.data.byteLength !== want) {
    throw new Error(
      `tensor "${tensor.name}": ${tensor.data.byteLength} bytes of data; expected ${want} for ${tensor.dtype}[${tensor.dims.join(',')}]`,
    )
  }
  return tensor
}
