/**
 * Question: how many bytes, and how much time, do fixed integer weights take, beside NNCodec's best payload?
 * Every case is decoded and compared. Writes bench/results/weight-integers.json.
 * Run: COPPICE_DATA=... npx tsx bench/weight-integers.mts (needs the folder weight-integers there; see its README).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { inflateRawSync } from 'node:zlib'
import { beginDecoding, beginEncoding, type Mode } from '../src/formats/entropy/integer-coder.ts'

interface Peer {
  readonly model: string
  readonly s: number
  readonly n: number
  readonly nncodec_best_per_tensor_verified: number
}

interface Weights {
  readonly shape: readonly number[]
  readonly values: Int32Array
}

if (!process.env.COPPICE_DATA)
  throw new Error('bench: COPPICE_DATA is not set; expected the folder that holds weight-integers')
const folder = join(process.env.COPPICE_DATA, 'weight-integers')
const peers = JSON.parse(readFileSync(join(folder, 'peers.json'), 'utf8')) as Peer[]
const modes: readonly Mode[] = ['fast', 'default', 'max']

const cases = peers.map((peer) => {
  const tensors = readInt32Arrays(readFileSync(join(folder, `${peer.model}__s${peer.s}.npz`)))
  const sizes = Object.fromEntries(modes.map((mode) => [mode, measure(tensors, mode)]))
  const ratios = modes.map((mode) => sizes[mode].bytes / peer.nncodec_best_per_tensor_verified)
  console.log(peer.model.padEnd(34), peer.s, ...ratios.map((r) => r.toFixed(4)))
  return { model: peer.model, s: peer.s, weights: peer.n, nncodecBest: peer.nncodec_best_per_tensor_verified, ...sizes }
})

const summary = Object.fromEntries(
  modes.map((mode) => {
    const ratios = cases.map((c) => (c as unknown as Record<Mode, Measured>)[mode].bytes / c.nncodecBest)
    const speeds = (key: 'decodeMps' | 'encodeMps' | 'plainDecodeMps') =>
      median(cases.map((c) => (c as unknown as Record<Mode, Measured>)[mode][key]))
    return [
      mode,
      {
        geometricMeanRatio: round(Math.exp(ratios.reduce((a, r) => a + Math.log(r), 0) / ratios.length), 4),
        largestRatio: round(Math.max(...ratios), 4),
        medianDecodeMps: speeds('decodeMps'),
        medianEncodeMps: speeds('encodeMps'),
        medianPlainDecodeMps: speeds('plainDecodeMps'),
      },
    ]
  }),
)
console.log(summary)
const result = {
  what: 'bytes against NNCodec 2.0.3 best payload; speeds in million weights a second of processor time, one thread, WebAssembly (plain: TypeScript)',
  machine: `${cpus()[0].model}, Node ${process.version}`,
  summary,
  cases,
}
writeFileSync(new URL('results/weight-integers.json', import.meta.url), `${JSON.stringify(result, undefined, 1)}\n`)

interface Measured {
  readonly bytes: number
  readonly encodeMps: number
  readonly decodeMps: number
  readonly plainDecodeMps: number
}

function measure(tensors: readonly Weights[], mode: Mode): Measured {
  const count = tensors.reduce((n, t) => n + t.values.length, 0)
  let bytes: Uint8Array = new Uint8Array(0)
  const encode = seconds(() => {
    const encoder = beginEncoding({ mode })
    for (const { values, shape } of tensors) encoder.encodeTensor(values, shape)
    bytes = encoder.finish()
  })
  const decode = (wasm: boolean) =>
    seconds(() => {
      const decoder = beginDecoding(bytes, { mode, wasm })
      for (const { values, shape } of tensors) {
        const out = decoder.decodeTensor(shape)
        for (let i = 0; i < values.length; i++)
          if (out[i] !== values[i]) throw new Error(`bench: weight ${i} came back as ${out[i]}`)
      }
    })
  const best = Math.min(decode(true), decode(true))
  const rate = (s: number) => round(count / s / 1e6, 2)
  return { bytes: bytes.length, encodeMps: rate(encode), decodeMps: rate(best), plainDecodeMps: rate(decode(false)) }
}

/** Processor time, not the clock's: the machine may be shared. */
function seconds(run: () => void): number {
  const start = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1e6
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

/** The int32 arrays of an .npz (a zip of .npy files), by name. */
function readInt32Arrays(zip: Buffer): Weights[] {
  let end = zip.length - 22
  while (zip.readUInt32LE(end) !== 0x06054b50) end--
  const found: { name: string; weights: Weights }[] = []
  for (let i = 0, at = zip.readUInt32LE(end + 16); i < zip.readUInt16LE(end + 10); i++) {
    const nameLength = zip.readUInt16LE(at + 28)
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength)
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const stored = zip.subarray(start, start + zip.readUInt32LE(at + 20))
    const npy = zip.readUInt16LE(at + 10) === 0 ? stored : inflateRawSync(stored)
    const headerLength = npy.readUInt16LE(8)
    const header = npy.toString('latin1', 10, 10 + headerLength)
    if (!header.includes("'<i4'") || header.includes('True')) throw new Error(`bench: ${name} is not int32 in C order`)
    const shape = (/\(([^)]*)\)/.exec(header) as RegExpExecArray)[1]
      .split(',')
      .filter((s) => s.trim())
      .map(Number)
    const values = new Int32Array(new Uint8Array(npy.subarray(10 + headerLength)).buffer)
    found.push({ name, weights: { shape, values } })
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1)).map((f) => f.weights)
}
