/** Writes README.md of the results folder: the tables beside the paper's, from the JSON files alone. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../../src/node/files.ts'
import { count } from '../../src/report/format.ts'
import { readResults } from '../_shared.mts'
import { leftByPaperRule, type NetName, netNames, type PaperRow, paperOverfitting, paperRows } from './_paper.mts'

// biome-ignore lint/suspicious/noExplicitAny: result files are data of many shapes
type Row = any

const labels: Readonly<Record<NetName, string>> = {
  mobilenetV2: 'MobileNetV2',
  shufflenetV2: 'ShuffleNetV2',
  alexnet: 'AlexNet',
}
const sets: Readonly<Record<string, string>> = {
  'fashion-mnist': 'Fashion-MNIST',
  cifar10: 'CIFAR-10',
  digits: 'drawn digits',
}
/** Of their images; a net may take larger ones. */
const sides: Readonly<Record<string, number>> = { 'fashion-mnist': 28, cifar10: 32, digits: 28 }
const labelOf = ({ net, set }: Row): string => `${labels[net as NetName]}, ${sets[set]}`

export async function writeTables(folder: string): Promise<void> {
  const sections = [intro, table1, table2, table3, figures, lenets, counts].map((section) => section(folder))
  await writeFileAtomic(join(folder, 'README.md'), new TextEncoder().encode(`${sections.join('\n\n')}\n`))
}

