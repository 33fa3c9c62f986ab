/**
 * LeNet-300-100 and LeNet-5 on MNIST, trained from three seeds each: the error on the whole test set.
 *
 * Needs COPPICE_DATA (its folder mnist). Run: npm run build && npx tsx bench/train-lenets.mts [FOLDER for models and histories];
 * writes bench/results/train-lenets.json. A run that was interrupted goes on from its checkpoints.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const folder = process.argv[2] ?? 'train-lenets-out'
mkdirSync(folder, { recursive: true })

const nets = {
  lenet300: ['--epochs', '30', '--batch', '64', '--rate', '0.05', '--decay', '0.0001'],
  lenet5: ['--epochs', '20', '--batch', '64', '--rate', '0.02', '--decay', '0.0005'],
}

const results: Record<string, { flags: string; errors: number[]; mean: number }> = {}
for (const [net, flags] of Object.entries(nets)) {
  const errors: number[] = []
  for (const seed of [0, 1, 2]) {
    const base = join(folder, `${net}-${seed}`)
    if (!existsSync(`${base}.json`)) {
      const data = [
        '--data',
        `mnist:${join(process.env.COPPICE_DATA ?? '', 'mnist')}`,
        '--seed',
        String(seed),
        '--threads',
        '1',
      ]
      const files = ['-o', `${base}.onnx`, '--history', `${base}.json`, '--checkpoint', `${base}.ck`]
      execFileSync(process.execPath, [main, 'train', net, ...flags, ...data, ...files], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
    }
    const { test } = JSON.parse(readFileSync(`${base}.json`, 'utf8'))
    errors.push(Number((100 * (1 - test.after)).toFixed(2)))
    const mean = Number((errors.reduce((a, b) => a + b, 0) / errors.length).toFixed(3))
    results[net] = { flags: flags.join(' '), errors, mean }
    console.log(net, seed, errors[errors.length - 1], '% error')
    const about = {
      command: 'npm run build && npx tsx bench/train-lenets.mts',
      what: 'error in % on the 10,000 test images of MNIST, seeds in order from 0',
    }
    writeFileSync(
      join(import.meta.dirname, 'results/train-lenets.json'),
      `${JSON.stringify({ ...about, results }, null, 2)}\n`,
    )
  }
}
