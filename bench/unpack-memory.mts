/**
 * Question: how much memory does unpacking take, whole, in order, and for one tensor? A network of int8 layers, each a child
 * process's only work; its packed file lies on a disk and is read by ranges. Peak resident memory as Linux counts it,
 * the median of three runs, and how much more that is than of a process that opens the file alone.
 * Run: npx tsx bench/unpack-memory.mts; writes bench/results/unpack-memory.json.
 */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ByteSource, openCop } from '../src/formats/cop-file.ts'
import { packModel } from '../src/formats/pack.ts'
import { unpackOnnx } from '../src/formats/unpack-onnx.ts'
import { model, node, valueInfo } from '../src/graph/build.ts'
import { readFileBytes } from '../src/node/files.ts'
import { integerTensor } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'

const layers = 24
const side = 1024

function fileSource(path: string): ByteSource {
  const file = openSync(path, 'r')
  return {
    byteLength: statSync(path).size,
    async read(at, length) {
      const bytes = new Uint8Array(length)
      return bytes.subarray(0, readSync(file, bytes, 0, length, at))
    },
  }
}

const ways: Record<string, (path: string) => Promise<void>> = {
  'opened alone': async (path) => void (await openCop(fileSource(path))),
  'in order, tensor by tensor, to a file': async (path) => {
    const out = openSync(`${path}.out`, 'w')
    for await (const chunk of (await openCop(fileSource(path))).chunks()) writeSync(out, chunk)
    closeSync(out)
  },
  'whole, as one array, read by ranges': async (path) => void (await (await openCop(fileSource(path))).onnx()),
  'whole, as one array, from one array': async (path) => void unpackOnnx(readFileBytes(path)),
  'the middle tensor': async (path) => void (await (await openCop(fileSource(path))).tensor(`w${layers / 2}`)),
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
  try {
    const rng = random(1)
    const names = Array.from({ length: layers }, (_, i) => `w${i}`)
    const weights = names.map((name) =>
      integerTensor(
        name,
        'int8',
        [side, side],
        Int8Array.from({ length: side * side }, () => (rng.next() < 0.9 ? 0 : Math.round(rng.normal() * 2))),
      ),
    )
    const net = model({
      nodes: names.map((w, i) => node('MatMulInteger', [i === 0 ? 'x' : `y${i - 1}`, w], [`y${i}`])),
      initializers: new Map(weights.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'int8', [1, side])],
      outputs: [valueInfo(`y${layers - 1}`, 'int32', [1, side])],
    })
    const path = join(folder, 'net.cop')
    const packed = packModel(net, { mode: 'fast' })
    writeFileSync(path, packed)
    const peaks: Record<string, number> = {}
    for (const way of Object.keys(ways)) {
      const self = import.meta.filename
      const options = { encoding: 'utf8', maxBuffer: 1 << 20 } as const
      const runs = [0, 1, 2].map(() =>
        Number(execFileSync(process.execPath, ['--import', 'tsx', self, way, path], options)),
      )
      peaks[way] = runs.sort((a, b) => a - b)[1]
      console.error(way, runs)
    }
    const alone = peaks['opened alone']
    const result = {
      command: 'npx tsx bench/unpack-memory.mts',
      node: process.version,
      layers,
      tensorMiB: (side * side) / 2 ** 20,
      onnxMiB: (layers * side * side) / 2 ** 20,
      packedMiB: packed.length / 2 ** 20,
      peakMiBMoreThanOpening: Object.fromEntries(Object.entries(peaks).map(([way, mib]) => [way, mib - alone])),
      peakMiB: peaks,
    }
    writeFileSync(new URL('./results/unpack-memory.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
    console.error(result)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const [way, path] = process.argv.slice(2)
if (way) {
  await ways[way](path)
  // Of this program alone: what the system reports to a parent begins with the parent's own.
  const [, kib] = /VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  console.log(Math.round(Number(kib) / 1024))
} else await main()
