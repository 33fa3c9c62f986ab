/** The bytes as they are, for what nothing else fits (random numbers, ciphers). */
import type { Coding, Encoder } from './coding.ts'

export const raw: Coding = {
  name: 'raw',
  parameterCount: 0,
  hasTable: false,
  hasIntegers: false,
  hasRaw: true,
  decode: ({ byteLength }, _coded, bits) => {
    const out = new Uint8Array(byteLength)
    for (let i = 0; i < byteLength; i++) out[i] = bits.read(8)
    return out
  },
}

export const rawEncoder: Encoder = {
  coding: raw,
  encode: (_info, data) => ({ coded: { parameters: [] }, bits: data.length * 8 + 1 }),
  writeRaw: (_info, data, _coded, out) => {
    for (const byte of data) out.write(byte, 8)
  },
}
