/** Finds data that tensors share with earlier ones: copies, runs of elements, and what is close enough that its differences are small. */

import type { TensorInfo } from './coding/coding.ts'
import { codings } from './coding/codings.ts'
import { constant } from './coding/constant.ts'
import { copy } from './coding/copy.ts'
import { readRuns, runs, writeRuns } from './coding/runs.ts'
import { findBeside } from './find-beside.ts'
import { findEarlier } from './find-earlier.ts'
import { RunFinder } from './find-runs.ts'
import type { Description } from './group-encoder.ts'
import { msToFindShared } from './pack-costs.ts'
import { orderOf } from './permuted-copies.ts'
import type { CodedTensor } from './tensor-coder.ts'

/** A tensor, or a part of one, whose data is read when its turn comes. */
export interface Part {
  readonly info: TensorInfo
  readonly read: () => Uint8Array
}

/** A part and how it is coded. */
export type Described = Part & CodedTensor & Pick<Description, 'bits'>

/** Parts as they are coded, where each is described alone. `progress` is told the share of the work that is done. */
export function findShared(
  parts: readonly Part[],
  descriptions: readonly Description[],
  progress: (done: number) => void,
): Described[] {
  const withRuns = findRuns(parts, descriptions, { described: findCopies(parts, descriptions), progress })
  const samples = descriptions.map(({ sample }) => sample)
  const all = findBeside(withRuns, samples, areFree(withRuns))
  return findEarlier(all, new Map(all.map((part, i) => [part, descriptions[i].keys])))
}

/** Parts that equal an earlier one, with its dimensions in whatever order, become copies of it. */
function findCopies(parts: readonly Part[], descriptions: readonly Description[]): Described[] {
  const seen = new Map<string, number[]>()
  const turned = new Map<string, number[]>()
  return parts.map((part, here) => {
    const { info } = part
    const { coding, coded, bits, check, sum } = descriptions[here]
    const chosen = { ...part, coding: codings[coding], coded, bits }
    if (info.byteLength < 16) return chosen
    const key = `${info.dtype} ${info.byteLength} ${check}`
    const earlier = seen.get(key) ?? []
    if (earlier.length > 0) {
      const data = part.read()
      const source = earlier.find((i) => parts[i].read().every((b, at) => b === data[at]))
      if (source !== undefined) return { ...chosen, coding: copy, coded: { parameters: [here - source, 0] } }
    }
    seen.set(key, [...earlier, here])
    if (sum === undefined) return chosen
    const sumKey = `${info.dtype} ${info.byteLength} ${sum}`
    const alike = turned.get(sumKey) ?? []
    turned.set(sumKey, [...alike, here])
    for (const source of alike) {
      const order = orderOf({ info: parts[source].info, data: parts[source].read() }, { info, data: part.read() })
      if (order !== undefined) return { ...chosen, coding: copy, coded: { parameters: [here - source, order] } }
    }
    return chosen
  })
}

/** Bits that a run takes in the head, about. */
const runBits = 32
/** Elements beside runs are coded as bytes, which takes its time: no more than so many bytes. */
const mostBesideRuns = 1 << 20

/** Parts that share runs of elements with earlier ones get these, where that is clearly smaller. */
function findRuns(
  parts: readonly Part[],
  descriptions: readonly Description[],
  { described, progress }: { described: readonly Described[]; progress: (done: number) => void },
): Described[] {
  const finder = new RunFinder(parts.map((part, i) => ({ ...part, marks: descriptions[i].marks })))
  const isSource = new Set(
    described.flatMap(({ coding, coded }, i) => (coding === copy ? i - coded.parameters[0] : [])),
  )
  const all = parts.reduce((sum, { info }) => sum + msToFindShared(info), 0)
  let looked = 0
  return described.map((part, here) => {
    const { info, coding } = part
    progress(looked / all)
    looked += msToFindShared(info)
    if (coding === copy || coding === constant) return part
    const found = isSource.has(here) ? [] : finder.runsOf(here)
    const beside = 1 - found.reduce((n, r) => n + r.length, 0) / Math.max(1, info.size)
    const bits = runBits * (found.length + 2) + beside * 8 * info.byteLength
    const table = writeRuns(found)
    const isSmaller = bits < 0.9 * descriptions[here].bits && table.length <= info.byteLength
    if (found.length > 0 && isSmaller && beside * info.byteLength <= mostBesideRuns)
      return { ...part, bits, coding: runs, coded: { parameters: [0], table } }
    finder.add(here)
    return part
  })
}

/** Whether parts neither take data from others nor give it. */
function areFree(described: readonly Described[]): boolean[] {
  const free = described.map(({ coding }) => coding !== copy && coding !== runs)
  for (const [here, { coding, coded, info }] of described.entries()) {
    const distances =
      coding === copy
        ? [coded.parameters[0]]
        : coding === runs
          ? readRuns(coded.table, info).map((r) => r.distance)
          : []
    for (const distance of distances) free[here - distance] = false
  }
  return free
}
