/**
 * Streams of the integer coder in WebAssembly: the bits of entropy/integer-coder.ts, several times faster. Where
 * WebAssembly or its SIMD is missing or not allowed, `wasmAvailable` says no and the caller takes the TypeScript path.
 */
import type { Layout, Mode } from '../entropy/integer-model.ts'
import { log2Table, zeroTable } from '../entropy/logarithm.ts'
import { reciprocalTable, squashTable, stretchTable } from '../entropy/logistic.ts'
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
  finish(): void
}

export interface Stream {
  /** Codes a tensor: reads `values`, or fills them when decoding. */
  code(values: Int32Array, layout: Layout): void
  /** The bytes of an encoder's stream. */
  finish(): Uint8Array
}

let compiled: WebAssembly.Module | undefined | null

export function wasmAvailable(): boolean {
  if (compiled === undefined) compiled = compileWasm(integersWasm)
  return compiled !== null
}

/** Opens a stream; a decoder where there is input. Only where `wasmAvailable()`. */
export function openStream(mode: Mode, input?: Uint8Array): Stream {
  if (!wasmAvailable()) throw new Error('integers: WebAssembly is not available here; expected a check before')
  const output: Uint8Array[] = []
  const flush = (at: number, length: number): void => {
    output.push(new Uint8Array(wasm.memory.buffer, at, length).slice())
  }
  const instance = new WebAssembly.Instance(compiled as WebAssembly.Module, { env: { flush, abort: () => {} } })
  const wasm = instance.exports as unknown as Exports
  putTables(wasm.memory)
  let heap = wasm.init(['fast', 'default', 'max'].indexOf(mode), input ? 1 : 0)
  const reserve = (bytes: number): void => {
    const missing = Math.ceil((heap + bytes) / 65536) - wasm.memory.buffer.byteLength / 65536
    // By 4 MiB at least: growing is slow in browsers, and a stream may be many small tensors.
    if (missing > 0) wasm.memory.grow(Math.max(missing, 64))
  }
  if (input) {
    reserve(input.length)
    new Uint8Array(wasm.memory.buffer).set(input, heap)
    wasm.setInput(heap, input.length)
    heap = Math.ceil((heap + input.length) / 16) * 16
  }
  return {
    code(values, { rows, columns, taps, width }) {
      if (values.length === 0) return
      const scratchAt = heap + values.length * 4
      reserve(scratchAt + (2 * (columns * taps + columns) + 3 * taps) * 4 - heap)
      const there = new Int32Array(wasm.memory.buffer, heap, values.length)
      if (input) there.fill(0)
      else there.set(values)
      if (wasm.codeTensor(heap, scratchAt, rows, columns, taps, width) !== 0) {
        throw new Error('integers: the data ends too soon; it is damaged')
      }
      if (input) values.set(there)
    },
    finish() {
      wasm.finish()
      return trimmed(output)
    },
  }
}

function putTables(memory: WebAssembly.Memory): void {
  if (memory.buffer.byteLength < 65536 * 2) memory.grow(2)
  const { buffer } = memory
  new Uint16Array(buffer, 1024, squashTable.length).set(squashTable)
  new Int16Array(buffer, 13312, stretchTable.length).set(stretchTable)
  new Int32Array(buffer, 21504, reciprocalTable.length).set(reciprocalTable)
  new Uint8Array(buffer, 25600, 256).set(log2Table)
  new Int32Array(buffer, 25856, zeroTable.length).set(zeroTable)
}

/** The bytes without up to 7 trailing zeros, as BinaryCoder ends its streams. */
function trimmed(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((n, p) => n + p.length, 0)
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  let end = length
  while (end > 0 && end > length - 8 && all[end - 1] === 0) end--
  return all.slice(0, end)
}
