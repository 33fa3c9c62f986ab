/**
 * Question: is any model's packed file larger than what general compressors make of its ONNX file? Real models (COPPICE_MODELS)
 * and made ones of the structures that exporters leave (src/testing/exported-structures.ts), beside brotli 11 with a window of
 * 2^24, xz -9e and zstd --ultra -22; a peer whose command is missing is left out.
 * Run: COPPICE_MODELS=... npx tsx bench/pack-peers.mts; writes bench/results/pack-peers.json.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { packModel } from '../src/formats/pack.ts'
import { unpackOnnx } from '../src/formats/unpack-onnx.ts'
import type { Model } from '../src/model.ts'
import { readModel } from '../src/onnx/read.ts'
import { writeModel } from '../src/onnx/write.ts'
import { exportedStructures } from '../src/testing/exported-structures.ts'
import { longTexts } from '../src/testing/long-texts.ts'

interface Row {
  readonly file: string
  /** Of the ONNX file. */
  readonly bytes: number
  readonly default: number
  readonly max: number
  readonly brotli: number
  readonly xz?: number
  readonly zstd?: number
}

/** Bytes that a command makes of its input; undefined where there is no such command. */
function lengthBy(command: string, args: readonly string[], input: Uint8Array): number | undefined {
  try {
    return execFileSync(command, args, { input, maxBuffer: 2 ** 31 - 1, stdio: ['pipe', 'pipe', 'ignore'] }).length
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function measure(file: string, onnx: Uint8Array, model: Model): Row {
  const packed = packModel(model)
  if (Buffer.compare(unpackOnnx(packed), writeModel(model)) !== 0) throw new Error(`${file}: not the same bytes`)
  return {
    file,
    bytes: onnx.length,
    default: packed.length,
    max: packModel(model, { mode: 'max' }).length,
    brotli: brotliCompressSync(onnx, { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } }).length,
    xz: lengthBy('xz', ['-9e', '--stdout'], onnx),
    zstd: lengthBy('zstd', ['--ultra', '-22', '--stdout', '--quiet'], onnx),
  }
}

const rows: Row[] = []
const add = (row: Row): void => {
  rows.push(row)
  console.log(JSON.stringify(row))
}
const folder = process.env.COPPICE_MODELS
for (const name of folder ? readdirSync(folder).filter((n) => n.endsWith('.onnx')) : []) {
  const onnx = new Uint8Array(readFileSync(join(folder as string, name)))
  add(measure(name.replace('.onnx', ''), onnx, readModel(onnx)))
}
for (const [name, model] of Object.entries({ ...exportedStructures(), ...longTexts() }))
  add(measure(`made: ${name}`, writeModel(model), model))
const result = { command: 'COPPICE_MODELS=... npx tsx bench/pack-peers.mts', rows }
writeFileSync(new URL('results/pack-peers.json', import.meta.url), `${JSON.stringify(result, null, 1)}\n`)
