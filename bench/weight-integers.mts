/**
 * Question: how many bytes, and how much time, do fixed integer weights take, beside NNCodec (bytes), brotli and zstd (bytes, time)?
 * Every case is decoded and compared, in Node and in Chromium. Writes bench/results/weight-integers.json.
 * Run: COPPICE_DATA=... npx tsx bench/weight-integers.mts [--bytes] (needs the folder weight-integers there; see its README).
 * With --bytes, bytes alone are measured again, decoded once, and speeds stay as they were.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, brotliDecompressSync, constants, inflateRawSync } from 'node:zlib'
import * as zstd from '@bokuweb/zstd-wasm'
import { crc32 } from '../src/checksum.ts'
import { beginDecoding, beginEncoding, type Mode } from '../src/formats/entropy/integer-coder.ts'
import { packModel } from '../src/formats/pack.ts'
import { model } from '../src/graph/build.ts'
import { floatTensor } from '../src/tensor/dtype.ts'
import { missing, withPage } from '../test/_chromium.ts'

interface Peer {
  readonly model: string
  readonly s: number
  readonly n: number
  readonly nncodec_best_per_tensor_verified: number
  readonly nnr_full_bitstream: number
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
await zstd.init()
/** What else such bytes are sent in: brotli of Node, zstd in WebAssembly as ours. */
const compressors = {
  brotli: {
    encode: (bytes: Uint8Array): Uint8Array =>
      brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
    decode: (bytes: Uint8Array): Uint8Array => brotliDecompressSync(bytes),
  },
  zstd: { encode: (bytes: Uint8Array): Uint8Array => zstd.compress(bytes, 19), decode: zstd.decompress },
}
type Compressor = keyof typeof compressors
const compressorNames = Object.keys(compressors) as Compressor[]
const onlyBytes = process.argv.includes('--bytes')
const rounds = onlyBytes ? 1 : 9
const resultFile = new URL('results/weight-integers.json', import.meta.url)
/** What was measured before; its speeds stay where bytes alone are measured. */
const before: Before | undefined = onlyBytes ? JSON.parse(readFileSync(resultFile, 'utf8')) : undefined

const streams = new Map<string, Uint8Array>()
const cases = peers.map((peer, i) => {
  const id = `${peer.model}__s${peer.s}`
  const tensors = readInt32Arrays(readFileSync(join(folder, `${id}.npz`)))
  const result = withSpeedsOf(before?.cases[i], measure(tensors, id))
  console.log(id.padEnd(40), ...modes.map((m) => (result[m].bytes / peer.nncodec_best_per_tensor_verified).toFixed(4)))
  return { peer, id, tensors, ...result }
})
const chromium = before
  ? Object.fromEntries(cases.map(({ id }, i) => [id, before.cases[i].chromiumDecodeMps]))
  : missing
    ? undefined
    : await inChromium()

