/** The combinations of a sweep, and the key of each: the hash of model, recipe, data and version. */

import type { BoundData } from '../data/handle.ts'
import { randomSpec } from '../evaluate/random-data.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { canonicalJson, sha256 } from './hash.ts'
import type { Identity } from './row.ts'
import type { Sweep, SweepData, SweepModel, SweepRecipe } from './sweep-file.ts'

/** One combination, as plain data. */
export interface Cell {
  readonly model: SweepModel
  readonly data: SweepData
  readonly recipe: SweepRecipe
  readonly seed: number
  readonly latency: boolean
}

export interface PlannedCell extends Cell {
  readonly key: string
  readonly identity: Identity
}

export interface OpenedModel {
  readonly model: Model
  /** Its bytes as one file. */
  readonly onnx: Uint8Array
  /** Of the file, with its external data. */
  readonly sha256: string
}

type Told = Pick<Context, 'progress' | 'signal'>

/** Where models and data come from: `coppice/node` has files. */
export interface SweepSources {
  /** Of coppice. */
  readonly version: string
  /** What it runs on, in words. */
  readonly environment: readonly string[]
  model(file: string): OpenedModel | Promise<OpenedModel>
  data(model: Model, data: SweepData, options: Told & { readonly seed: number }): Promise<BoundData>
  /** A text that differs where the samples do. */
  dataHash(model: Model, data: SweepData, options: Told & { readonly seed: number }): Promise<string>
}

/** All combinations, in the order of models, data, recipes and seeds. */
export function cellsOf({ models, data, recipes, seeds, latency }: Sweep): Cell[] {
  return models.flatMap((model) =>
    data.flatMap((d) => recipes.flatMap((recipe) => seeds.map((seed) => ({ model, data: d, recipe, seed, latency })))),
  )
}

/** Reads every model and data set once, and gives each combination its key. Throws where one cannot be read or does not fit. */
export async function planSweep(sweep: Sweep, sources: SweepSources, told: Told = {}): Promise<PlannedCell[]> {
  const planned: PlannedCell[] = []
  const cells = cellsOf(sweep)
  let opened: (OpenedModel & { readonly file: string }) | undefined
  const hashes = new Map<string, string>()
  for (const [i, cell] of cells.entries()) {
    const { model, data, seed } = cell
    told.progress?.(i / cells.length, `reading ${model.name} and ${data.name}`)
    if (opened?.file !== model.file) {
      opened = { ...(await sources.model(model.file)), file: model.file }
      hashes.clear()
    }
    const which = JSON.stringify([data, seed])
    const dataHash = hashes.get(which) ?? (await hashOf(opened.model, data, seed, sources, told))
    hashes.set(which, dataHash)
    const identity = { model: opened.sha256, data: dataHash, version: sources.version }
    planned.push({ ...cell, identity, key: await keyOf(cell, identity) })
  }
  const keys = new Map<string, PlannedCell>()
  for (const cell of planned) {
    const other = keys.get(cell.key)
    if (other)
      throw new Error(`sweep: ${nameOfCell(cell)} is the same as ${nameOfCell(other)}; expected each combination once`)
    keys.set(cell.key, cell)
  }
  return planned
}

/** What the data of a combination is told apart by. */
export async function hashOf(
  model: Model,
  data: SweepData,
  seed: number,
  sources: SweepSources,
  told: Told = {},
): Promise<string> {
  return data.data === randomSpec ? randomSpec : sources.dataHash(model, data, { ...told, seed })
}

/** 32 hexadecimal digits. Names, and where files lie, are not in it. */
export async function keyOf({ data, recipe, seed, latency }: Cell, identity: Identity): Promise<string> {
  const { name: _, data: __, ...read } = data
  const { name: ___, ...steps } = recipe
  return (await sha256(canonicalJson([identity, read, steps, seed, latency]))).slice(0, 32)
}

export function nameOfCell({ model, data, recipe, seed }: Cell): string {
  return `${recipe.name} on ${model.name}, ${data.name}, seed ${seed}`
}
