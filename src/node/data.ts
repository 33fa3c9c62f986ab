/** Data specs, such as `mnist:DIR` or `digits:2000`, to data sets in memory. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type CifarFile, cifarDataset } from '../data/cifar.ts'
import { type CsvOptions, csvDataset, textOf } from '../data/csv.ts'
import type { Dataset, Splits } from '../data/dataset.ts'
import { drawDigits } from '../data/digits.ts'
import { idxDataset, readIdx } from '../data/idx.ts'
import { inflate } from '../data/inflate.ts'
import { readNpz } from '../data/npy.ts'
import { npzSplits } from '../data/npz-dataset.ts'
import { pictureSplits } from '../data/picture-files.ts'
import type { ImageSize } from '../data/preprocess.ts'
import { checkSplits, halves } from '../data/splits.ts'
import { didYouMean } from '../errors.ts'
import { inventedSplits, statisticsForm, statisticsSamples } from '../invent/invented-splits.ts'
import type { Model } from '../model.ts'
import { type DownloadOptions, download } from './download.ts'
import { readFileBytes } from './files.ts'
import { foldersIn, imageFolder } from './images.ts'
import { sources } from './sources.ts'
import { speechFromArchive, speechFromFolder } from './speech-commands.ts'
import { readTar } from './tar.ts'

export interface LoadOptions extends CsvOptions {
  /** Seeds drawn data and the split of sets that come in one piece. */
  readonly seed: number
  /** Images of a folder are scaled to this; pass the model's input size. */
  readonly imageSize?: ImageSize
  /** What `statistics` makes inputs from. */
  readonly model?: Model
  /** Where downloads are kept; default: the user's cache folder. */
  readonly cacheFolder?: string
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

type Loader = (where: string, spec: string, options: LoadOptions) => Promise<Splits>

const loaders: Readonly<Record<string, { readonly form: string; readonly load: Loader }>> = {
  mnist: { form: 'mnist[:DIR]', load: (dir, spec, options) => loadIdx('mnist', dir, spec, options) },
  'fashion-mnist': {
    form: 'fashion-mnist[:DIR]',
    load: (dir, spec, options) => loadIdx('fashion-mnist', dir, spec, options),
  },
  cifar10: { form: 'cifar10[:DIR]', load: (dir, spec, options) => loadCifar(10, dir, spec, options) },
  cifar100: { form: 'cifar100[:DIR]', load: (dir, spec, options) => loadCifar(100, dir, spec, options) },
  'speech-commands': { form: 'speech-commands[:DIR]', load: loadSpeech },
  images: { form: 'images:DIR', load: loadImages },
  npz: { form: 'npz:FILE', load: loadNpz },
  csv: { form: 'csv:FILE', load: loadCsv },
  digits: { form: 'digits[:N]', load: loadDigits },
  statistics: { form: statisticsForm, load: loadStatistics },
}

/** The forms of data spec, for help texts and errors: every one that `loadData` takes. */
export const dataForms: readonly string[] = Object.values(loaders).map((l) => l.form)

/** A hint for a path of a file given without its kind in front: `my.csv` for `csv:my.csv`. */
function meantPath(spec: string): string | undefined {
  const extension = /^[^:]+\.(npz|csv)$/i.exec(spec)?.[1]?.toLowerCase()
  return extension && ` (did you mean "${extension}:${spec}"?)`
}

/** Loads the data of a spec. Throws one sentence where the spec, a file or its contents are wrong. */
export async function loadData(spec: string, options: LoadOptions): Promise<Splits> {
  const colon = spec.indexOf(':')
  const kind = colon < 0 ? spec : spec.slice(0, colon)
  const loader = loaders[kind]
  if (!loader) {
    throw new Error(
      `data: "${spec}" is not a data spec${meantPath(spec) ?? didYouMean(kind, Object.keys(loaders))}; expected ${dataForms.join(', ')}`,
    )
  }
  const unread = options.label !== undefined && kind !== 'csv' && kind !== 'npz' ? '--label' : undefined
  const flag = unread ?? (options.header !== undefined && kind !== 'csv' ? '--header' : undefined)
  if (flag) throw new Error(`${flag}: ${kind} does not read it; expected ${flag === '--label' ? 'csv or npz' : 'csv'}`)
  const splits = await loader.load(colon < 0 ? '' : spec.slice(colon + 1), spec, options)
  checkSplits(splits, spec)
  return splits
}

function downloadOptions(options: LoadOptions): DownloadOptions {
  const { cacheFolder, progress, signal } = options
  return { folder: cacheFolder, progress, signal }
}

/** The file or its gzipped form in a folder, whichever is there; or an error that names both. */
function findFile(dir: string, names: readonly string[], spec: string): string {
  const found = names.map((name) => join(dir, name)).find((path) => existsSync(path))
  if (!found) throw new Error(`${spec}: there is no ${names.join(' or ')} in ${dir}`)
  return found
}

function expectFolder(dir: string, spec: string): void {
  if (!existsSync(dir)) throw new Error(`${spec}: there is no folder ${dir}`)
  if (!statSync(dir).isDirectory()) throw new Error(`${spec}: ${dir} is not a folder`)
}

const fashionNames = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
]

