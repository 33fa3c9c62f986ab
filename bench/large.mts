/**
 * Question: how long do large models take, and how much memory? ResNet-50 (100 MB), VGG-16 (550 MB) and a chain of dense layers
 * with 2.5 GB of weights in a file of their own, each command a child process. Seconds by the clock and of all cores; peak
 * resident memory as Linux counts it; the longest time without a word of progress, and by what factor the time left was wrong.
 * Compressing is without data and without measuring latency.
 *
 * Needs no data: seeded files, 8 GB in the system's temporary folder.
 * Run: npm run build && npx tsx bench/large.mts [--no-compress] [resnet50 | vgg16 | chain-2.5gb ...]; writes bench/results/large.json.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { largeFiles } from './_large-files.mts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const resultFile = join(import.meta.dirname, 'results/large.json')

interface Row {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakMiB: number
  /** Of what the command wrote. */
  readonly bytes?: number
  /** The longest time without a word of progress, beginning and end included. */
  readonly silentSeconds: number
  /** The most that the time left was wrong by, as a factor, after the first fifth and while more than two seconds were left. */
  readonly leftWrongBy?: number
}

/** Writes what a process took, when it ends, to the file that its environment names. */
const report = `
import { readFileSync, writeFileSync } from 'node:fs'
process.on('exit', () => {
  const [, kib] = /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  const { user, system } = process.cpuUsage()
  writeFileSync(process.env.COPPICE_BENCH_TOOK, JSON.stringify({ cpuSeconds: (user + system) / 1e6, peakMiB: kib / 1024 }))
})`

/** A line of progress, and when it came, in milliseconds. */
interface Told {
  readonly at: number
  readonly leftMs?: number
}

async function measure(folder: string, args: readonly string[], output?: string): Promise<Row> {
  const took = join(folder, 'took.json')
  const start = performance.now()
  const preload = `data:text/javascript,${encodeURIComponent(report)}`
  const child = spawn(process.execPath, ['--import', preload, main, ...args, '--json'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, COPPICE_BENCH_TOOK: took },
  })
  const told: Told[] = []
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  for await (const line of createInterface({ input: child.stderr })) {
    if (!line.startsWith('{')) throw new Error(`coppice ${args[0]}: ${line}`)
    told.push({ at: performance.now() - start, leftMs: JSON.parse(line).leftMs })
  }
  const code = await ended
  if (code !== 0) throw new Error(`coppice ${args[0]} ended with exit code ${code}`)
  const end = performance.now() - start
  const { cpuSeconds, peakMiB } = JSON.parse(readFileSync(took, 'utf8')) as Row
  return {
    seconds: Number((end / 1000).toFixed(1)),
    cpuSeconds: Number(cpuSeconds.toFixed(1)),
    peakMiB: Math.round(peakMiB),
    ...(output ? { bytes: statSync(join(folder, output)).size } : {}),
    ...progressOf(told, end),
  }
}

function progressOf(told: readonly Told[], end: number): Pick<Row, 'silentSeconds' | 'leftWrongBy'> {
  const times = [0, ...told.map((t) => t.at), end]
  const silent = Math.max(...times.slice(1).map((t, i) => t - times[i]))
  const factors = told
    .filter(({ at }) => at >= end / 5 && end - at > 2000)
    .flatMap(({ at, leftMs }) => (leftMs ? [Math.max(leftMs / (end - at), (end - at) / leftMs)] : []))
  return {
    silentSeconds: Number((silent / 1000).toFixed(1)),
    ...(factors.length > 0 ? { leftWrongBy: Number(Math.max(...factors).toFixed(2)) } : {}),
  }
}

/** Whether unpacking gave the file again, with its data where that lies beside it. */
function expectSame(folder: string): void {
  for (const suffix of ['', '.data']) {
    const [from, to] = [join(folder, `in.onnx${suffix}`), join(folder, `out.onnx${suffix}`)]
    if (suffix && !existsSync(from)) continue
    // The paths of the data differ in the models of the largest; their data may not.
    if (suffix || !existsSync(`${from}.data`)) execFileSync('cmp', [from, to])
  }
}

/** Measures each command on a file, and has each row saved at once: all of them take long. */
async function measureAll(name: string, save: (rows: Record<string, Row>) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'coppice-large-'))
  try {
    await largeFiles[name](join(folder, 'in.onnx'))
    const rows: Record<string, Row> = noCompress ? { ...results[name]?.rows } : {}
    const run = async (what: string, args: readonly string[], output?: string): Promise<void> => {
      rows[what] = await measure(folder, args, output)
      console.log(name, what, rows[what])
      save(rows)
    }
    await run('inspect', ['inspect', 'in.onnx'])
    // The modes differ in nothing where all is float weights: once is enough of what takes minutes.
    for (const mode of name === 'resnet50' ? ['fast', 'default', 'max'] : ['default']) {
      await run(`pack, ${mode}`, ['pack', 'in.onnx', '-o', `${mode}.cop`, '--mode', mode], `${mode}.cop`)
      await run(`unpack, ${mode}`, ['unpack', `${mode}.cop`, '-o', 'out.onnx'])
      expectSame(folder)
      for (const file of readdirSync(folder)) if (/^(out|fast|default|max)\./.test(file)) rmSync(join(folder, file))
    }
    if (name === 'resnet50' && !noCompress)
      await run(
        'compress',
        ['compress', 'in.onnx', '-o', 'small.onnx', '--pack', 'small.cop', '--no-latency'],
        'small.cop',
      )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const given = process.argv.slice(2).filter((a) => a !== '--no-compress')
const names = given.length > 0 ? given : Object.keys(largeFiles)
/** Leaves the row of what takes minutes as it was. */
const noCompress = process.argv.includes('--no-compress')
const results: Record<string, { readonly loadAverage: number; readonly rows: Record<string, Row> }> = existsSync(
  resultFile,
)
  ? JSON.parse(readFileSync(resultFile, 'utf8')).results
  : {}
for (const name of names) {
  const loadAverage = Number(loadavg()[0].toFixed(1))
  await measureAll(name, (rows) => {
    results[name] = { loadAverage, rows }
    const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`
    const command = 'npm run build && npx tsx bench/large.mts'
    writeFileSync(resultFile, `${JSON.stringify({ command, machine, results }, null, 2)}\n`)
  })
}
