/**
 * Streams of the integer coder in WebAssembly: the bits of entropy/integer-coder.ts, several times faster. Where
 * WebAssembly, its SIMD or memory for it is missing, callers take the TypeScript path.
 */

import { concat } from '../../onnx/wire.ts'
import type { Layout, Mode } from '../entropy/integer-model.ts'
import { log2Table, zeroTable } from '../entropy/logarithm.ts'
import { reciprocalTable, squashTable, stretchTable } from '../entropy/logistic.ts'
import { withoutZeros } from '../entropy/range-coder.ts'
import { compileWasm } from './compile.ts'
import { integersWasm } from './generated/integers.ts'

interface Exports {
  readonly memory: WebAssembly.Memory
  init(mode: number, decoding: number): number
  setInput(at: number, length: number): void
  codeTensor(
    values: number,
    scratch: number,
    rows: number,
    columnCount: number,
    tapCount: number,
    width: number,
  ): number
  waiting(): number
  finish(): void
}

export interface Stream {
  /** Codes a tensor: reads `values`, or fills them when decoding. False, and nothing is done, where there is no memory for it. */
  code(values: Int32Array, layout: Layout): boolean
  /** Bytes of an encoder's stream until now, about. */
  readonly length: number
  /** The bytes of an encoder's stream. */
  finish(): Uint8Array
}

const page = 65536
const mostPages = 65536

let compiled: WebAssembly.Module | undefined | null

export function wasmAvailable(): boolean {
  if (compiled === undefined) compiled = compileWasm(integersWasm)
  return compiled !== null
}

/** Opens a stream, a decoder where there is input; undefined where it cannot be had. */
export function openWasmStream(mode: Mode, input?: Uint8Array): Stream | undefined {
  if (!wasmAvailable()) return undefined
  const output: Uint8Array[] = []
  let flushed = 0
  const flush = (at: number, length: number): void => {
    output.push(new Uint8Array(wasm.memory.buffer, at, length).slice())
    flushed += length
  }
  let wasm: Exports
  let heap: number
  try {
    const instance = new WebAssembly.Instance(compiled as WebAssembly.Module, { env: { flush, abort: () => {} } })
    wasm = instance.exports as unknown as Exports
    putTables(wasm.memory)
    heap = wasm.init(['fast', 'default', 'max'].indexOf(mode), input ? 1 : 0)
  } catch {
    // Without memory for the least of streams, trying again and again would take longer than it gains.
    compiled = null
    return undefined
  }
  const reserve = (end: number): boolean => {
    const pages = wasm.memory.buffer.byteLength / page
    const missing = Math.ceil(end / page) - pages
    if (missing <= 0) return true
    try {
      // By 4 MiB at least: growing is slow in browsers, and a stream may be many small tensors.
      wasm.memory.grow(Math.max(missing, Math.min(64, mostPages - pages)))
      return true
    } catch {
      return false
    }
  }
  if (input) {
    if (!reserve(heap + input.length)) return undefined
    new Uint8Array(wasm.memory.buffer).set(input, heap)
    wasm.setInput(heap, input.length)
    heap = Math.ceil((heap + input.length) / 16) * 16
  }
  return {
    code(values, { rows, columns, taps, width }) {
      if (values.length === 0) return true
      const scratchAt = heap + values.length * 4
      const row = columns * taps
      // Fast reads the mean of a column more.
      const scratch = { fast: row + columns + 1, default: 2 * row + columns, max: 2 * (row + columns) + 3 * taps }
      if (!reserve(scratchAt + scratch[mode] * 4)) return false
      const there = new Int32Array(wasm.memory.buffer, heap, values.length)
      if (input) there.fill(0)
      else there.set(values)
      if (wasm.codeTensor(heap, scratchAt, rows, columns, taps, width) !== 0) {
        throw new Error('integers: the data ends too soon; it is damaged')
      }
      if (input) values.set(there)
      return true
    },
    get length() {
      return flushed + wasm.waiting()
    },
    finish() {
      wasm.finish()
      return withoutZeros(concat(output))
    },
  }
}

function putTables(memory: WebAssembly.Memory): void {
  if (memory.buffer.byteLength < page * 2) memory.grow(2)
  const { buffer } = memory
  new Uint16Array(buffer, 1024, squashTable.length).set(squashTable)
  new Int16Array(buffer, 13312, stretchTable.length).set(stretchTable)
  new Int32Array(buffer, 21504, reciprocalTable.length).set(reciprocalTable)
  new Uint8Array(buffer, 25600, 256).set(log2Table)
  new Int32Array(buffer, 25856, zeroTable.length).set(zeroTable)
}
