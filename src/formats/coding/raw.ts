/** The bytes as they are, for what nothing else fits (random numbers, ciphers). */
import type { Coding, Encoder } from './coding.ts'

export const raw: Coding = {
  name: 'raw',

  hasRaw: true,
  decode: ({ byteLength }, _coded, bits) => bits.bytes(byteLength),
}

export const rawEncoder: Encoder = {
  coding: raw,
  encode: (_info, data) => ({ coded: { parameters: [] }, bits: data.length * 8 + 1 }),
  writeRaw: ({ data }, _coded, out) => {
    for (const byte of data) out.write(byte, 8)
  },
}
