/**
 * Factorising beside tensorly: Tucker-2 at ranks by variational Bayes of all convolutions of GoogLeNet whose kernel is larger than
 * one place, both programs in turn; and the singular value decomposition of a 4096 x 9216 layer, AlexNet's largest.
 *
 *   COPPICE_PYTHON=python-with-tensorly npx tsx bench/factorize.mts [--rounds 3]
 *
 * GoogLeNet has the shapes of ImageNet's; its kernels are made: a Tucker part of a third of the channels, and noise of a fifth of
 * its size, so that there are ranks to find. Ours are timed with everything around them: layers found, factors put in the graph.
 * Writes bench/results/factorize.json.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { writeNpz } from '../src/data/npy.ts'
import { spreadOf } from '../src/evaluate/latency.ts'
import { svd } from '../src/factorize/svd.ts'
import { tucker } from '../src/factorize/tucker.ts'
import { model as makeModel, node, valueInfo } from '../src/graph/build.ts'
import { weightTensors } from '../src/graph/weights.ts'
import { type Model, withWeights } from '../src/model.ts'
import { writeFileAtomic } from '../src/node/files.ts'
import { floats, floatTensor, sizeOf } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { googlenet } from '../src/zoo/googlenet.ts'

const { values: flags } = parseArgs({ options: { rounds: { type: 'string', default: '3' } } })
const rng = random(1)
const normal = (count: number): Float32Array => Float32Array.from({ length: count }, () => rng.normal())

/** Outputs x inputs x places, of low multilinear rank with noise. */
function planted([outputs, inputs, ...kernel]: readonly number[]): Float32Array {
  const places = sizeOf(kernel)
  const [p, q] = [Math.ceil(outputs / 3), Math.ceil(inputs / 3)]
  const [last, core, first] = [normal(outputs * p), normal(p * q * places), normal(q * inputs)]
  // Both sums one after the other; the size of each entry is then about 1.
  const half = new Float32Array(outputs * q * places)
  for (let t = 0; t < outputs; t++)
    for (let a = 0; a < p; a++)
      for (let i = 0; i < q * places; i++) half[t * q * places + i] += last[t * p + a] * core[a * q * places + i]
  const noise = 0.2 * Math.sqrt(p * q)
  const out = Float32Array.from({ length: outputs * inputs * places }, () => noise * rng.normal())
  for (let t = 0; t < outputs; t++)
    for (let b = 0; b < q; b++)
      for (let s = 0; s < inputs; s++)
        for (let k = 0; k < places; k++)
          out[(t * inputs + s) * places + k] += half[(t * q + b) * places + k] * first[b * inputs + s]
  return out.map((v) => v / Math.sqrt(p * q))
}

const isKernel = (dims: readonly number[]): boolean => dims.length === 4 && dims[2] * dims[3] > 1
const net = ((): Model => {
  const bare = googlenet()
  const kernels = weightTensors(bare).filter((w) => isKernel(w.tensor.dims))
  return withWeights(
    bare,
    kernels.map(({ tensor: { name, dims } }) => floatTensor(name, dims, planted(dims))),
  )
})()
const kernels = weightTensors(net).filter((w) => isKernel(w.tensor.dims))

function startPeer(python: string, file: string) {
  const child = spawn(python, [join(import.meta.dirname, 'peers/factorize.py'), file])
  child.stderr.on('data', (text) => process.stderr.write(text))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('factorize: tensorly ended before it answered')
    return JSON.parse(value as string)
  }
  return {
    hello: next(),
    ask() {
      child.stdin.write('once\n')
      return next() as Promise<{
        seconds: number
        ranks: Record<string, [number, number]>
        errors: Record<string, number>
      }>
    },
    end: () => void child.kill(),
  }
}

/** What our factors are: [output rank, input rank] by kernel. */
function ranksOf(made: Model): Record<string, readonly [number, number]> {
  const dims = (name: string) => made.graph.initializers.get(name)?.dims
  return Object.fromEntries(
    kernels.flatMap(({ name }) => {
      const core = dims(`${name}_core`)
      return core ? [[name, [core[0], core[1]]]] : []
    }),
  )
}

async function timed<T>(run: () => Promise<T>): Promise<{ seconds: number; made: T }> {
  const start = performance.now()
  const made = await run()
  return { seconds: (performance.now() - start) / 1000, made }
}

const python = process.env.COPPICE_PYTHON
if (!python) throw new Error('factorize: COPPICE_PYTHON is not set; expected a Python that has tensorly')
const folder = mkdtempSync(join(tmpdir(), 'coppice-factorize-'))
const file = join(folder, 'kernels.npz')
const arrays = kernels.map(({ name, tensor }) => [
  name,
  { shape: [...tensor.dims], data: floats(tensor) as Float32Array },
])
writeFileSync(file, await writeNpz(Object.fromEntries(arrays)))
const peer = startPeer(python, file)
const versions = await peer.hello
const ours: number[] = []
const theirs: number[] = []
let found: Record<string, readonly [number, number]> = {}
let expected: Record<string, readonly [number, number]> = {}
// All ranks as the rule finds them, whether the factors are cheaper or not, as tensorly does.
const options = { norm: 'weights', onlyCheaper: false } as const
for (let round = -1; round < Number(flags.rounds); round++) {
  const { seconds, made } = await timed(() => tucker(net, options, { seed: 1 }))
  const answer = await peer.ask()
  found = ranksOf(made)
  expected = answer.ranks
  console.log(`coppice ${seconds.toFixed(1)} s, tensorly ${answer.seconds.toFixed(1)} s`)
  if (round < 0) continue
  ours.push(seconds)
  theirs.push(answer.seconds)
}
peer.end()
rmSync(folder, { recursive: true })
const differing = Object.keys(expected).filter((k) => `${expected[k]}` !== `${found[k]}`)

const [rows, columns] = [4096, 9216]
const large = makeModel({
  nodes: [node('Gemm', ['x', 'w'], ['y'], { transB: 1 })],
  initializers: new Map([['w', floatTensor('w', [rows, columns], normal(rows * columns))]]),
  inputs: [valueInfo('x', 'float32', ['N', columns])],
  outputs: [valueInfo('y', 'float32', ['N', rows])],
})
const dense = []
for (const rank of [64, 256, 512]) {
  const { seconds } = await timed(() => svd(large, { rank, norm: 'weights' }, { seed: 1 }))
  dense.push({ rank, seconds: Number(seconds.toFixed(2)) })
  console.log(`${rows} x ${columns} at rank ${rank}: ${seconds.toFixed(1)} s`)
}

const result = {
  command: 'COPPICE_PYTHON=python-with-tensorly npx tsx bench/factorize.mts',
  machine: `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`,
  googlenet: {
    kernels: kernels.length,
    ...versions,
    coppiceSeconds: spreadOf(ours),
    tensorlySeconds: spreadOf(theirs),
    ratio: spreadOf(ours.map((s, i) => s / theirs[i])),
    ranksThatDiffer: Object.fromEntries(differing.map((k) => [k, { coppice: found[k], tensorly: expected[k] }])),
  },
  dense: { rows, columns, svd: dense },
}
await writeFileAtomic(
  new URL('./results/factorize.json', import.meta.url).pathname,
  new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`),
)
console.log(JSON.stringify(result.googlenet, null, 1))
process.exit(0)