const summary = Object.fromEntries(
  modes.map((mode) => {
    const of = (f: (c: (typeof cases)[number]) => number): number[] => cases.map(f)
    const ratios = of((c) => c[mode].bytes / c.peer.nncodec_best_per_tensor_verified)
    return [
      mode,
      {
        geometricMeanRatio: geometricMean(ratios),
        largestRatio: round(Math.max(...ratios), 4),
        fileGeometricMeanRatio: geometricMean(of((c) => c[mode].file / c.peer.nnr_full_bitstream)),
        medianDecodeMps: median(of((c) => c[mode].decodeMps)),
        decodeMps: spread(of((c) => c[mode].decodeMps)),
        ...Object.fromEntries(
          compressorNames.map((name) => [
            name,
            {
              bytesRatio: geometricMean(of((c) => c[mode].bytesTo[name])),
              decodeSpeed: spread(of((c) => c[mode].decodeSpeedTo[name])),
            },
          ]),
        ),
        chromiumDecodeMps: chromium && spread(of((c) => chromium[c.id][mode])),
        medianEncodeMps: median(of((c) => c[mode].encodeMps)),
        medianPlainDecodeMps: median(of((c) => c[mode].plainDecodeMps)),
      },
    ]
  }),
)
console.log(JSON.stringify(summary, undefined, 1))
const result = {
  what: 'bytes against NNCodec 2.0.3 best payload, and packed files (tensors named t0, t1, …, all with the step 1) against its whole bitstream; speeds in million weights per second, best of interleaved rounds, one thread, WebAssembly (plain: TypeScript); brotli is of Node, quality 9, zstd in WebAssembly, level 19, both on int8 or int16: our bytes over theirs, our decoding speed over theirs; spreads are over the cases',
  machine: before?.machine ?? `${cpus()[0].model}, Node ${process.version}`,
  ...(before ? { speeds: 'as measured before the bytes, of an earlier coding' } : {}),
  summary,
  cases: cases.map(({ peer, id, tensors, ...modesOf }) => ({
    model: peer.model,
    s: peer.s,
    weights: peer.n,
    nncodecBest: peer.nncodec_best_per_tensor_verified,
    nncodecFile: peer.nnr_full_bitstream,
    ...modesOf,
    chromiumDecodeMps: chromium?.[id],
  })),
}
writeFileSync(resultFile, `${JSON.stringify(result, undefined, 1)}\n`)

interface Measured {
  readonly bytes: number
  readonly file: number
  readonly encodeMps: number
  readonly decodeMps: number
  readonly plainDecodeMps: number
  readonly bytesTo: Readonly<Record<Compressor, number>>
  readonly decodeSpeedTo: Readonly<Record<Compressor, number>>
}

interface Before {
  readonly machine: string
  readonly cases: readonly (Readonly<Record<Mode, Measured>> & { readonly chromiumDecodeMps: Record<Mode, number> })[]
}

/** The bytes that were measured now, with the speeds that were measured before. */
function withSpeedsOf(
  earlier: Readonly<Record<Mode, Measured>> | undefined,
  now: Record<Mode, Measured>,
): Record<Mode, Measured> {
  if (!earlier) return now
  return Object.fromEntries(
    modes.map((mode) => {
      const { bytes, file, bytesTo } = now[mode]
      return [mode, { ...earlier[mode], bytes, file, bytesTo }]
    }),
  ) as Record<Mode, Measured>
}

function measure(tensors: readonly Weights[], id: string): Record<Mode, Measured> {
  const count = tensors.reduce((n, t) => n + t.values.length, 0)
  const asModel = model({
    nodes: [],
    initializers: new Map(
      tensors.map(({ shape, values }, i) => [`t${i}`, floatTensor(`t${i}`, shape, Float32Array.from(values))]),
    ),
    inputs: [],
    outputs: [],
  })
  const encoded = modes.map((mode) => {
    let bytes: Uint8Array = new Uint8Array(0)
    const encode = (): void => {
      const encoder = beginEncoding({ mode })
      for (const { values, shape } of tensors) encoder.encodeTensor(values, shape)
      bytes = encoder.finish()
    }
    const time = Math.min(seconds(encode), seconds(encode))
    streams.set(`/${id}-${mode}`, bytes)
    return { mode, bytes, time }
  })
  const decode = (mode: Mode, bytes: Uint8Array, wasm: boolean): number => {
    const out: Int32Array[] = []
    const time = seconds(() => {
      const decoder = beginDecoding(bytes, { mode, wasm })
      for (const { shape } of tensors) out.push(decoder.decodeTensor(shape))
    })
    tensors.forEach(({ values }, t) => {
      if (Buffer.compare(Buffer.from(values.buffer), Buffer.from(out[t].buffer)) !== 0)
        throw new Error(`bench: tensor ${t} of ${id} came back different`)
    })
    return time
  }
  const small = tensors.every(({ values }) => values.every((v) => v >= -128 && v < 128))
  const plain = Buffer.concat(
    tensors.map(({ values }) => Buffer.from((small ? Int8Array : Int16Array).from(values).buffer)),
  )
  const others = compressorNames.map((name) => ({ name, bytes: compressors[name].encode(plain) }))
  const times: Record<string, number[]> = {}
  for (let r = 0; r < rounds; r++) {
    const note = (key: string, time: number): unknown => (times[key] ??= []).push(time)
    for (const { name, bytes } of others) {
      let back: Uint8Array = bytes
      note(
        name,
        seconds(() => {
          back = compressors[name].decode(bytes)
        }),
      )
      if (Buffer.compare(back, plain) !== 0) throw new Error(`bench: ${id} came back different from ${name}`)
    }
    for (const { mode, bytes } of encoded) note(mode, decode(mode, bytes, true))
  }
  const perCompressor = (f: (other: (typeof others)[number]) => number): Record<Compressor, number> =>
    Object.fromEntries(others.map((o) => [o.name, round(f(o), 3)])) as Record<Compressor, number>
  const rate = (s: number): number => round(count / s / 1e6, 2)
  return Object.fromEntries(
    encoded.map(({ mode, bytes, time }) => [
      mode,
      {
        bytes: bytes.length,
        file: packModel(asModel, { mode }).length,
        encodeMps: rate(time),
        decodeMps: rate(Math.min(...times[mode])),
        plainDecodeMps: onlyBytes ? 0 : rate(decode(mode, bytes, false)),
        bytesTo: perCompressor(({ bytes: theirs }) => bytes.length / theirs.length),
        decodeSpeedTo: perCompressor(({ name }) => median(times[mode].map((t, r) => times[name][r] / t))),
      },
    ]),
  ) as Record<Mode, Measured>
}

