/** The bytes as they are, in the head, where small tensors (shapes, scalars) repeat each other. */
import { dataTypes } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder } from './coding.ts'

/** Elements up to which a tensor may be coded in the head. */
const maxSize = 16

export const inline: Coding = {
  name: 'inline',

  hasTable: true,
  decode({ byteLength }, { table }) {
    if (!table || table.length !== byteLength) throw damaged('a tensor is not of its size')
    return table
  },
}

export const inlineEncoder: Encoder = {
  coding: inline,
  encode({ dtype, size }, data) {
    if (size > maxSize) return undefined
    const isFloat = dataTypes[dtype].kind === 'float'
    return { coded: { parameters: [], table: data }, bits: data.length * (isFloat ? 7 : 1) }
  },
}
