/**
 * What searches have in common. A knob is one thing of a model that can be turned: a setting of it makes a model, and the steps
 * of a recipe that make that model again. A search turns a knob as far as what may be lost allows.
 *
 * A knob with its search is a file of knobs/, and goals.ts says which of them each goal turns. strategies.ts has the ways to
 * find a setting, in-turn.ts shares what may be lost between several searches, and scorer.ts judges the models.
 */
import type { DataHandle } from '../data/handle.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import type { Step } from '../recipe.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { MaxLoss } from '../task/max-loss.ts'
import type { Task } from '../task/task.ts'
import type { Verdict } from '../task/verdict.ts'
import type { SearchCosts } from './costs.ts'

export interface Knob<Setting> {
  readonly id: string
  /** The setting that is tried first. */
  readonly start: Setting
  at(setting: Setting): Promise<Turned>
}

export interface Turned {
  readonly model: Model
  /** What makes `model` of the model that the search was opened on. */
  readonly steps: readonly Step[]
}

/** How a model stands on what the search judges by: `spent` above 1 breaks the limit. `tell`: the share of the samples that is over. */
export type VerdictOf = (model: Model, tell?: (share: number) => void) => Promise<Verdict>

/** Opened on a model once, and made again with a tighter limit where a result breaks it on other samples. */
export interface Search {
  readonly id: string
  /** Divergence of the output for a squared error of the layer's output, by weight name, where it was measured. */
  readonly sensitivity?: ReadonlyMap<string, number>
  /** The model at the setting that is tried first, to see how sure a judgement of such a model is. */
  first(): Promise<Model>
  find(verdictOf: VerdictOf): Promise<Found>
}

export interface Found extends Turned {
  readonly verdict: Verdict
  /** Why a node's weight stayed as it was, by the node's name; and why any other did. */
  readonly kept: ReadonlyMap<string, string>
  readonly otherwise: string
  readonly notes: readonly string[]
}

export interface SearchContext extends Context {
  /** Samples that are not judged on. */
  readonly data: DataHandle
  readonly task: Task
  readonly max: MaxLoss
  /** What parts of the search are guessed to cost, for progress. */
  readonly costs?: SearchCosts
  /** How much faster `after` is than `before`, from one interleaved run; absent where inputs are random. */
  readonly compareSpeed?: (before: Model, after: Model) => Promise<SpeedUp>
}

/** Prepares a search on a model, whose own answers are the limit's reference no longer where other searches changed it. */
export type OpenSearch = (model: Model, context: SearchContext) => Promise<Search>
