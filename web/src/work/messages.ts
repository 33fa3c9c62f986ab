/** What the page and its worker say to each other: plain data. */
import type { Inspection, OptionTable, Recipe } from 'coppice'
import type { FileParts } from 'coppice/evaluate'
import type { ComparisonRow, Tile } from 'coppice/report'

/** A file with its path within what was chosen or dropped, with forward slashes. */
export interface NamedFile {
  readonly path: string
  readonly file: File
}

/** Files that belong together. `id` tells them from others, so that what was read once is kept. */
export interface Chosen {
  readonly id: number
  readonly files: readonly NamedFile[]
}

export interface ModelSummary {
  readonly name: string
  /** Bytes of the files that were given. */
  readonly fileBytes: number
  /** Bytes of the ONNX file that it holds, of a packed one. */
  readonly packed?: { readonly onnxBytes: number }
  readonly inspection: Inspection
  /** What the bytes of the .onnx are, in words. */
  readonly parts: readonly Part[]
}

type Part = readonly [name: string, bytes: number]

export interface DataSummary {
  readonly name: string
  readonly train: number
  readonly test: number
  readonly classes?: number
  /** The test samples are pictures, which can be shown. */
  readonly pictures: boolean
  readonly notes: readonly string[]
}

/** Options by the names of their tables. */
export type Words = Readonly<Record<string, unknown>>

export interface Task {
  readonly model: Chosen
  readonly data?: Chosen
  /** Of `preprocessTable`, `readTable` and `shapeOption`. */
  readonly reading?: Words
  readonly seed: number
}

/** A file that was made. The browser keeps what is in it, outside of the page's memory. */
export interface Made {
  readonly name: string
  readonly blob: Blob
}

export interface CompressOutcome {
  readonly onnx: Made
  readonly packed: Made
  readonly recipe: Recipe
  readonly holds: boolean
  readonly tiles: readonly Tile[]
  readonly rows: readonly ComparisonRow[]
  readonly warnings: readonly string[]
  readonly html: string
  /** The ONNX file that comes out of the packed one: what is compared with the original. */
  readonly decoded: Blob
}

export interface MethodOutcome {
  readonly onnx: Made
  readonly packed: Made
  readonly warnings: readonly string[]
  readonly before: Sizes
  readonly after: Sizes
  /** What the bytes of the .onnx are, before and after, in words. */
  readonly parts: readonly (readonly [name: string, before: number, after: number])[]
  readonly step?: readonly [id: string, options: Words]
}

export interface Sizes {
  readonly bytes: number
  /** What the bytes are. */
  readonly parts: FileParts
  readonly params: number
  readonly macs: number | null
}

export interface MethodInfo {
  readonly id: string
  readonly help: string
  /** What it looks at of the data; absent where it looks at none. */
  readonly data?: string
  readonly trains: boolean
  readonly options: OptionTable
}

/** One sample, and what the model of before and of after make of it. */
export interface Compared {
  readonly picture: { readonly width: number; readonly height: number; readonly rgba: Uint8ClampedArray }
  /** The class that it is of, where that is known. */
  readonly answer?: string
  readonly before: Answer
  readonly after: Answer
}

export interface Answer {
  /** The likeliest classes. */
  readonly classes?: readonly { readonly name: string; readonly share: number }[]
  /** An output that is a picture. */
  readonly picture?: Compared['picture']
  /** Of other outputs: the first numbers. */
  readonly numbers?: readonly number[]
}

/** Training at a step. */
export interface TrainPoint {
  readonly step: number
  readonly steps: number
  /** Means over the epoch so far. */
  readonly loss: number
  readonly accuracy?: number
}

/** Told how training goes; training waits for what it returns, which is how it is paused. */
export type Watch = (point: TrainPoint) => void | Promise<void>

/** Told how far work is; a share of the time, and what is done. */
export type Tell = (done: number, what: string) => void
/** Told a sentence that a person should know at once. */
export type Say = (sentence: string) => void
