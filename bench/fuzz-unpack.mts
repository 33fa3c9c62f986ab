/**
 * Question: does any damaged file crash, hang or exhaust the decoder, when its checksums are right?
 * Small files of every coding are mutated behind the checksums, which are then made good, so that the damage reaches the
 * decoders. Every outcome must be a model or an error of one sentence, in bounded time.
 * Run: npx tsx bench/fuzz-unpack.mts [count, 1000000 unless said] [seed]; prints counts, exits 1 on a finding.
 */

import { UnsupportedError } from '../src/errors.ts'
import { crc32 } from '../src/formats/checksum.ts'
import { packModel } from '../src/formats/pack.ts'
import { unpackModel } from '../src/formats/unpack.ts'
import type { Model, Tensor } from '../src/model.ts'
import { floatTensor, integerTensor } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? 1)
const rng = random(seed)
const noise = (n: number, scale: number) => Float32Array.from({ length: n }, () => rng.normal() * scale)

const tensors: readonly Tensor[] = [
  floatTensor(
    'grid',
    [6, 20],
    noise(120, 3).map((v) => Math.fround(Math.round(v) * 0.125)),
  ),
  floatTensor('floats', [40], noise(40, 1)),
  floatTensor(
    'book',
    [10, 10],
    Float32Array.from({ length: 100 }, (_, i) => [0.1, -0.3, 0, 0.77][(i * 37) % 4]),
  ),
  floatTensor(
    'waves',
    [16, 32],
    Float32Array.from({ length: 512 }, (_, i) => Math.cos(((i % 32) * (1 + (i >> 5)) * Math.PI) / 16)),
  ),
  integerTensor('int8', 'int8', [12, 12], Int8Array.from(noise(144, 40))),
  integerTensor('shape', 'int64', [3], [1, -1, 49]),
  floatTensor('zeros', [30, 30], new Float32Array(900)),
]
const modelOf = (list: readonly Tensor[]): Model => ({
  irVersion: 8,
  opsets: [{ domain: '', version: 17 }],
  graph: {
    name: 'g',
    nodes: [
      { op: 'Conv', inputs: ['x', list[0].name], outputs: ['y'], attributes: { group: { type: 'int', value: 1 } } },
    ],
    initializers: new Map(list.map((t) => [t.name, t])),
    inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 6] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: undefined }],
  },
})
const files = [
  ...tensors.map((t) => packModel(modelOf([t]))),
  packModel(modelOf(tensors)),
  packModel(modelOf(tensors), { mode: 'fast' }),
]

const outcomes = new Map<string, number>()
let slowestMs = 0
let findings = 0
const start = performance.now()
for (let i = 0; i < count; i++) {
  const bytes = mutate(files[rng.below(files.length)])
  const before = performance.now()
  let outcome = 'a model'
  try {
    unpackModel(bytes)
  } catch (error) {
    outcome = describe(error, bytes)
  }
  slowestMs = Math.max(slowestMs, performance.now() - before)
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
}
const total = (performance.now() - start) / 1000
for (const [outcome, n] of [...outcomes].sort((a, b) => b[1] - a[1])) console.log(String(n).padStart(8), outcome)
console.log(
  `${count} mutations, seed ${seed}: ${findings} findings; slowest ${slowestMs.toFixed(0)} ms; ${total.toFixed(0)} s`,
)
if (findings > 0) process.exitCode = 1

/** The sentence without its numbers; anything but a sentence of ours is a finding. */
function describe(error: unknown, bytes: Uint8Array): string {
  const message = error instanceof Error ? error.message : String(error)
  const ours = error instanceof UnsupportedError || /^(cop|onnx|tensor|integers)\b/.test(message)
  if (ours)
    return message
      .replace(/"[^"]*"/gs, '"…"')
      .replace(/-?\d[\d.e+]*/g, '#')
      .slice(0, 90)
  findings++
  console.error(`finding: ${message}; file ${Buffer.from(bytes).toString('base64')}`)
  return `FINDING ${message.slice(0, 60)}`
}

/** Changes some bytes behind the head's checksum, or cuts, and makes the checksums good again. */
function mutate(file: Uint8Array): Uint8Array {
  const bytes = file.slice(0, rng.below(20) === 0 ? 9 + rng.below(file.length - 9) : file.length)
  for (let n = 1 + rng.below(4); n > 0; n--) {
    const at = 8 + rng.below(bytes.length - 8)
    bytes[at] = rng.below(2) === 0 ? bytes[at] ^ (1 << rng.below(8)) : rng.below(256)
  }
  return repair(bytes)
}

function repair(bytes: Uint8Array): Uint8Array {
  let at = 9
  const varint = (): number => {
    let value = 0
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const b = bytes[at++]
      value += (b & 127) * scale
      if (b < 128) break
    }
    return value
  }
  varint()
  varint()
  const headLength = varint()
  const groups = varint()
  const places: { at: number; length: number }[] = []
  for (let i = 0; i < groups && at < bytes.length; i++) {
    const length = varint() + varint()
    places.push({ at, length })
    at += 4
  }
  let end = at + headLength
  for (const place of places) {
    put(bytes, place.at, crc32(bytes.subarray(end, end + place.length)))
    end += place.length
  }
  put(bytes, 4, crc32(bytes.subarray(8, at + headLength)))
  return bytes
}

function put(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4 && at + i < bytes.length; i++) bytes[at + i] = (value >>> (8 * i)) & 255
}
