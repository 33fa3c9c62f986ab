/**
 * Writes the tables of README.md and docs/ from the committed result files, between their `<!-- results:NAME -->` marks, so
 * that no number is typed by hand. `npm run results` rewrites them; `--check` fails where they differ (a test runs that).
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { count, percent } from '../src/report/format.ts'

const root = join(import.meta.dirname, '..')

// biome-ignore lint/suspicious/noExplicitAny: result files are data of many shapes
type Json = any

function result(name: string): Json | undefined {
  const path = join(root, 'bench/results', `${name}.json`)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** A ratio with its 99 % interval or, of other measurements, its 10th and 90th percentile. */
const speed = ({ median, low, high, p10, p90 }: Json): string =>
  `${median.toFixed(2)} (${(low ?? p10).toFixed(2)}-${(high ?? p90).toFixed(2)})`
const rangeOf = (result: Json): string => (JSON.stringify(result).includes('"low":') ? '99 % interval' : '10-90 %')

/** The PyTorch that steps were timed beside. */
function peerOf(rows: Json): string {
  const peers = Object.values<Json>(rows).flatMap((x) => (x.torch ? [x.torch] : []))
  const text = ({ torch, blas, malloc }: Json): string =>
    `PyTorch ${torch}, BLAS ${blas}, malloc ${malloc ?? 'of the system'}`
  const distinct = [...new Set(peers.map(text))]
  return distinct.length > 0 ? `\n\n${distinct.join('; ')}.` : ''
}

/** Sizes, and what was lost on the whole test set. */
function lossTable(name: string): string | undefined {
  const r = result(name)
  return (
    r &&
    table(
      ['model', '.onnx before', 'packed after', 'ratio', 'top-1 before', 'top-1 after', 'points lost'],
      Object.entries<Json>(r.results).map(([id, x]) => [
        id,
        count(x.bytes),
        count(x.packed),
        `**${x.ratio.toFixed(1)} x**`,
        percent(x.top1.before),
        percent(x.top1.after),
        x.lostPoints.toFixed(2),
      ]),
    )
  )
}

