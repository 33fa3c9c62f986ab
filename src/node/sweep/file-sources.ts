/** Models and data of a sweep from files, with their hashes. */
import { createHash } from 'node:crypto'
import { requiredInputs } from '../../data/batcher.ts'
import { bindSplits } from '../../data/bind-splits.ts'
import type { Splits } from '../../data/dataset.ts'
import { imageSizeOf } from '../../data/preprocess.ts'
import { isPacked } from '../../formats/container.ts'
import { statisticsSamples } from '../../invent/invented-splits.ts'
import type { Model } from '../../model.ts'
import { readModel } from '../../onnx/read.ts'
import { writeModel } from '../../onnx/write.ts'
import { raisedIfTooOld } from '../../simplify/upgrade.ts'
import { dataHash } from '../../sweep/hash.ts'
import type { OpenedModel, SweepSources } from '../../sweep/plan.ts'
import type { SweepData } from '../../sweep/sweep-file.ts'
import { type SpecOptions, splitsOf } from '../bind-spec.ts'
import { environment, version } from '../environment.ts'
import { openWithFiles, readFileBytes, readFileRange, unpackFile } from '../files.ts'

/** Paths are those of this process: relative ones begin in its folder. The model and the data set read last are kept. */
export function fileSources(): SweepSources {
  let model: { readonly file: string; readonly opened: OpenedModel } | undefined
  let data: { readonly of: string; readonly splits: Promise<Splits> } | undefined
  const load = (model: Model, spec: SweepData, options: SpecOptions): Promise<Splits> => {
    const { name: _, ...read } = spec
    // Images are brought to the model's size when they are read; made inputs are of one model.
    const made = statisticsSamples(spec.data) === undefined ? imageSizeOf(requiredInputs(model)) : hashOfModel(model)
    const of = JSON.stringify([read, options.seed, made, process.cwd()])
    if (data?.of !== of) data = { of, splits: splitsOf(model, spec, options) }
    return data.splits
  }
  return {
    version: version(),
    environment: environment(),
    model(file) {
      if (model?.file !== file) model = { file, opened: openForSweep(file) }
      return model.opened
    },
    data: async (model, spec, options) => bindSplits(model, await load(model, spec, options), spec),
    async dataHash(model, spec, options) {
      // The key has the model, the seed and the version, which say all of them.
      if (statisticsSamples(spec.data) !== undefined) return 'statistics'
      return dataHash(bindSplits(model, await load(model, spec, options), spec).splits)
    },
  }
}

function hashOfModel(model: Model): string {
  return createHash('sha256').update(writeModel(model)).digest('hex')
}

/** A model to work with, from an .onnx with its external data or a packed file; its hash is that of the files. */
function openForSweep(path: string): OpenedModel {
  const bytes = readFileBytes(path)
  const hash = createHash('sha256').update(bytes)
  const raised = (model: Model, onnx: Uint8Array): OpenedModel => {
    const current = raise(path, model)
    const sha256 = hash.digest('hex')
    return { model: current, onnx: current === model ? onnx : writeModel(current), sha256 }
  }
  if (isPacked(bytes)) {
    const onnx = unpackFile(path, bytes)
    return raised(readModel(onnx), onnx)
  }
  const { model, files } = openWithFiles(path, bytes)
  for (const [file, { byteLength }] of files) if (file !== path) hashFile(hash, file, byteLength)
  return raised(model, files.size === 1 ? bytes : writeModel(model))
}

const chunk = 2 ** 24

function hashFile(hash: ReturnType<typeof createHash>, path: string, length: number): void {
  for (let at = 0; at < length; at += chunk) hash.update(readFileRange(path, at, chunk))
}

function raise(path: string, model: Model): Model {
  try {
    return raisedIfTooOld(model)
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}
