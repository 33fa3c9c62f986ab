/** Data from the files that a person chose, bound to a model. */
import type { Model } from 'coppice'
import {
  type BoundSplits,
  bindSplits,
  checkSplits,
  csvDataset,
  halves,
  imageSizeOf,
  isPicture,
  npzSplits,
  preprocessOptions,
  readNpz,
  readOptions,
  requiredInputs,
  type Splits,
  spelledOut,
} from 'coppice/data'
import type { Chosen, DataSummary, NamedFile, Tell, Words } from './messages.ts'
import { loadPictures } from './pictures.ts'

export interface Bound extends BoundSplits {
  /** How a recipe names the data and how it is read. */
  readonly spec: ReturnType<typeof specOf>
}

interface Reading {
  readonly words: Words
  readonly seed: number
  readonly tell?: Tell
}

/** The set that was read last: reading pictures takes a while. */
let last: { readonly key: string; readonly splits: Promise<{ splits: Splits; data: string }> } | undefined

export async function bindData(model: Model, chosen: Chosen, { words, seed, tell }: Reading): Promise<Bound> {
  const inputs = requiredInputs(model)
  const { label, header } = words as { label?: string; header?: 'yes' | 'no' }
  const imageSize = imageSizeOf(inputs)
  const key = JSON.stringify([chosen.id, seed, label, header, imageSize, inputs.map(({ name }) => name)])
  if (last?.key !== key) {
    const read = { inputs, ...readOptions({ label, header }) }
    last = { key, splits: load(chosen.files, { seed, read, imageSize, tell }) }
  }
  const { splits, data } = await last.splits
  const options = preprocessOptions(words as Parameters<typeof preprocessOptions>[0])
  const bound = bindSplits(model, splits, options)
  return { ...bound, spec: specOf(data, bound, { label, header, resize: options.resize }) }
}

function specOf(
  data: string,
  { preprocess }: BoundSplits,
  { label, header, resize }: { label?: string; header?: 'yes' | 'no'; resize?: boolean },
) {
  return { data, ...readOptions({ label, header }), ...spelledOut(preprocess, { resize }) }
}

interface LoadOptions {
  readonly seed: number
  readonly read: Parameters<typeof csvDataset>[2]
  readonly imageSize?: ReturnType<typeof imageSizeOf>
  readonly tell?: Tell
}

async function load(
  files: readonly NamedFile[],
  { seed, read, imageSize, tell }: LoadOptions,
): Promise<{ splits: Splits; data: string }> {
  const tables = files.filter(({ path }) => /\.(npz|csv|tsv)$/i.test(path))
  if (tables.length > 1 || (tables.length === 1 && files.some(({ path }) => isPicture(path))))
    throw new Error(
      `data: ${files.length} files of several kinds; expected one .npz, one .csv, or a folder of pictures`,
    )
  const [table] = tables
  const named = table ? `${/\.npz$/i.test(table.path) ? 'npz' : 'csv'}:${table.path.split('/').pop()}` : undefined
  if (table && named) {
    const splits = named.startsWith('npz')
      ? npzSplits(await readNpz(new Uint8Array(await table.file.arrayBuffer()), table.path), named, read)
      : { whole: csvDataset(await table.file.text(), named, read) }
    const cut = 'whole' in splits ? halves(splits.whole, seed) : splits
    checkSplits(cut, named)
    return { splits: cut, data: named }
  }
  const { name, within } = withoutFolder(files)
  const data = `images:${name}`
  const splits = await loadPictures(within, { spec: data, seed, imageSize, tell })
  checkSplits(splits, data)
  return { splits, data }
}

/** The folder that all files are in, and their paths within it. */
function withoutFolder(files: readonly NamedFile[]): { name: string; within: NamedFile[] } {
  const [top] = (files[0]?.path ?? '').split('/')
  const isOne = files.every(({ path }) => path.startsWith(`${top}/`))
  if (!isOne) return { name: 'pictures', within: [...files] }
  return { name: top, within: files.map(({ path, file }) => ({ path: path.slice(top.length + 1), file })) }
}

export function dataSummary({ splits, notes, spec }: Bound): DataSummary {
  const { train, test } = splits
  const { classes } = test
  return {
    name: spec.data,
    train: train.length,
    test: test.length,
    ...(classes === undefined ? {} : { classes }),
    pictures: Object.values(test.fields).some((field) => field.kind === 'image'),
    notes: [...(splits.notes ?? []), ...notes],
  }
}
