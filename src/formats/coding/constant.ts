/** Every element has the same bytes: the head holds one. */
import { dataTypes } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder } from './coding.ts'

export const constant: Coding = {
  name: 'constant',
  hasTable: true,
  decode({ dtype, byteLength }, { table }) {
    const width = dataTypes[dtype].bits / 8
    if (!table || table.length !== width || width < 1) throw damaged('a constant has no value')
    const out = new Uint8Array(byteLength)
    for (let i = 0; i < byteLength; i++) out[i] = table[i % width]
    return out
  },
}

export const constantEncoder: Encoder = {
  coding: constant,
  encode({ dtype, size }, data) {
    const width = dataTypes[dtype].bits / 8
    if (width < 1 || size < 2) return undefined
    for (let i = width; i < data.length; i++) if (data[i] !== data[i - width]) return undefined
    return { coded: { parameters: [], table: new Uint8Array(data.subarray(0, width)) }, bits: 2 * width }
  },
}