async function loadIdx(kind: 'mnist' | 'fashion-mnist', dir: string, spec: string, options: LoadOptions) {
  const paths = new Map<string, string>()
  if (dir) expectFolder(dir, spec)
  else {
    for (const file of sources[kind]) {
      paths.set(file.name.slice(file.name.indexOf('/') + 1), await download(file, downloadOptions(options)))
    }
  }
  const read = async (name: string) => {
    const path = paths.get(`${name}.gz`) ?? findFile(dir, [`${name}.gz`, name, name.replace('-idx', '.idx')], spec)
    return readIdx(readFileBytes(path), path)
  }
  const load = async (prefix: string, split: string): Promise<Dataset> =>
    idxDataset(await read(`${prefix}-images-idx3-ubyte`), await read(`${prefix}-labels-idx1-ubyte`), {
      id: `${spec} (${split})`,
      classes: 10,
      ...(kind === 'fashion-mnist' ? { classNames: fashionNames } : {}),
    })
  return { train: await load('train', 'train'), test: await load('t10k', 'test') }
}

const cifar10Names = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']

async function loadCifar(classes: 10 | 100, dir: string, spec: string, options: LoadOptions): Promise<Splits> {
  const read = dir ? fromFolder(dir, spec) : await fromArchive(classes, options)
  const trainNames = classes === 10 ? [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`) : ['train.bin']
  const testName = classes === 10 ? 'test_batch.bin' : 'test.bin'
  const more = { classes, ...(classes === 10 ? { classNames: cifar10Names } : {}) }
  return {
    train: cifarDataset(trainNames.map(read), { id: `${spec} (train)`, ...more }),
    test: cifarDataset([read(testName)], { id: `${spec} (test)`, ...more }),
  }
}

function fromFolder(dir: string, spec: string): (name: string) => CifarFile {
  expectFolder(dir, spec)
  return (name) => {
    const path = findFile(dir, [name, join('cifar-10-batches-bin', name), join('cifar-100-binary', name)], spec)
    return { name: path, bytes: readFileBytes(path) }
  }
}

async function fromArchive(classes: 10 | 100, options: LoadOptions): Promise<(name: string) => CifarFile> {
  const path = await download(sources[classes === 10 ? 'cifar10' : 'cifar100'][0], downloadOptions(options))
  const files = readTar(await inflate(readFileBytes(path), 'gzip', { maxBytes: 2 ** 29, subject: path }), path)
  return (name) => {
    const bytes = files.get(name)
    if (!bytes) throw new Error(`${path}: there is no ${name} in it`)
    return { name: `${path}: ${name}`, bytes }
  }
}

async function loadSpeech(dir: string, spec: string, options: LoadOptions): Promise<Splits> {
  const how = { ...options, id: spec }
  if (!dir) return speechFromArchive(await download(sources['speech-commands'][0], downloadOptions(options)), how)
  expectFolder(dir, spec)
  return speechFromFolder(dir, how)
}

async function loadImages(dir: string, spec: string, options: LoadOptions): Promise<Splits> {
  if (!dir) throw new Error(`${spec}: the folder is missing; expected images:DIR`)
  expectFolder(dir, spec)
  const read = (path: string, id: string, imageSize?: ImageSize) => imageFolder(path, { ...options, imageSize, id })
  return pictureSplits(foldersIn(dir), spec, {
    seed: options.seed,
    imageSize: options.imageSize,
    read: (name, id, imageSize) => read(name === undefined ? dir : join(dir, name), id, imageSize),
  })
}

async function loadNpz(path: string, spec: string, options: LoadOptions): Promise<Splits> {
  if (!path) throw new Error(`${spec}: the file is missing; expected npz:FILE`)
  const loaded = npzSplits(await readNpz(readFileBytes(path), path), spec, options)
  if (!('whole' in loaded)) return loaded
  const splits = halves(loaded.whole, options.seed)
  return { ...splits, notes: [...(splits.notes ?? []), ...loaded.notes] }
}

async function loadCsv(path: string, spec: string, options: LoadOptions): Promise<Splits> {
  if (!path) throw new Error(`${spec}: the file is missing; expected csv:FILE`)
  return halves(csvDataset(textOf(readFileBytes(path), spec), spec, options), options.seed)
}

/** N drawn digits for training (8,000 by default) and a quarter as many for testing, from another stream of the seed. */
async function loadDigits(count: string, spec: string, { seed }: LoadOptions): Promise<Splits> {
  if (!/^\d*$/.test(count)) throw new Error(`${spec}: "${count}" is no number of images; expected digits:N`)
  const length = count === '' ? 8000 : Number(count)
  const train = drawDigits(length, seed, `${spec} (train)`)
  const test = drawDigits(Math.max(10, Math.round(length / 4)), seed ^ 0x5eed, `${spec} (test)`)
  return { train, test }
}

/** Inputs made from the model alone. */
async function loadStatistics(_: string, spec: string, { model, ...options }: LoadOptions): Promise<Splits> {
  const samples = statisticsSamples(spec)
  if (!model) throw new Error(`${spec}: inputs are made from a model, and none is given; expected one, or other data`)
  return inventedSplits(model, { samples, ...options })
}
