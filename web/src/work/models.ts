/** Models from the files that a person chose. */
import { type ExternalSource, type Inspection, inspectModel, type Model, readModel, writeModel } from 'coppice'
import { filePartsOf, partsInWords } from 'coppice/evaluate'
import { isPacked, openCop } from 'coppice/formats'
import { raisedIfTooOld } from 'coppice/simplify'
import type { Chosen, ModelSummary, NamedFile } from './messages.ts'
import { withThreads } from './pool.ts'

export interface Opened {
  readonly name: string
  readonly model: Model
  /** The model's bytes as one ONNX file; of a model with external data, undefined until it is asked for. */
  readonly onnx?: Uint8Array
  readonly fileBytes: number
  readonly packed: boolean
}

/** Only what was opened last is kept. */
let last: { readonly id: number; readonly opened: Promise<Opened> } | undefined

export function openModel(chosen: Chosen): Promise<Opened> {
  if (last?.id !== chosen.id) last = { id: chosen.id, opened: open(chosen.files) }
  return last.opened
}

async function open(files: readonly NamedFile[]): Promise<Opened> {
  const main = mainFile(files)
  const { file } = main
  const name = nameOf(main)
  if (file.size === 0) throw new Error(`${name}: it is empty; expected an ONNX model`)
  return named(name, async () => {
    if (isPacked(await bytesOf(file, 0, 8))) {
      const source = { byteLength: file.size, read: (at: number, length: number) => bytesOf(file, at, length) }
      const onnx = await withThreads(file.size, async (workers) => (await openCop(source, { workers })).onnx())
      return { name, model: readModel(onnx), onnx, fileBytes: file.size, packed: true }
    }
    const bytes = await bytesOf(file, 0, file.size)
    const external = await externalFiles(main, files)
    const model = readModel(bytes, { external: external.read })
    const fileBytes = bytes.length + external.used().reduce((sum, { size }) => sum + size, 0)
    const isOneFile = external.used().length === 0
    return { name, model, ...(isOneFile ? { onnx: bytes } : {}), fileBytes, packed: false }
  })
}

async function bytesOf(file: File, at: number, length: number): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(at, at + length).arrayBuffer())
}

/** Errors begin with the file's name. */
async function named<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

const nameOf = ({ path }: NamedFile): string => path.slice(path.lastIndexOf('/') + 1)

function mainFile(files: readonly NamedFile[]): NamedFile {
  const models = files.filter(({ path }) => /\.(onnx|cop)$/i.test(path))
  if (models.length > 1)
    throw new Error(`${models.map(nameOf).join(', ')}: these are ${models.length} models; expected one`)
  const [main] = models.length === 1 ? models : files
  if (!main || (models.length === 0 && files.length > 1))
    throw new Error('model: none of the files ends in .onnx or .cop; expected one that does')
  return main
}

/** External data is read whole up to this size, and a tensor at a time beyond it. */
const eagerBytes = 2 ** 28

/** The synchronous reader of workers, which the types of pages do not list. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer
}

interface External {
  read(location: string): Uint8Array | ExternalSource
  used(): readonly File[]
}

async function externalFiles(main: NamedFile, files: readonly NamedFile[]): Promise<External> {
  const folder = main.path.slice(0, main.path.lastIndexOf('/') + 1)
  const used = new Map<File, Uint8Array | ExternalSource>()
  const find = (location: string): File | undefined => {
    const place = folder + location.replace(/^\.\//, '')
    const base = place.slice(place.lastIndexOf('/') + 1)
    // Files that are dropped side by side have no folder.
    const others = files.filter(({ path }) => path !== main.path)
    return (others.find(({ path }) => path === place) ?? others.find(({ path }) => path === base))?.file
  }
  return {
    used: () => [...used.keys()],
    read(location) {
      const file = find(location)
      if (!file)
        throw new Error(
          `its weights lie in the file "${location}", which was not given; expected both files, chosen or dropped together`,
        )
      const known = used.get(file)
      if (known) return known
      const reader = new FileReaderSync()
      const range = (at: number, length: number) =>
        new Uint8Array(reader.readAsArrayBuffer(file.slice(at, at + length)))
      const read = file.size <= eagerBytes ? range(0, file.size) : { byteLength: file.size, read: range }
      used.set(file, read)
      return read
    },
  }
}

export function summaryOf({ name, model, onnx, fileBytes, packed }: Opened): ModelSummary {
  const inspection: Inspection = inspectModel(model)
  const ofPacked = packed && onnx ? { packed: { onnxBytes: onnx.length } } : {}
  const parts = partsInWords(onnx?.length ?? fileBytes, filePartsOf(model, inspection.totals.bytes))
  return { name, fileBytes, ...ofPacked, inspection, parts }
}

export interface ToWork {
  readonly name: string
  readonly model: Model
  readonly onnx: Uint8Array
  readonly fileBytes: number
  /** The operator set of the file, where it was raised. */
  readonly raisedFrom?: number
}

/** A model of an operator set that can be worked with, and its bytes. */
export async function openToWork(chosen: Chosen): Promise<ToWork> {
  const { name, model: filed, onnx: bytes } = await openModel(chosen)
  return named(name, async () => {
    const model = raisedIfTooOld(filed)
    const onnx = model === filed && bytes ? bytes : writeModel(model)
    const own = bytes ?? onnx
    const raised = model === filed ? {} : { raisedFrom: filed.opsets.find(({ domain }) => !domain)?.version }
    return { name, model, onnx, fileBytes: own.length, ...raised }
  })
}

/** The file's name without its ending. */
export function stemOf(name: string): string {
  return name.replace(/\.(onnx|cop)$/i, '')
}