const tables: Record<string, () => string | undefined> = {
  'onnx-node-tests': () => {
    const r = result('onnx-node-tests')
    return (
      r &&
      table(
        [
          'onnx',
          'models',
          'written',
          'packed and unpacked',
          'inspected',
          'shapes right',
          'open in part',
          'not known',
          'failures',
          'bytes',
          'packed',
        ],
        [
          [
            r.onnx,
            ...[r.models, r.written, r.unpacked, r.inspected, r.shapes.exact, r.shapes.partly, r.shapes.unknown].map(
              count,
            ),
            count(r.failures.length),
            ...[r.bytes.onnx, r.bytes.packed].map(count),
          ],
        ],
      )
    )
  },
  compress: () => {
    const r = result('compress')
    return (
      r &&
      table(
        ['model', '.onnx before', 'packed after', 'ratio', 'top-1 before', 'top-1 after', 'points lost', 'seconds'],
        Object.entries<Json>(r.results).map(([id, x]) => [
          id,
          count(x.before.bytes),
          count(x.after.packed),
          `**${x.ratio.toFixed(1)} x**`,
          percent(x.before.top1),
          percent(x.after.top1),
          x.lostPoints.toFixed(2),
          x.wallSeconds.toFixed(0),
        ]),
      )
    )
  },
  records: () => {
    const r = result('records')
    return (
      r &&
      table(
        ['record', 'from', 'top-1 before', 'top-1 after', 'points lost', 'MACs fewer', 'latency ratio', '.cop bytes'],
        Object.entries<Json>(r.results)
          .filter(([, { beside, fewer }]) => !beside && !fewer)
          .map(([id, { from, before, after, speedUp }]) => [
            id,
            from.replace('.onnx', ''),
            before ? percent(before.top1) : '',
            percent(after.top1),
            before ? (100 * (before.top1 - after.top1)).toFixed(2) : '',
            before ? `**${(before.macs / after.macs).toFixed(2)} x**` : '',
            speedUp ? speed(speedUp) : 'not measured',
            count(after.bytes),
          ]),
      )
    )
  },
  'records-small': () => {
    const r = result('records')
    const error = (top1: number): string => `${(100 * (1 - top1)).toFixed(2)} %`
    return (
      r &&
      table(
        ['record', 'error before', 'error after', '.onnx before', '.cop bytes', 'smaller', 'published'],
        Object.entries<Json>(r.results)
          .filter(([, { beside }]) => beside)
          .map(([id, { before, after, beside }]) => [
            id,
            before ? error(before.top1) : '',
            error(after.top1),
            before ? count(before.bytes) : '',
            `**${count(after.bytes)}**`,
            before ? `${(before.bytes / after.bytes).toFixed(0)} x` : '',
            `${beside.who}: ${count(beside.bytes)} at ${beside.errorPercent} %`,
          ]),
      )
    )
  },
  'records-fewer': () => {
    const r = result('records')
    const error = (top1: number): string => `${(100 * (1 - top1)).toFixed(2)} %`
    return (
      r &&
      table(
        ['record', 'error before', 'error after', 'parameters before', 'not zero', 'fewer', '.cop bytes', 'published'],
        Object.entries<Json>(r.results)
          .filter(([, { fewer }]) => fewer)
          .map(([id, { before, after, fewer }]) => [
            id,
            before ? error(before.top1) : '',
            error(after.top1),
            before ? count(before.nonzero) : '',
            count(after.nonzero),
            before ? `**${(before.nonzero / after.nonzero).toFixed(1)} x**` : '',
            count(after.bytes),
            `${fewer.who}: ${fewer.factor} x`,
          ]),
      )
    )
  },
  multiple: () => {
    const r = result('multiple')
    const [first] = Object.values<Json[]>(r?.rows ?? {})
    return (
      r &&
      table(
        ['network', ...first.map(({ multiple }) => (multiple ? `multiples of ${multiple}` : 'default'))],
        Object.entries<Json[]>(r.rows).map(([name, rows]) => [
          name,
          ...rows.map(({ macsRatio, speedUp }) => `**${speedUp.median.toFixed(2)} x** of ${macsRatio.toFixed(2)} x`),
        ]),
      )
    )
  },
  'compress-without-data': () => lossTable('compress-without-data'),
  'few-images': () => {
    const r = result('few-images')
    const models = r ? [...new Set<string>(r.rows.map((x: Json) => x.model))] : []
    const line = (model: string): string[] => {
      const rows = r.rows.filter((x: Json) => x.model === model)
      const span = (values: number[], digits: number): string =>
        `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`
      const ratios = span(
        rows.map((x: Json) => x.ratio),
        1,
      )
      const lost = span(
        rows.map((x: Json) => x.lostPoints),
        2,
      )
      return [model, String(rows.length), `${ratios} x`, percent(rows[0].top1.before), lost]
    }
    return (
      r &&
      `${table(['model', 'draws', 'packed, ratio', 'top-1 before', 'points lost'], models.map(line))}\n\n${r.held} of ${r.rows.length} within ${r.limit} points.`
    )
  },
  'compress-statistics': () => lossTable('compress-statistics'),
  int8: () => {
    const r = result('int8')
    const tables = Object.entries<Json>(r?.processors ?? {}).map(([kind, processor]) => {
      const rows = Object.entries<Json>(processor.results).flatMap(([id, x]) =>
        Object.entries<Json>(x.rows).map(([who, row]) => [
          id,
          who,
          row.bytes === undefined ? '' : count(row.bytes),
          row.accuracy === undefined ? 'failed' : `${row.accuracy.toFixed(2)} %`,
          row.speedUp ? speed(row.speedUp) : '',
          row.seconds?.toFixed(1) ?? '',
        ]),
      )
      const heads = ['model', 'form', 'bytes', 'top-1', `speed-up over float (${rangeOf(processor)})`, 'made in s']
      return `A processor ${kind} (${processor.machine}):\n\n${table(heads, rows)}`
    })
    return r && tables.join('\n\n')
  },
  compact: () => {
    const r = result('compact')
    return (
      r &&
      table(
        ['weights stored as', 'bytes', 'ms per call', `speed-up over float (${rangeOf(r)})`],
        r.results.map((x: Json) => [x.name, count(x.bytes), x.latencyMs.median.toFixed(2), speed(x.speedUp)]),
      )
    )
  },
  'weight-integers': () => {
    const r = result('weight-integers')
    return (
      r &&
      table(
        [
          'mode',
          'bytes / NNCodec best, geometric mean',
          'largest of the cases',
          'packed file / NNCodec file',
          'decode, M weights/s (10-90 %)',
          'in Chromium',
          'bytes / brotli 9',
          'decode speed / brotli',
          'bytes / zstd 19',
          'decode speed / zstd',
          'encode',
          'decode without WebAssembly',
        ],
        Object.entries<Json>(r.summary).map(([mode, s]) => [
          mode,
          s.geometricMeanRatio.toFixed(3),
          s.largestRatio.toFixed(3),
          s.fileGeometricMeanRatio.toFixed(3),
          speed(s.decodeMps),
          s.chromiumDecodeMps ? speed(s.chromiumDecodeMps) : '',
          ...[s.brotli, s.zstd].flatMap((o) => [o.bytesRatio.toFixed(2), speed(o.decodeSpeed)]),
          s.medianEncodeMps.toFixed(1),
          s.medianPlainDecodeMps.toFixed(1),
        ]),
      )
    )
  },
  scan: () => {
    const r = result('scan')
    return (
      r &&
      table(
        ['network', 'tensors x levels', 'samples', 'threads', 'scan, s', 'plain loop, s', 'ratio'],
        [
          [
            r.model.replace('.onnx', ''),
            `${r.tensors} x ${r.sparsities.length}`,
            count(r.samples),
            String(r.threads),
            r.scanSeconds.toFixed(0),
            `${r.plainSeconds.toFixed(0)} (${r.plainIs})`,
            `**${r.ratio.toFixed(2)}**`,
          ],
        ],
      )
    )
  },
  'gradients-operators': () => {
    const r = result('gradients')
    const worst = (name: string, who: string): string =>
      Math.max(...r.operators.flatMap((o: Json) => o[name]?.[who] ?? [])).toExponential(1)
    return (
      r &&
      table(
        [`${r.operators.length} cases, the largest error of any`, 'coppice', 'PyTorch float32'],
        [
          ['gradients', worst('gradients', 'plain'), worst('gradients', 'torch')],
          ['Hessian-vector products', worst('products', 'plain'), worst('products', 'torch')],
        ],
      )
    )
  },
  'gradients-networks': () => {
    const r = result('gradients')
    const error = (value: number | undefined): string => value?.toExponential(1) ?? ''
    const errors = (e: Json): string[] => ['plain', 'blocked', 'torch'].map((who) => error(e[who]))
    const kinds = ['plain', 'blocked', 'PyTorch float32']
    return (
      r &&
      table(
        ['network', ...kinds, ...kinds.map((k) => `smooth: ${k}`)],
        r.networks
          .filter((n: Json) => n.smooth)
          .map((n: Json) => [n.name, ...errors(n.gradients), ...errors(n.smooth)]),
      )
    )
  },
  'finetune-resnet20': () => {
    const r = result('finetune-resnet20')
    const rows = (of: Json, on: string): string[][] =>
      Object.entries<Json>(of).map(([name, v]) => [on, name, v.loss.toFixed(4), percent(v.accuracy)])
    return (
      r &&
      table(
        ['images', 'model', 'loss', 'top-1'],
        [...rows(r.results.heldBack, 'held back'), ...rows(r.results.test, 'test')].map(([on, name, ...rest]) => [
          on,
          name.startsWith('seed') ? `${r.results.chosen}, ${name}` : name,
          ...rest,
        ]),
      )
    )
  },
  'train-step': () => {
    const r = result('train-step')
    return (
      r &&
      table(
        [
          'network',
          'batch',
          'coppice ms',
          'PyTorch ms',
          'channels_last ms',
          'compiled ms',
          'compiled, channels_last ms',
          'ratio to the fastest',
          'coppice peak MiB',
          'PyTorch peak MiB',
        ],
        Object.entries<Json>(r.rows).map(([id, x]) => {
          const peers = ['contiguous', 'channels_last', 'compiled', 'compiled_channels_last'].map(
            (layout): Json => x.stepMs[layout],
          )
          const ours = x.stepMs.coppice.median
          return [
            id,
            String(x.batch),
            ours.toFixed(1),
            ...peers.map((m) => m?.median.toFixed(1) ?? ''),
            x.ratio ? `**${x.ratio.fastest.toFixed(2)}**` : '',
            ...[x.peakBytes.coppice, x.peakBytes.contiguous].map((b?: number) =>
              b ? count(Math.round(b / 2 ** 20)) : '',
            ),
          ]
        }),
      ) + peerOf(r.rows)
    )
  },
  factorize: () => {
    const r = result('factorize')
    if (!r) return r
    const { googlenet: g, dense } = r
    const seconds = (x: Json): string => `${x.median.toFixed(1)} (${x.p10.toFixed(1)}-${x.p90.toFixed(1)})`
    const differing = Object.keys(g.ranksThatDiffer).length
    const rows = [
      [
        `Tucker-2 of ${g.kernels} kernels of GoogLeNet, ranks by variational Bayes`,
        seconds(g.coppiceSeconds),
        seconds(g.tensorlySeconds),
        `**${g.ratio.median.toFixed(2)}**`,
      ],
      ...dense.svd.map(({ rank, seconds }: Json) => [
        `SVD of ${count(dense.rows)} x ${count(dense.columns)} at rank ${rank}`,
        seconds.toFixed(1),
        '',
        '',
      ]),
    ]
    const heads = ['what', `coppice, s (${rangeOf(r)})`, 'tensorly, s', 'ratio']
    return `${table(heads, rows)}\n\nRanks differ for ${differing} of ${g.kernels} kernels. ${r.machine}.`
  },
  shuffles: () => {
    const r = result('shuffles')
    return (
      r &&
      table(
        ['network', 'nodes', 'nodes with Gathers', 'ms', 'ms with Gathers', `times as fast (${rangeOf(r)})`],
        Object.entries<Json>(r.rows).map(([name, { nodes, latencyMs, speedUp }]) => [
          name,
          ...nodes.map(String),
          ...latencyMs.map((l: Json) => l.median.toFixed(2)),
          speed(speedUp),
        ]),
      )
    )
  },
  batches: () => {
    const r = result('batches')
    return (
      r &&
      table(
        ['network', 'batch', 'making a batch, ms', 'the step, ms', 'share'],
        Object.entries<Json>(r.rows).map(([id, x]) => [
          id,
          String(x.batch),
          x.batchMs.toFixed(1),
          x.stepMs.toFixed(1),
          `${(100 * x.share).toFixed(1)} %`,
        ]),
      )
    )
  },
  'train-nets': () => {
    const r = result('train-nets')
    return (
      r &&
      table(
        ['network', 'data', 'test error in %, seeds 0, 1, 2', 'mean', 'options of coppice train'],
        Object.entries<Json>(r.results).map(([net, x]) => [
          net,
          x.data,
          [0, 1, 2].map((seed) => x.errors[seed]?.toFixed(2) ?? 'not run').join(', '),
          x.mean.toFixed(2),
          `\`${x.flags}\``,
        ]),
      )
    )
  },
  matvec: () => {
    const r = result('matvec')
    if (!r) return r
    const rows = Object.keys(r.results[0].formats).map((format) => {
      const at: Json[] = r.results.map((x: Json) => x.formats[format])
      const bits = at.map((x) => x.bitsPerEntry.toFixed(2)).join(', ')
      return [format, bits, ...at.map((x) => speed(x.overDense)), at.map((x) => x.overCsc.median.toFixed(2)).join(', ')]
    })
    const zeros: string[] = r.results.map((x: Json) => `${100 * x.sparsity} %`)
    const head = ['', `bits per entry at ${zeros.join(', ')} zeros`, ...zeros.map((z) => `time over dense at ${z}`)]
    return `${r.machine.cpu}, Node ${r.machine.node}.\n\n${table([...head, `over csc at ${zeros.join(', ')}`], rows)}`
  },
  'pack-peers': () => {
    const r = result('pack-peers')
    return (
      r &&
      table(
        ['model', '.onnx', 'coppice', 'coppice max', 'brotli 11', 'xz -9e', 'zstd -22', 'coppice over the best'],
        r.rows.map((x: Json) => [
          x.file,
          ...[x.bytes, x.default, x.max, x.brotli, x.xz, x.zstd].map((n) => (n === undefined ? '' : count(n))),
          `**${(x.default / Math.min(x.brotli, x.xz ?? x.brotli, x.zstd ?? x.brotli)).toFixed(2)}**`,
        ]),
      )
    )
  },
  sweep: () => {
    const r = result('sweep')
    if (!r) return undefined
    const { jobs, workers, withoutKills, withKills } = r.kills
    const { kills, killedAtWork, rows, told, equal, heartbeatSeconds, longestSecondsUntilTakenUp } = withKills
    return table(
      [`${jobs} small jobs, ${workers} workers on Postgres`, ''],
      [
        ['workers killed (SIGKILL) at random moments', `${kills}, ${killedAtWork} of them at work`],
        ['rows, and rows that arrived', `${rows}, ${told}`],
        ['rows equal to those of the sweep without kills', String(equal)],
        ['seconds without kills, with them', `${withoutKills.seconds}, ${withKills.seconds}`],
        [
          `longest until a killed worker's job was taken up, heartbeat ${heartbeatSeconds} s`,
          `${longestSecondsUntilTakenUp} s`,
        ],
        [`the same, heartbeat ${r.takenUp.heartbeatSeconds} s as it is by default`, `${r.takenUp.seconds} s`],
        ['queue operations per second, one client: Postgres', count(r.operationsPerSecond.postgres)],
        ['the same, embedded PGlite', count(r.operationsPerSecond.pglite)],
      ],
    )
  },
  'unpack-memory': () => {
    const r = result('unpack-memory')
    return (
      r &&
      table(
        ['way', 'peak MiB', 'more than opening the file, MiB'],
        Object.entries<number>(r.peakMiB).map(([way, mib]) => [
          way,
          String(mib),
          String(r.peakMiBMoreThanOpening[way]),
        ]),
      )
    )
  },
  runtimes: () => {
    const r = result('runtimes')
    return (
      r &&
      table(
        [
          'network',
          'weights',
          'stored otherwise by native code, same recipe',
          'packed bytes: WebAssembly',
          'native code, same recipe',
          'native code, its own search',
        ],
        Object.entries<Json>(r.results).map(([id, { elements, other, packed }]) => [
          id,
          count(elements),
          `${count(other)} (${((100 * other) / elements).toFixed(2)} %)`,
          ...[packed.wasm, packed.nativeByItsRecipe, packed.nativeByItsOwn].map(count),
        ]),
      )
    )
  },
  'page-speed': () => {
    const r = result('page-speed')
    return (
      r &&
      table(
        [r.model, 'the page', 'Node', 'ratio'],
        [
          [
            'compressed without data, seconds of a processor',
            String(r.took.page.cpuSeconds),
            String(r.took.node.cpuSeconds),
            `${r.timesNode} x`,
          ],
          [
            'ONNX Runtime alone, milliseconds per call of 64 inputs',
            String(r.modelAlone.wasmMs),
            String(r.modelAlone.nativeMs),
            `${r.modelAlone.timesNative} x`,
          ],
        ],
      )
    )
  },
  'page-memory': () => {
    const r = result('page-memory')
    return (
      r &&
      table(
        ['', 'the page and its worker', "the browser's own process"],
        Object.entries<Json>(r.peakMiB).flatMap(([what, peaks]) =>
          Object.entries({
            'page opened': peaks.opened,
            'model shown': peaks.shown,
            [`${what}ed`]: peaks.worked,
            downloaded: peaks.saved,
          }).map(([when, { page, browser }]) => [`${what}: ${when}`, count(page), count(browser)]),
        ),
      )
    )
  },
  large: () => {
    const r = result('large')
    const rows = Object.entries<Json>(r?.results ?? {}).flatMap(([name, x]) =>
      Object.entries<Json>(x.rows).map(([what, row]) => [
        name,
        what,
        row.seconds.toFixed(1),
        row.cpuSeconds.toFixed(1),
        count(row.peakMiB),
        row.bytes === undefined ? '' : count(row.bytes),
        row.silentSeconds === undefined ? '' : row.silentSeconds.toFixed(1),
        row.leftWrongBy === undefined ? '' : `${row.leftWrongBy.toFixed(2)} x`,
      ]),
    )
    const loads = Object.entries<Json>(r?.results ?? {}).map(([name, x]) => `${name} ${x.loadAverage}`)
    const head = [
      'model',
      'command',
      'seconds',
      'of all cores',
      'peak MiB',
      'packed bytes',
      'longest silence, s',
      'time left wrong by',
    ]
    return r && `${table(head, rows)}\n\n${r.machine}; load of the machine before: ${loads.join(', ')}.`
  },
  fuzz: () => {
    const r = result('fuzz')
    return (
      r &&
      table(
        [
          'decoder',
          'mutations',
          'decoded',
          'refused',
          'sentences',
          'slowest, ms',
          'most allocated, MiB',
          'of its bound',
        ],
        Object.entries<Json>(r.targets).map(([name, x]) => [
          name,
          count(x.mutations),
          count(x.decoded),
          count(x.refused),
          String(x.sentences),
          x.slowestMs.toFixed(0),
          (x.mostBytes / 2 ** 20).toFixed(2),
          `${(100 * x.largestShareOfLimit).toFixed(0)} %`,
        ]),
      )
    )
  },
}

const check = process.argv.includes('--check')
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true }).map((f) => join('docs', String(f))),
].filter((f) => f.endsWith('.md'))
for (const page of pages) {
  const path = join(root, page)
  const text = readFileSync(path, 'utf8')
  const written = text.replace(
    /(<!-- results:([\w-]+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, start: string, name: string, end: string) => {
      const made = tables[name]
      if (!made) throw new Error(`${page}: there is no table "${name}"; expected ${Object.keys(tables).join(', ')}`)
      return `${start}${made() ?? `no result yet`}\n${end}`
    },
  )
  if (written === text) continue
  if (check) throw new Error(`${page}: its numbers are not those of bench/results; run npm run results`)
  writeFileSync(path, written)
}