/** Million weights per second, of each case and mode. */
async function inChromium(): Promise<Record<string, Record<Mode, number>>> {
  const dist = mkdtempSync(join(tmpdir(), 'coppice-bench-'))
  execFileSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', dist])
  const shapes = cases.map(({ id, tensors }) => ({
    id,
    shapes: tensors.map((t) => t.shape),
    checksums: tensors.map((t) => crc32(new Uint8Array(t.values.buffer, t.values.byteOffset, t.values.byteLength))),
  }))
  try {
    return await withPage({ folders: { '/': dist }, files: streams }, (page) =>
      // As text, so that the runner does not rewrite the import.
      page.evaluate(`(async () => {
        const { beginDecoding } = await import('/formats/entropy/integer-coder.js')
        const { crc32 } = await import('/checksum.js')
        const out = {}
        for (const { id, shapes, checksums } of ${JSON.stringify(shapes)}) {
          out[id] = {}
          for (const mode of ${JSON.stringify(modes)}) {
            const bytes = new Uint8Array(await (await fetch('/' + id + '-' + mode)).arrayBuffer())
            let best = Infinity
            let count = 0
            for (let r = 0; r < ${rounds}; r++) {
              const start = performance.now()
              const decoder = beginDecoding(bytes, { mode })
              const tensors = shapes.map((shape) => decoder.decodeTensor(shape))
              best = Math.min(best, performance.now() - start)
              count = tensors.reduce((n, t) => n + t.length, 0)
              for (const [i, t] of tensors.entries())
                if (crc32(new Uint8Array(t.buffer)) !== checksums[i]) throw new Error(id + ' ' + mode + ': other integers')
            }
            out[id][mode] = Math.round(count / best / 10) / 100
          }
        }
        return out
      })()`),
    )
  } finally {
    rmSync(dist, { recursive: true })
  }
}

function seconds(run: () => void): number {
  const start = performance.now()
  run()
  return (performance.now() - start) / 1000
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]
}

function spread(values: readonly number[]): { median: number; p10: number; p90: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number): number => sorted[Math.round(q * (sorted.length - 1))]
  return { median: at(0.5), p10: at(0.1), p90: at(0.9) }
}

function geometricMean(ratios: readonly number[]): number {
  return round(Math.exp(ratios.reduce((a, r) => a + Math.log(r), 0) / ratios.length), 4)
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
