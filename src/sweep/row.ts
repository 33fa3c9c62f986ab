/** A row of a sweep: what was tried, on what, and what came out, as plain data that JSON keeps. */
import type { Spread } from '../evaluate/latency.ts'
import type { Recipe } from '../recipe.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { SweepData, SweepModel } from './sweep-file.ts'

/** What the hashes of a row are of; rows of one key are of the same. */
export interface Identity {
  /** SHA-256 of the model's bytes, with its external data. */
  readonly model: string
  /** SHA-256 of the samples, `random` where inputs are drawn, `statistics` where they are made from the model. */
  readonly data: string
  /** Of coppice. */
  readonly version: string
}

export interface SweepRow {
  /** Version of the row's form. */
  readonly coppice: 1
  /** 32 hexadecimal digits: the hash of model, recipe, data and version. */
  readonly key: string
  readonly identity: Identity
  readonly model: SweepModel
  readonly data: SweepData
  /** The recipe's name in the sweep. */
  readonly name: string
  /** With the seed: `coppice run` applies it again. */
  readonly recipe: Recipe
  /** The same wherever and whenever the row is made. */
  readonly found?: Found
  /** What differs from run to run. */
  readonly timed?: Timed
  /** Why there is no result, in one sentence. */
  readonly error?: string
}

/**
 * What a score is: a share of right answers, of the targets' variance, or of decisions that are the original's; or, where
 * nothing is decided, signal over noise in dB (at most 150).
 */
export type Measure = 'accuracy' | 'variance explained' | 'agreement' | 'signal to noise'

export interface Found {
  readonly measure: Measure
  /** What it was measured on, in words. */
  readonly on: string
  readonly samples: number
  readonly before: Measured
  readonly after: Measured
  /** SHA-256 of the result's .onnx. */
  readonly sha256: string
  readonly warnings: readonly string[]
}

export interface Measured {
  /** Of the .onnx, and packed. */
  readonly bytes: number
  readonly packed: number
  readonly params: number
  /** Null where zeros of some layer cannot be seen. */
  readonly nonZero: number | null
  /** Multiply-adds at batch 1; null where shapes are not known. */
  readonly macs: number | null
  /** In the row's measure; a share of 1, or dB. */
  readonly score: number
}

export interface Timed {
  /** The whole row. */
  readonly seconds: number
  /** Milliseconds per call of the original and of the result, measured in turn. */
  readonly latencyMs?: { readonly before: Spread; readonly after: Spread }
  readonly speedUp?: SpeedUp
  readonly environment: readonly string[]
}

/** Reads a row's JSON. Throws one sentence where it is none, or not the one of that key. */
export function parseRow(text: string, subject: string, key: string): SweepRow {
  let row: Partial<SweepRow> | null
  try {
    row = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${subject}: it is not JSON; expected a row of a sweep`, { cause })
  }
  if (row?.coppice !== 1 || row.key !== key || (!row.found && row.error === undefined))
    throw new Error(`${subject}: it is not the row of its name; remove it, and it is made again`)
  return row as SweepRow
}
