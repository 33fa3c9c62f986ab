/** Few distinct values: a table of them in numeric order, and indices counted from zero's (or the smallest) place. Parameter: that place. */
import { type DataType, dataTypes, halfToFloat } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder, estimateBits } from './coding.ts'

const maxDistinct = 4096

export const codebook: Coding = {
  name: 'codebook',
  parameterCount: 1,
  hasTable: true,
  hasIntegers: true,
  decode({ dtype, byteLength, size }, { parameters, table, integers }) {
    const width = dataTypes[dtype].bits / 8
    if (!integers || !table || width < 1 || table.length % width !== 0) throw damaged('a codebook has no values')
    const count = table.length / width
    const out = new Uint8Array(byteLength)
    for (let i = 0; i < size; i++) {
      const index = integers[i] + parameters[0]
      if (!(index >= 0 && index < count)) throw damaged(`index ${index} is outside of a codebook of ${count} values`)
      for (let b = 0; b < width; b++) out[i * width + b] = table[index * width + b]
    }
    return out
  },
}

export const codebookEncoder: Encoder = {
  coding: codebook,
  encode({ dtype, size }, data) {
    const width = dataTypes[dtype].bits / 8
    if (dataTypes[dtype].kind !== 'float' || size < 8) return undefined
    const words = keysOf(data, width)
    const distinct = new Set<string | number>()
    for (const w of words) {
      distinct.add(w)
      if (distinct.size > maxDistinct || distinct.size > size / 4 + 4) return undefined
    }
    const first = new Map<string | number, number>()
    words.forEach((w, i) => {
      if (!first.has(w)) first.set(w, i)
    })
    const sorted = [...first].map(([key, at]) => {
      const bytes = new Uint8Array(data.subarray(at * width, (at + 1) * width))
      return { key, bytes, value: numberOf(dtype, bytes), negative: bytes[width - 1] >> 7 }
    })
    // NaNs last; -0 before 0.
    const rank = (v: number) => (Number.isNaN(v) ? Number.POSITIVE_INFINITY : v)
    sorted.sort((a, b) =>
      rank(a.value) < rank(b.value) ? -1 : rank(a.value) > rank(b.value) ? 1 : b.negative - a.negative,
    )
    let centre = 0
    sorted.forEach(({ value, negative }, i) => {
      const best = sorted[centre]
      if (Math.abs(value) < Math.abs(best.value) || (value === 0 && best.value === 0 && !negative)) centre = i
    })
    const index = new Map(sorted.map(({ key }, i) => [key, i - centre]))
    const integers = Int32Array.from(words, (w) => index.get(w) as number)
    const table = new Uint8Array(sorted.length * width)
    sorted.forEach(({ bytes }, i) => {
      table.set(bytes, i * width)
    })
    return { coded: { parameters: [centre], table, integers }, bits: estimateBits(integers) + table.length * 7 }
  },
}

function keysOf(data: Uint8Array, width: number): (string | number)[] | Uint32Array | Uint16Array {
  const copy = new Uint8Array(data).buffer
  if (width === 4) return new Uint32Array(copy)
  if (width === 2) return new Uint16Array(copy)
  return Array.from(new BigUint64Array(copy), String)
}

function numberOf(dtype: DataType, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  if (dtype === 'float64') return view.getFloat64(0, true)
  if (dtype === 'float32') return view.getFloat32(0, true)
  if (dtype === 'float16') return halfToFloat(view.getUint16(0, true))
  const wide = new DataView(new ArrayBuffer(4))
  wide.setUint16(2, view.getUint16(0, true), true)
  return wide.getFloat32(0, true)
}
