/**
 * A regime is all that a method of training is, as data: what it changes in the model before training and after, what it
 * adds to the loss, what it does to weights between steps, what it remembers from step to step. There is one training
 * loop (`loop.ts`), and a list of regimes is what makes it fine-tuning of a pruned model, ADMM, distillation or L0 gates.
 */
import { crc32 } from '../checksum.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import type { Emitter } from '../ops/grad/emit.ts'
import type { Random } from '../tensor/random.ts'
import type { Loss, LossName } from './losses.ts'
import type { Objective } from './objective.ts'

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined }

export interface Regime {
  /** Names it in messages. */
  readonly id: string
  /**
   * Every option that changes a weight. A checkpoint can only be resumed with regimes of the same ids and digests; large values
   * go in as checksums (`checksumOf`).
   */
  readonly digest: Json
  /** A factor of the main loss, that of the labels; default 1. At 0 no labels are needed. Factors of several multiply. */
  readonly mainLoss?: number
  /** Called once before the first step, with the model that the regimes before it have entered. Must not change it. */
  enter(model: Model, setting: Setting): RegimeParts | Promise<RegimeParts>
}

/** What a regime may want to know of the run. */
export interface Setting {
  readonly batchSize: number
  /** For draws of its own. */
  readonly seed: number
  readonly threads?: number
  /** What is learnt, where that is known: the output and the axis of its classes. Not with targets of the caller's own. */
  readonly objective?: Objective
  /** What the main loss is, or would be; default cross-entropy. */
  readonly loss?: LossName | Loss
  /** Of a model that is fed what is trained on, the form that takes its batches; absent where any model does that can. */
  readonly open?: (model: Model) => Model
}

export interface RegimeParts {
  /**
   * The model with what it puts in: gates, fake quantisers, codebooks; its weights are float32. Inputs that it adds are those
   * of `noise` and `state`. Default: the model as it is.
   */
  readonly model?: Model
  /** Initialisers to train beside the model's weights, such as the parameters of gates. */
  readonly parameters?: readonly string[]
  readonly terms?: readonly Term[]
  readonly projections?: readonly Projection[]
  readonly noise?: readonly Noise[]
  /** What is carried from step to step and lies in checkpoints, by names of the regime's own. */
  readonly state?: Readonly<Record<string, StateTensor>>
  /**
   * Takes out again what `model` put in and gives plain ONNX. Called after training and for each validation, also with
   * averaged weights; must be a pure function.
   */
  leave?(trained: Model, state: Arrays): Model
  /** Called once at the end, also of a run that failed; closes what `enter` opened. */
  release?(): void | Promise<void>
}

export type Arrays = ReadonlyMap<string, Float32Array>

export interface Batch {
  /** Steps done before this one. */
  readonly step: number
  /** The samples' places in the data set. */
  readonly indices: ArrayLike<number>
  /** What the model is fed, augmented; without noise. */
  readonly inputs: Feeds
}

/** Something that is added to the loss, as a fragment of the step's graph. */
export interface Term {
  /** The epoch from which it counts, from 0; default 0. Before, nothing of it is computed. */
  readonly from?: number
  /** Gives the scalar that is added, already weighted. */
  emit(g: Emitter, scope: TermScope): string
  /** The values that `emit` asked for by `scope.fed`. */
  feeds?(batch: Batch): Feeds | Promise<Feeds>
}

/** What a step's graph has for a regime. */
export interface StateScope {
  /** The value of a trained parameter, or any other value of the entered model, by its name there. */
  value(name: string): string
  /** The value of the regime's own state as it was before the step. */
  state(name: string): string
}

export interface TermScope extends StateScope {
  /** The model's output that the loss reads; logits, classes along the last axis, where the loss works on those. */
  readonly output: string
  /** What the main loss compares that with; absent where its factor is 0. */
  readonly target?: string
  readonly loss: LossName | Loss
  readonly parameters: readonly string[]
  /** An input of the step that `feeds` gives a float32 value for at every step. */
  fed(name: string, shape: readonly number[]): string
}

/** Random numbers that are drawn anew for each step. They follow from the seed and the step alone. */
export interface Noise {
  /** The name of the input that takes it, of the entered model. */
  readonly input: string
  /** Sizes; `N` is the batch's. */
  readonly shape: readonly (number | 'N')[]
  /** Writes every element. */
  draw(values: Float32Array, rng: Random): void
}

export interface StateTensor {
  readonly shape: readonly number[]
  /** At the start; every one finite, always. */
  readonly values: Float32Array
  /** The input of the entered model that takes it, where the model reads it; of float32 and that shape. */
  readonly input?: string
  /** The state after the step, where the step itself computes it, such as a running range. */
  next?(g: Emitter, scope: StateScope): string
}

export interface MaskedParameter {
  readonly name: string
  readonly values: Float32Array
  readonly shape: readonly number[]
  /** Whether a layer multiplies with it; not so biases, scales and statistics, whatever their axes. */
  readonly isWeight: boolean
}

/** Something that is done to weights between steps. */
export interface Projection {
  /** A factor for each element, computed once before training and multiplied in after each step. */
  mask?(parameter: MaskedParameter): Float32Array | undefined
  /** `apply` is called after so many steps each; default 1. */
  readonly every?: number
  /** The arrays that change, whole and new: a pure function, which leaves what it is given as it is. */
  apply?(now: ProjectionInput): Changes
}

export interface ProjectionInput {
  /** Steps done. */
  readonly step: number
  /** Trained parameters in the model's order of elements. */
  readonly weights: Arrays
  /** The regime's own. */
  readonly state: Arrays
}

export interface Changes {
  readonly weights?: Arrays
  readonly state?: Arrays
}

/** A regime in a run. */
export interface Member extends RegimeParts {
  readonly id: string
}

/** Several regimes as one. */
export interface Entered {
  readonly model: Model
  readonly members: readonly Member[]
  /** `stateOf` gives each member's state. */
  leave(trained: Model, stateOf: (member: Member) => Arrays): Model
  release(): Promise<void>
}

/** Lets regimes enter in their order; they leave in the opposite one. */
export async function enterAll(model: Model, regimes: readonly Regime[], setting: Setting): Promise<Entered> {
  const members: Member[] = []
  const release = async (): Promise<void> => {
    for (const member of [...members].reverse()) await member.release?.()
  }
  let current = model
  try {
    for (const { id, enter } of regimes) {
      const parts = await enter(current, setting)
      members.push({ ...parts, id })
      current = parts.model ?? current
    }
  } catch (cause) {
    await release()
    throw cause
  }
  return {
    model: current,
    members,
    release,
    leave: (trained, stateOf) =>
      members.reduceRight((left, member) => member.leave?.(left, stateOf(member)) ?? left, trained),
  }
}

/** The factor of the main loss that regimes have together. Throws where one is no finite number from 0 up. */
export function mainLossOf(regimes: readonly Regime[]): number {
  return regimes.reduce((product, { id, mainLoss = 1 }) => {
    if (!(mainLoss >= 0 && Number.isFinite(mainLoss)))
      throw new Error(`${id}: the main loss's factor must be 0 or more, got ${mainLoss}`)
    return product * mainLoss
  }, 1)
}

/** For digests: a short number for long arrays. */
export function checksumOf(values: ArrayBufferView): number {
  return crc32(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
}
