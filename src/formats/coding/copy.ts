/** The bytes of an earlier tensor of the same type and size. Parameter: how many tensors back. packing and unpacking do it. */
import { type Coding, damaged } from './coding.ts'

export const copy: Coding = {
  name: 'copy',
  parameterCount: 1,
  hasTable: false,
  hasIntegers: false,
  encode: () => undefined,
  decode: () => {
    throw damaged('a copy of no tensor')
  },
}