function rowsOf(folder: string, name: string): Row[] {
  return Object.values(readResults(join(folder, `${name}.json`)))
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

const points = (v: number | undefined): string => (v === undefined ? '' : v.toFixed(2))
const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`
const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(2)

/** The paper's rows, and ours beside them. */
function inPaper(rows: readonly Row[]) {
  return Object.entries(paperRows).flatMap(([set, nets]) =>
    netNames.map((net) => ({ net, set, paper: nets[net], own: rows.filter((r) => r.net === net && r.set === set) })),
  )
}

/** What no result file has, with the command that would make it. */
function missing(rows: readonly Row[], { name, set = 'fashion-mnist' }: { name: string; set?: string }): string {
  const absent = netNames.filter((net) => !rows.some((r) => r.net === net && r.set === set))
  if (absent.length === 0) return ''
  const command = `npm run experiment -- ${name} --data ${set}:DIR --nets ${absent.join(',')}`
  return `\n\nNot run on ${sets[set]}: ${absent.map((n) => labels[n]).join(', ')} (\`${command}\`).`
}

function settingsOf({ set, settings, seed }: Row): string {
  const { epochs, batch, rate, decay, limit } = settings
  const side = Math.max(settings.side, sides[set])
  const some = `${limit ? `, ${count(limit)} training images` : ''}${mores(settings)}`
  return `seed ${seed}, ${epochs} epochs, batch ${batch}, rate ${rate}, decay ${decay}, ${side} x ${side}${some}`
}

/** What a row has that the first ones had not. */
function mores({ restart, stem, crop, mixup }: Row): string {
  return `${restart ? `, then ${restart} epochs more after a warm restart` : ''}${stem ? ', strides for 32 x 32' : ''}${crop ? `, crops of ${crop} pixels` : ''}${mixup ? `, mixup ${mixup}` : ''}`
}

function intro(): string {
  return `# Quantisation and pruning: the paper's tables and ours

Paupamah, James, Klein 2020, _Quantisation and Pruning for Neural Network Compression and Regularisation_. Written by the scripts from the JSON files beside it (\`npm run experiment -- tables\`); nothing is typed in but the paper's figures.

As in the paper: SGD with momentum 0.9 and decay 1e-5, batches of 50, a fifth of the training data held back. Changed, and why:

- Images keep their size (28 x 28, 32 x 32) instead of 224 x 224, and there are a few epochs on half a cosine instead of 50 at a time: two processor cores were there, no GPU. So a difference of accuracies within a table means something; one between our column and the paper's less.
- AlexNet gets 64 x 64 by nearest pixels (63 is the least it takes), batches of 100, and Adam: with SGD it stays on its first plateau for the epochs there are. Its last map is then 1 x 1, and the dense layers get it as it is, not repeated to 6 x 6: 20.3M parameters instead of 57M, with no weight that only repeats another's work, so that a share of them is harder to spare than of the paper's.
- The strides of these nets are for 224 x 224: on 32 x 32 their last maps are single pixels, and they never learn CIFAR-10. Rows "strides for 32 x 32" leave out the first of them, and have crops, batches of 128 and a decay of 5e-4, with which such nets are mostly trained; pruned nets train on at a fifth of the rate.
- Every choice is made on the held-back images. The paper's code watched the test set, and flipped its images.
- Sparsity grows step by step under an exact mask. The paper's code prunes the same weights again in each of its rounds, and lowers its rate from round to round.
- Single weights go, by one threshold for all layers on magnitudes relative to their layer (LAMP): by plain magnitudes a layer whose weights are small as a whole would go first and altogether. The paper's rule takes whole filters of convolutions, the same share in each layer.
- Dead units are removed, and the packed file stores what is left. In the paper pruning saves no bytes: 57M parameters are 217.6 MB before and after.

Parameters are trained parameters that are not zero, biases and normalisations counted.`
}

/** Of the rows that differ in nothing but the ladder, the one that came to the fewest parameters. */
function smallestOf(rows: readonly Row[]): Row[] {
  const left = (r: Row): number => r.rungs[r.chosen]?.parameters ?? Number.POSITIVE_INFINITY
  const best = new Map<string, Row>()
  for (const r of rows) {
    const key = `${labelOf(r)}, ${settingsOf(r)}`
    const known = best.get(key)
    if (!known || left(r) < left(known)) best.set(key, r)
  }
  return [...best.values()]
}

function table1(folder: string): string {
  const rows = rowsOf(folder, 'table1')
  const ours = (r: Row): string[] => {
    const chosen = r.rungs[r.chosen]
    // The first sparsity of a ladder leaves no more parameters than the paper's net has.
    const atPaper = r.rungs.filter((x: Row) => x.sparsity === r.rungs[0].sparsity).at(-1)
    const smaller = (x: Row): string => `${count(x.parameters)} (${share(x.parameters, r.reference.parameters)})`
    return [
      `${points(r.reference.testPercent)}, ${count(r.reference.parameters)}`,
      `${points(atPaper.testPercent)}, ${smaller(atPaper)}`,
      chosen ? `**${points(chosen.testPercent)}, ${smaller(chosen)}**` : 'none held',
      r.control ? points(r.control.testPercent) : chosen ? 'not run' : '',
    ]
  }
  const body = inPaper(smallestOf(rows)).flatMap(({ net, set, paper, own }) => {
    const theirs = [`${points(paper.reference)} to ${points(paper.pruned)}`, paper.parameters.join(' to ')]
    if (own.length === 0) return [[labelOf({ net, set }), ...theirs, 'not run', '', '', '']]
    return own.map((r) => [`${labelOf(r)}, ${r.settings.epochs} epochs${mores(r.settings)}`, ...theirs, ...ours(r)])
  })
  const head = [
    'net, data',
    'paper: top-1',
    'paper: parameters',
    'our reference',
    "at the paper's size",
    'fewest without loss',
    'control',
  ]
  const climbs = rows.map((r) => {
    const steps = r.rungs.map((x: Row, i: number) => [
      `${(100 * x.sparsity).toFixed(1)} %${i === r.chosen ? ' (chosen)' : ''}`,
      count(x.parameters),
      String(x.epochsInAll),
      points(x.validationPercent),
      points(x.testPercent),
    ])
    const first = [
      'none: the reference',
      count(r.reference.parameters),
      '0',
      points(r.reference.validationPercent),
      points(r.reference.testPercent),
    ]
    const control = r.control && [
      'none: the control',
      count(r.reference.parameters),
      String(r.control.epochs),
      points(r.control.validationPercent),
      points(r.control.testPercent),
    ]
    return `${labelOf(r)} (${settingsOf(r)}; pruned at rate ${r.settings.pruningRate}):\n\n${table(['zeros', 'parameters', 'epochs since the reference', 'top-1 held back, %', 'top-1 test, %'], [first, ...steps, ...(control ? [control] : [])])}`
  })
  return `## Table I: parameters at no loss of accuracy

Top-1 on the test set in %. "Without loss": validation accuracy no lower than the reference's; test accuracy decided nothing. The pruned nets have seen more epochs than their reference, as in the paper; the control has seen the same epochs at the same rates with nothing pruned, so that the difference to it is what pruning costs. A standard error of the test accuracy is 0.3 points.

${table(head, body)}${missing(rows, { name: 'table1' })}${missing(rows, { name: 'table1', set: 'cifar10' })}${climbs.length > 0 ? `\n\nEvery step of the climb:\n\n${climbs.join('\n\n')}` : ''}`
}

function table2(folder: string): string {
  const rows = rowsOf(folder, 'table2')
  const forms = (r: Row): string[][] =>
    Object.entries<Row>(r.forms).map(([name, form]) => [
      `${labelOf(r)}: ${name}${name === 'pruned' && r.parameters ? ` to ${count(r.parameters)} parameters` : ''}${form.layersInFloat ? ` (${form.layersInFloat} layers in float)` : ''}`,
      points(form.testPercent),
      megabytes(form.onnxBytes),
      megabytes(form.packedBytes),
      form.latencyMs.median.toFixed(2),
      form.speedUp.median.toFixed(2),
      ...paperCells(r.paper, name),
    ])
  const body = inPaper(rows).flatMap(({ net, set, paper, own }) => {
    if (own.length > 0) return own.flatMap(forms)
    const label = labelOf({ net, set })
    return ['reference', 'int8'].map((name) => [
      `${label}: ${name}`,
      'not run',
      ...['', '', '', ''],
      ...paperCells(paper, name),
    ])
  })
  const head = [
    'net, data, form',
    'top-1, %',
    '.onnx MB',
    'packed MB',
    'ms',
    'speed-up',
    'paper: top-1',
    'paper: MB',
    'paper: ms',
    'paper: speed-up',
  ]
  const calibrated = rows.map(
    (r) =>
      `${labelOf(r)}, float ${points(r.forms.reference.testPercent)} %:\n\n${table(
        [
          'calibrated on',
          'ranges',
          'bias correction',
          'channels equalised',
          'a scale for',
          'room for pair sums',
          'top-1, %',
        ],
        r.calibrations.map((c: Row) => [
          `${c.images} images`,
          c.ranges,
          c.biasCorrection ? 'yes' : 'no',
          c.equalise ? 'yes' : 'no',
          c.weights ?? 'a channel',
          c.reduceRange === false ? 'no' : 'yes',
          points(c.testPercent),
        ]),
      )}`,
  )
  return `## Table II: bytes and latency

One image, one thread, forms in turn within a round; MB are 2^20 bytes. Zeros alone make no dense kernel faster: they pay in bytes, integers in time. The paper times PyTorch and does not say how many images per call. "int8" has every layer on integers; "int8 for speed" is what \`coppice compress --goal speed\` makes: layers whose integers cost held-back accuracy or time stay in float.

${table(head, body)}${missing(rows, { name: 'table2' })}${calibrated.length > 0 ? `\n\nThe paper's ShuffleNetV2 lost 12 points on CIFAR-10 as integers. Its code calibrates on one batch of 50; what ranges, images, bias correction and the scales of weights do for the reference here:\n\n${calibrated.join('\n\n')}${pairSums(rows)}` : ''}`
}

/** What saturating sums cost, of the nets whose weights were also rounded without regard to them. */
function pairSums(rows: readonly Row[]): string {
  const losses = rows.flatMap((r) => {
    const without: Row | undefined = r.calibrations.find((c: Row) => c.reduceRange === false)
    if (!without) return []
    const same = (c: Row): boolean =>
      c.reduceRange &&
      ['images', 'ranges', 'biasCorrection', 'equalise', 'weights'].every((name) => c[name] === without[name])
    const loss = (c: Row): string => points(r.forms.reference.testPercent - c.testPercent)
    return [`${labelOf(r)} loses ${loss(r.calibrations.find(same))} points with it and ${loss(without)} without`]
  })
  if (losses.length === 0) return ''
  return `\n\nRoom for pair sums: x86 processors without VNNI, as the one of these rows, add two products in 16 bits, which saturate unless weights are kept small enough (\`reduceRange\`, docs/notes/int8.md). ${losses.join('; ')}. Nothing else that was tried costs ShuffleNetV2 what the paper lost; whether its code left the room is not known.`
}

function paperCells(paper: PaperRow | undefined, name: string): string[] {
  if (!paper || (name !== 'reference' && name !== 'int8')) return ['', '', '', '']
  const at = name === 'reference' ? 0 : 1
  const [float, int8] = paper.milliseconds
  return [
    points(at ? paper.int8 : paper.reference),
    String(paper.megabytes[at]),
    String(paper.milliseconds[at]),
    (float / (at ? int8 : float)).toFixed(2),
  ]
}

function table3(folder: string): string {
  const rows = rowsOf(folder, 'table3')
  const body = rows.map((r) => [
    `${labelOf(r)}, seed ${r.seed}, ${count(r.trainingImages)} images, ${r.settings.roundEpochs} epoch${r.settings.roundEpochs === 1 ? '' : 's'} after`,
    ...[r.reference, r.overfitted, r.control, r.pruned].map((x) => (x ? points(x.testPercent) : '')),
    points(r.overfitted.trainPercent),
    `${count(r.pruned.parameters)} (${(100 * r.pruned.sparsity).toFixed(0)} % zeros)`,
  ])
  const paper = Object.entries(paperOverfitting).map(([net, p]) => [
    `_paper_: ${labels[net as NetName]}, Fashion-MNIST`,
    points(p.reference),
    points(p.overfitted),
    '',
    points(p.pruned),
    '99.9',
    p.parameters,
  ])
  const head = [
    'net, data',
    'reference',
    'overfitted',
    'control',
    'pruned',
    'training top-1 of the overfitted',
    'parameters',
  ]
  return `## Table III: pruning as a cure for overfitting

Top-1 on the test set in %. Overfitted: without Dropout, BatchNormalization, decay and flips, until 99.9 % of the training images are known or the epochs are over (the column tells). Pruned: the sparsity with the best validation accuracy, trained for some epochs after. Control: the same training, nothing pruned; what pruning does is the difference of the two. Where not all of the 48,000 training images were used, it is for want of hours: overfitting them takes some 30 epochs. It also leaves more room for a cure.

${table(head, [...body, ...paper])}${missing(rows, { name: 'table3' })}${verdict(rows)}${bySparsity(rows)}`
}

/** Where accuracy begins to fall, averaged over seeds. */
function bySparsity(rows: readonly Row[]): string {
  if (rows.length === 0) return ''
  const body = [...new Set(rows.map(labelOf))].flatMap((label) => {
    const own = rows.filter((r) => labelOf(r) === label)
    const rungs: Row[] = own.flatMap((r) => r.rungs)
    return [...new Set(rungs.map((r) => r.sparsity))].map((sparsity) => {
      const there = rungs.filter((r) => r.sparsity === sparsity)
      return [
        `${label}, ${there.length} seed${there.length === 1 ? '' : 's'}`,
        `${Number((100 * sparsity).toFixed(1))} %`,
        ...['trainPercent', 'validationPercent', 'testPercent'].map((what) => points(mean(there.map((r) => r[what])))),
      ]
    })
  })
  const head = ['net, data', 'zeros', 'top-1 training, %', 'top-1 held back, %', 'top-1 test, %']
  return `\n\nEvery sparsity, means over seeds, until validation accuracy has fallen by a point:\n\n${table(head, body)}`
}

function mean(of: readonly number[]): number {
  return of.reduce((a, b) => a + b, 0) / of.length
}

/** Whether pruned nets are better than their controls, in the words that the numbers allow. */
function verdict(rows: readonly Row[]): string {
  const compared = rows.filter((r) => r.control)
  if (compared.length < 2) return ''
  const gains = compared.map((r) => r.pruned.testPercent - r.control.testPercent)
  const over = compared.map((r) => r.pruned.testPercent - r.overfitted.testPercent)
  const signed = (v: number): string => `${v >= 0 ? '+' : ''}${v.toFixed(2)}`
  const gain = mean(gains)
  const error = Math.sqrt(gains.reduce((sum, g) => sum + (g - gain) ** 2, 0) / (gains.length - 1) / gains.length)
  const word = Math.abs(gain) > 2 * error ? `A ${gain > 0 ? 'gain' : 'loss'} that shows` : 'No effect that shows'
  const better = gains.filter((g) => g > 0).length
  const learned = compared.filter((r) => r.reference.trainPercent >= 95)
  const back = learned.filter((r) => r.pruned.testPercent >= r.reference.testPercent).length
  const nets = [...new Set(compared.map((r) => r.net as NetName))].map((net) => {
    const own = compared.filter((r) => r.net === net)
    const of = (value: (r: Row) => number): number => mean(own.map(value))
    const known = of((r) => r.reference.trainPercent)
    const short = known < 95 ? `, which has learned only ${known.toFixed(0)} % of its images in its epochs` : ''
    return `${labels[net]} ${signed(of((r) => r.pruned.testPercent - r.control.testPercent))} in ${own.length}, ${signed(of((r) => r.pruned.testPercent - r.reference.testPercent))} against its regularised reference${short}`
  })
  return `\n\nOver ${compared.length} runs: pruned against overfitted ${signed(mean(over))} points on average, against the control ${signed(gain)} with a standard error over the runs of ${points(error)}, better in ${better} (${nets.join('; ')}). ${word}. Of the references that learned 95 % of their images or more, pruned nets reach ${back} of ${learned.length}. The paper's gains over its references (+0.51, +0.65, +0.50) came with a sparsity chosen on test data and regularisers that its code had left on.`
}

function figures(folder: string): string {
  const pictures = existsSync(folder)
    ? readdirSync(folder)
        .filter((f) => f.endsWith('.svg'))
        .sort()
    : []
  const section = (name: string, about: string): string => {
    const rows = rowsOf(folder, name)
    const own = pictures.filter((f) => f.startsWith(name)).map((f) => `![${f.slice(0, -4)}](${f})`)
    return `${about}${own.length > 0 ? `\n\n${own.join('\n')}` : ''}${missing(rows, { name })}`
  }
  return `## Figures 3 and 4

${section('figure3', 'Figure 3: each of the largest layers pruned alone, without and with a short retraining.')}

${section('figure4', 'Figure 4: the whole net pruned at once, survivors fine-tuned or drawn anew, trained for the same few epochs.')}`
}

function lenets(): string {
  return `## LeNets on MNIST

Another experiment, which writes its own page: [lenet.md](lenet.md) (\`npm run experiment -- lenet --data mnist:DIR\`).`
}

function counts(folder: string): string {
  const rows = rowsOf(folder, 'table1')
  const body = inPaper(rows).map(({ net, set, paper, own: [ours] }) => {
    const chosen = ours?.rungs[ours.chosen]
    return [
      labelOf({ net, set }),
      String(paper.s),
      paper.parameters[1],
      count(leftByPaperRule(net, paper.s)),
      chosen ? count(chosen.parameters) : 'not run',
    ]
  })
  return `## What the paper's rule removes

Left of each net by the rule of its code at the sensitivity that it states: of every layer ceil(s · n), filters of convolutions and single weights of dense layers, biases not counted. ShuffleNetV2 and AlexNet come out as printed; MobileNetV2 does not: 0.5 would leave ${count(leftByPaperRule('mobilenetV2', 0.5))}, its 1.1M, and 0.7 about its 671K, so its two rows look exchanged or mis-stated.

${table(['net, data', 's', 'paper: parameters', 'by its rule', 'ours, without loss'], body)}`
}
