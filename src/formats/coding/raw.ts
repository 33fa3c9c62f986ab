/** The bytes as they are, for what nothing else fits (complex numbers, 64-bit integers of all sizes). */
import type { Coding } from './coding.ts'

export const raw: Coding = {
  name: 'raw',
  parameterCount: 0,
  hasTable: false,
  hasIntegers: false,
  encode: (_info, data) => ({ coded: { parameters: [] }, bits: data.length * 8 + 1 }),
  writeRaw: (_info, data, _coded, out) => {
    for (const byte of data) out.write(byte, 8)
  },
  decode: ({ byteLength }, _coded, bits) => {
    const out = new Uint8Array(byteLength)
    for (let i = 0; i < byteLength; i++) out[i] = bits.read(8)
    return out
  },
}
