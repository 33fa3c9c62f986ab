/**
 * Networks of the zoo trained from three seeds each: the error on the whole test set. LeNets on MNIST; MobileNetV2,
 * ShuffleNetV2 and AlexNet on Fashion-MNIST.
 *
 * Needs COPPICE_DATA (its folders mnist and fashion-mnist). Run:
 *   npm run build && npx tsx bench/train-nets.mts FOLDER [NET[:SEED]…]
 * FOLDER keeps models, histories and checkpoints; a run that was interrupted continues from there. Writes
 * bench/results/train-nets.json.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const resultFile = join(import.meta.dirname, 'results/train-nets.json')
const seeds = [0, 1, 2]

const fashion = '--epochs 10 --batch 50 --rate 0.015 --decay 0.0001 --nesterov --average 0.999 --flip --classes 10'
const nets: Record<string, { data: string; flags: string; threads: number }> = {
  lenet300: { data: 'mnist', flags: '--epochs 30 --batch 64 --rate 0.05 --decay 0.0001', threads: 1 },
  lenet5: { data: 'mnist', flags: '--epochs 20 --batch 64 --rate 0.02 --decay 0.0005', threads: 1 },
  mobilenetV2: { data: 'fashion-mnist', flags: `--input 1,28,28 ${fashion}`, threads: 1 },
  shufflenetV2: { data: 'fashion-mnist', flags: `--input 1,28,28 ${fashion}`, threads: 1 },
  // 63x63 is the least that its pools take; 224x224 costs about 12 times the convolutions. Of 64x64 a single place is left,
  // which is not repeated to 6x6. At a quarter of the width Adam leaves the first plateau within a tenth of an epoch,
  // where SGD stays on it. At half of it, on held-back images, crops cost 1.7 points in 5 epochs, and label smoothing with
  // an average of the weights gained 0.4 in 8; the average takes a sixth of the time and is left out.
  alexnet: {
    data: 'fashion-mnist',
    flags:
      '--input 1,64,64 --pooled 1 --resize --mean 0.286 --std 0.353 --epochs 10 --batch 100 --optimizer adam --rate 0.0003 --warm-up 0.2 --smoothing 0.1 --flip --classes 10',
    threads: 2,
  },
}

const [folder, ...wanted] = process.argv.slice(2)
if (!folder) throw new Error('train-nets: no folder; expected a folder for models, histories and checkpoints')
mkdirSync(folder, { recursive: true })
const isWanted = (net: string, seed: number) =>
  wanted.length === 0 || wanted.includes(net) || wanted.includes(`${net}:${seed}`)

for (const [net, { data, flags, threads }] of Object.entries(nets)) {
  for (const seed of seeds) {
    const base = join(folder, `${net}-${seed}`)
    if (existsSync(`${base}.json`) || !isWanted(net, seed)) continue
    const source = ['--data', `${data}:${join(process.env.COPPICE_DATA ?? '', data)}`]
    const files = ['-o', `${base}.onnx`, '--history', `${base}.json`, '--checkpoint', `${base}.ck`]
    const rest = ['--seed', String(seed), '--threads', String(threads), ...files]
    execFileSync(process.execPath, [main, 'train', net, ...flags.split(' '), ...source, ...rest], { stdio: 'inherit' })
    record()
  }
}
record()

/** Adds what lies in the folder to the result file; seeds that ran elsewhere, with the same flags, stay. */
function record(): void {
  const before = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')).results : {}
  const results = { ...before }
  for (const [net, { data, flags, threads }] of Object.entries(nets)) {
    const made = `${flags} --threads ${threads}`
    const errors: Record<string, number> = before[net]?.flags === made ? { ...before[net].errors } : {}
    for (const seed of seeds) {
      const file = join(folder, `${net}-${seed}.json`)
      if (existsSync(file)) errors[seed] = percent(1 - JSON.parse(readFileSync(file, 'utf8')).test.after)
    }
    const values = Object.values(errors)
    if (values.length > 0) {
      const mean = Number((values.reduce((a, b) => a + b, 0) / values.length).toFixed(3))
      results[net] = { data, flags: made, errors, mean }
    }
  }
  const about = {
    command: 'npm run build && npx tsx bench/train-nets.mts FOLDER',
    what: 'error in % on the 10,000 test images, by seed',
  }
  writeFileSync(resultFile, `${JSON.stringify({ ...about, results }, null, 2)}\n`)
}

function percent(share: number): number {
  return Number((100 * share).toFixed(2))
}
