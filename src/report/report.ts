/** What a report says, as plain data: the table and the page are drawn from it. */
import type { Agreement, Side } from '../evaluate/compare.ts'
import type { Recipe } from '../recipe.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { OutputApart } from '../task/outputs-apart.ts'
import type { Finding } from '../task/verdict.ts'

export interface LayerRow {
  readonly name: string
  readonly op: string
  readonly weights: number
  readonly bytesBefore: number
  /** Of the packed file, about: the coder learns from one tensor for the next, so it belongs to both. */
  readonly bytesAfter: number
  readonly bitsPerWeight: number
  readonly sparsity: number
  readonly sensitivity?: number
}

/** A constant that is as it was, or several small ones. */
export interface Untouched {
  readonly name: string
  readonly bytes: number
  /** How many stored tensors these are; 0 for numbers in a node's attributes. */
  readonly tensors: number
  readonly reason: string
}

/** What the figures were found on. */
export interface InputFacts {
  /** The model's inputs, such as `x float32 [N,3,32,32]`. */
  readonly inputs: readonly string[]
  /** The data spec without folders; left out where inputs were random. */
  readonly data?: string
  readonly samples?: { readonly training: number; readonly test: number }
  /** How images became inputs, in words. */
  readonly preprocessing?: string
  readonly seed: number
  /** Left out where ONNX Runtime chose. */
  readonly threads?: number
}

export interface Report {
  readonly title: string
  readonly goal?: string
  /** When it was made, as ISO 8601. */
  readonly made: string
  readonly input: InputFacts
  /** The packed file that was written, without its folder. */
  readonly packedFile?: string
  readonly before: Side
  readonly after: Side
  /** Time of `before` over time of `after`, from one interleaved run: above 1 is faster. */
  readonly speedUp?: SpeedUp
  readonly testSet?: { readonly id: string; readonly samples: number }
  readonly agreement?: Agreement
  /** What was held against the limit while searching, on data that is not test data. */
  readonly heldBack?: {
    readonly what: string
    readonly unit: string
    readonly loss: number
    readonly limit: number
    /** The limit leaves room below what was asked for. */
    readonly isTighter?: boolean
  }
  /** Each output, judged at the end on samples that the search did not see: what was lost, its interval and its limit. */
  readonly judged?: {
    readonly on: string
    readonly holds: boolean
    readonly findings: readonly Finding[]
    /** The outputs that no limit was held against, and why. */
    readonly apart: readonly OutputApart[]
  }
  readonly layers: readonly LayerRow[]
  /** Every constant that is in none of `layers`, largest first. */
  readonly untouched?: readonly Untouched[]
  readonly recipe?: Recipe
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  readonly environment: readonly string[]
}
