/**
 * Integers of tensors to bytes and back. What is learnt on one tensor of a stream helps the next, so a stream should
 * hold as many as may be decoded together.
 */

import { withMemory } from '../memory.ts'
import { openWasmStream, type Stream } from '../wasm/instance.ts'
import { IntegerModel, type Layout, layoutOf, type Mode } from './integer-model.ts'
import { type BinaryCoder, BinaryDecoder, BinaryEncoder } from './range-coder.ts'

export type { Mode } from './integer-model.ts'

export interface IntegerEncoder {
  /** Appends a tensor; `values` holds as many integers as the shape says, and keeps them until the stream is finished. */
  encodeTensor(values: Int32Array, shape: readonly number[]): void
  /** Bytes of the stream until now, about: a few are held back. */
  readonly length: number
  /** The stream's bytes. The encoder is used up. */
  finish(): Uint8Array
}

export interface IntegerDecoder {
  /** The next tensor of the stream; shapes must come as they did when encoding. Throws where the bytes end too soon. */
  decodeTensor(shape: readonly number[]): Int32Array
}

/**
 * Weights that one byte may stand for, at most: a decision costs at least log2(65536 / 65535) bits, and a weight takes at
 * least one. A decoder that checks this before it allocates cannot be made to allocate without bytes to show for it.
 */
export const maxWeightsPerByte = 2 ** 19

export interface CoderOptions {
  readonly mode?: Mode
  /** WebAssembly where there is any; the bytes are the same without it. */
  readonly wasm?: boolean
}

export function beginEncoding(options: CoderOptions = {}): IntegerEncoder {
  const stream = openStream(options, () => new BinaryEncoder())
  return {
    encodeTensor(values, shape) {
      const size = shape.reduce((a, b) => a * b, 1)
      if (values.length !== size) {
        throw new Error(`integers: ${values.length} values; expected ${size} for the shape [${shape.join(',')}]`)
      }
      withMemory(`${size} integers`, () => stream.code(values, layoutOf(shape)))
    },
    get length() {
      return stream.length
    },
    finish: () => stream.finish(),
  }
}

export function beginDecoding(bytes: Uint8Array, options: CoderOptions = {}): IntegerDecoder {
  const stream = openStream(options, () => new BinaryDecoder(bytes), bytes)
  let left = (bytes.length + 16) * maxWeightsPerByte
  return {
    decodeTensor(shape) {
      const size = shape.reduce((a, b) => a * b, 1)
      left -= size
      if (!(left >= 0))
        throw new Error(`integers: ${size} of them cannot come from ${bytes.length} bytes; the data is damaged`)
      return withMemory(`${size} integers`, () => {
        const values = new Int32Array(size)
        stream.code(values, layoutOf(shape))
        return values
      })
    },
  }
}

/**
 * A stream in WebAssembly, if that can be. From the first tensor on that its memory cannot hold, it is one in TypeScript that
 * has coded again what came before: that is little, because a group's large tensor is its last.
 */
function openStream(
  { mode = 'default', wasm = true }: CoderOptions,
  coderOf: () => BinaryCoder,
  input?: Uint8Array,
): Stream {
  const fast = wasm ? openWasmStream(mode, input) : undefined
  let stream = fast ?? openPlainStream(mode, coderOf())
  const before: { values?: Int32Array; layout: Layout }[] = []
  return {
    code(values, layout) {
      const done = stream.code(values, layout)
      if (!done) {
        stream = openPlainStream(mode, coderOf())
        for (const { values: v, layout: l } of before) stream.code(v ?? new Int32Array(l.rows * l.columns * l.taps), l)
        stream.code(values, layout)
      } else if (stream === fast) before.push({ values: input ? undefined : values, layout })
      return true
    },
    get length() {
      return stream.length
    },
    finish: () => stream.finish(),
  }
}

function openPlainStream(mode: Mode, coder: BinaryCoder): Stream {
  const model = new IntegerModel(mode)
  return {
    code(values, layout) {
      model.code(coder, values, layout)
      return true
    },
    get length() {
      return coder.length ?? 0
    },
    finish: () => coder.finish?.() ?? new Uint8Array(0),
  }
}

/** One tensor as a stream of its own. */
export function encodeIntegers(values: Int32Array, shape: readonly number[], options: CoderOptions = {}): Uint8Array {
  const encoder = beginEncoding(options)
  encoder.encodeTensor(values, shape)
  return encoder.finish()
}

/** The tensor that `encodeIntegers` coded, given the same shape and mode. */
export function decodeIntegers(bytes: Uint8Array, shape: readonly number[], options: CoderOptions = {}): Int32Array {
  return beginDecoding(bytes, options).decodeTensor(shape)
}
