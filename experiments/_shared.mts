/** What the experiments share: flags, results that grow a row at a time, models that are made once. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BoundBatcher } from '../src/data/batcher.ts'
import type { Dataset } from '../src/data/dataset.ts'
import { dataHandle } from '../src/data/handle.ts'
import type { Context } from '../src/method.ts'
import type { Model } from '../src/model.ts'
import { checkpointFile } from '../src/node/checkpoint-file.ts'
import { openModel, saveModel, writeFileAtomic } from '../src/node/files.ts'

/** `--name value` of the command line; throws where it is missing and has no fallback. */
export function flag(name: string, fallback?: string): string {
  const at = process.argv.indexOf(`--${name}`)
  const value = at < 0 ? fallback : process.argv[at + 1]
  if (value === undefined) throw new Error(`--${name}: it is missing; expected --${name} VALUE`)
  return value
}

export function readResults(path: string): Record<string, unknown> {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>) : {}
}

export async function writeResults(path: string, results: Record<string, unknown>): Promise<void> {
  await writeFileAtomic(path, new TextEncoder().encode(`${JSON.stringify(results, null, 2)}\n`))
}

/** The model of that file, made and written where it is not there yet: a run that was cut off goes on from it. */
export async function stored(path: string, make: () => Promise<Model>): Promise<Model> {
  if (!existsSync(path)) await saveModel(path, await make())
  return openModel(path)
}

/** What a method that trains is given: the training set, a checkpoint of that name in a folder, and a word after each epoch. */
export function trainingContext(
  { train, batcher }: { readonly train: Dataset; readonly batcher: BoundBatcher },
  { seed, what, folder }: { readonly seed: number; readonly what: string; readonly folder: string },
): Context {
  return {
    seed,
    data: dataHandle({ train, batcher }, { seed }),
    checkpoint: checkpointFile(join(folder, `${what}.checkpoint`)),
    training({ epoch, finished }) {
      if (finished) console.error(`${what}: epoch ${epoch + 1}, loss ${finished.loss.toFixed(4)}`)
    },
  }
}

/** Mean and standard deviation over seeds: `97.12 ± 0.08`. */
export function meanAndSpread(values: readonly number[], digits = 2): string {
  const mean = values.reduce((a, v) => a + v, 0) / values.length
  const square = values.reduce((a, v) => a + (v - mean) ** 2, 0) / Math.max(1, values.length - 1)
  return values.length > 1 ? `${mean.toFixed(digits)} ± ${Math.sqrt(square).toFixed(digits)}` : mean.toFixed(digits)
}
