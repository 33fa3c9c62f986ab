/**
 * Question: does any damaged file crash, hang or exhaust a decoder?
 * Small seeds of every format are mutated, mostly with lengths and checksums made good so that the damage reaches the inside.
 * Whatever gives a sentence not seen before joins the seeds. Every outcome must be a decoded value or an error of one
 * sentence, within 2 s of processor time (beside, 100 ns for each entry that a matrix declares, 20 us for each integer without WebAssembly) and the target's bound on memory (typed arrays and WebAssembly memories, counted
 * exactly; a bound is linear in the file's bytes and the sizes that the file declares).
 * Run: npx tsx bench/fuzz.mts [count, 1050000 unless said] [seed] [pattern of targets, whose rows are then replaced];
 * writes bench/results/fuzz.json, exits 1 on a finding.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { UnsupportedError } from '../src/errors.ts'
import { random } from '../src/tensor/random.ts'
import { type Target, targets } from './_fuzz-targets.mts'

const count = Number(process.argv[2] ?? 1_050_000)
const seed = Number(process.argv[3] ?? 1)
const wanted = new RegExp(process.argv[4] ?? '')
const file = new URL('./results/fuzz.json', import.meta.url)
const maxMs = 2000
const maxSentences = 400

interface Row {
  seed: number
  mutations: number
  decoded: number
  refused: number
  sentences: number
  /** Milliseconds of processor time. */
  slowestMs: number
  meanMs: number
  /** Bytes allocated by the one that allocated most, and the largest share of what was allowed. */
  mostBytes: number
  largestShareOfLimit: number
  findings: { readonly what: string; readonly bytes: string }[]
}

const used = countAllocations()
const shares = targets.reduce((sum, t) => sum + t.share, 0)
const rows: Record<string, Row> = {}
for (const [i, target] of targets.entries()) {
  const { name } = target
  if (!wanted.test(name)) continue
  rows[name] = await fuzz(target, Math.ceil((count * target.share) / shares), seed * 1000 + i)
  const { findings, ...row } = rows[name]
  console.error(name, JSON.stringify(row), findings.length > 0 ? `${findings.length} FINDINGS` : '')
  for (const f of findings.slice(0, 5)) console.error(`  ${f.what}: ${f.bytes.slice(0, 400)}`)
}
const before: Record<string, Row> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).targets : {}
for (const { name } of targets) if (before[name] && !wanted.test(name)) rows[name] = before[name]
const total = (of: (row: Row) => number): number => Object.values(rows).reduce((sum, row) => sum + of(row), 0)
const result = {
  command: 'npx tsx bench/fuzz.mts',
  node: process.version,
  mutations: total((r) => r.mutations),
  findings: total((r) => r.findings.length),
  processorSeconds: Math.round(total((r) => r.meanMs * r.mutations) / 1000),
  peakResidentMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  targets: rows,
}
writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
console.error(
  `${result.mutations} mutations, ${result.findings} findings, ${result.processorSeconds} s of processor time`,
)
if (result.findings > 0) process.exitCode = 1

async function fuzz(target: Target, n: number, targetSeed: number): Promise<Row> {
  const rng = random(targetSeed)
  const corpus = [...target.seeds]
  const sentences = new Set<string>()
  const row: Row = {
    seed: targetSeed,
    mutations: n,
    decoded: 0,
    refused: 0,
    sentences: 0,
    slowestMs: 0,
    meanMs: 0,
    mostBytes: 0,
    largestShareOfLimit: 0,
    findings: [],
  }
  let totalMs = 0
  for (let i = 0; i < n; i++) {
    if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve)) // so that Ctrl-C is heard
    // Seeds half of the time: what has been found is mostly broken already.
    const from = rng.below(2) === 0 ? target.seeds.length : corpus.length
    const bytes = target.mutate(corpus[rng.below(from)], rng, target.seeds[rng.below(target.seeds.length)])
    used.reset()
    const cpuBefore = process.cpuUsage()
    let error: unknown
    try {
      const running = target.run(bytes)
      if (running instanceof Promise) await running
      row.decoded++
    } catch (thrown) {
      error = thrown ?? new TypeError('nothing was thrown')
      row.refused++
    }
    const { user, system } = process.cpuUsage(cpuBefore)
    const ms = (user + system) / 1000
    const find = (what: string): void => {
      row.findings.push({ what, bytes: Buffer.from(bytes).toString('base64') })
    }
    totalMs += ms
    row.slowestMs = Math.max(row.slowestMs, ms)
    row.mostBytes = Math.max(row.mostBytes, used.bytes)
    row.largestShareOfLimit = Math.max(row.largestShareOfLimit, used.bytes / target.limit(bytes))
    if (ms > (target.maxMs?.(bytes) ?? maxMs)) find(`${ms} ms`)
    if (used.bytes > target.limit(bytes)) find(`${used.bytes} bytes allocated`)
    if (error !== undefined) {
      const message = error instanceof Error ? error.message : String(error)
      const kind = error instanceof Error ? error.constructor.name : typeof error
      const isOurs = error instanceof UnsupportedError || kind === 'Error' || kind === 'CutShort'
      if (!isOurs || !/^\w.+/.test(message)) find(`${kind}: ${message}`)
      const sentence = message.replace(/"[^"]*"/gs, '').replace(/[\d.e+-]+/g, '')
      if (!sentences.has(sentence) && sentences.size < maxSentences) {
        sentences.add(sentence)
        if (target.grows ?? true) corpus.push(bytes)
      }
    }
    if (row.findings.length >= 20) {
      row.mutations = i + 1
      break
    }
  }
  row.sentences = sentences.size
  row.meanMs = totalMs / row.mutations
  return row
}

/** Counts the bytes that typed arrays and WebAssembly memories take from here on, whether or not they are freed. */
function countAllocations(): { readonly bytes: number; reset(): void } {
  let bytes = 0
  let memories: WebAssembly.Memory[] = []
  const array = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array
  for (const prototype of [array, ArrayBuffer.prototype]) {
    const { slice } = prototype as Uint8Array
    Object.defineProperty(prototype, 'slice', {
      value(this: Uint8Array, ...range: [number?, number?]) {
        const out = slice.apply(this, range)
        bytes += out.byteLength
        return out
      },
    })
  }
  const words = ['Uint8', 'Int8', 'Uint16', 'Int16', 'Uint32', 'Int32', 'Float32', 'Float64', 'BigInt64', 'BigUint64']
  for (const name of ['ArrayBuffer', ...words.map((w) => `${w}Array`)]) {
    const real = globalThis[name as 'Uint8Array']
    const counting = new Proxy(real, {
      construct(type, args, target) {
        const made = Reflect.construct(type, args, target) as Uint8Array
        if (!(args[0] instanceof ArrayBuffer)) bytes += made.byteLength
        return made
      },
    })
    Object.defineProperty(globalThis, name, { value: counting })
  }
  const real = WebAssembly.Instance
  const counting = new Proxy(real, {
    construct(type, args, target) {
      const made = Reflect.construct(type, args, target) as WebAssembly.Instance
      if (made.exports.memory instanceof WebAssembly.Memory) memories.push(made.exports.memory)
      return made
    },
  })
  Object.defineProperty(WebAssembly, 'Instance', { value: counting })
  return {
    get bytes() {
      return memories.reduce((sum, m) => sum + m.buffer.byteLength, bytes)
    },
    reset() {
      bytes = 0
      memories = []
    },
  }
}
