/** A method is `Model → Model` with an option table. Called directly, or named in a recipe. */
import type { DataHandle } from './data/handle.ts'
import type { Model } from './model.ts'
import { checkOptions, type OptionsOf, type OptionTable } from './options.ts'
import type { Task } from './task/task.ts'
import type { CheckpointStore } from './train/checkpoint.ts'
import type { Progress } from './train/train-options.ts'
import type { Workers } from './workers.ts'

/** One batch of inputs by name, as ONNX Runtime takes them. */
export type Feeds = Readonly<Record<string, Value>>

export interface Value {
  readonly dtype: string
  readonly dims: readonly number[]
  /** float16 as its bits (Uint16Array); `floatValues` in tensor/dtype.ts reads those of any float type. Strings as a plain array. */
  readonly data:
    | Float32Array
    | Float64Array
    | Int32Array
    | BigInt64Array
    | Uint8Array
    | Int8Array
    | Uint16Array
    | Int16Array
    | Uint32Array
    | BigUint64Array
    | readonly string[]
}

/** A batch of inputs and the class of each of its samples. */
export interface LabelledFeeds {
  readonly feeds: Feeds
  readonly labels: ArrayLike<number>
}

/** What a method may use beside the model. */
export interface Context {
  /** Samples that it may look at (never test data). */
  readonly data?: DataHandle
  /** What the outputs mean; guessed where it is not given. */
  readonly task?: Task
  /** Whose answers are learnt by methods that say `teacher`; where there is none, those of the model as it came in. */
  readonly teacher?: Model
  /** Where long training saves its progress, and goes on from. */
  readonly checkpoint?: CheckpointStore
  /** Seeds every random draw. */
  readonly seed?: number
  /** Told how far a long step is, as a share of 1: an estimate, which may fall. */
  readonly progress?: (done: number, what: string) => void
  /** Told each step of methods that train, which wait for a promise that it returns. */
  readonly training?: (progress: Progress) => unknown
  /** Told what a person should know about the result. */
  readonly warn?: (message: string) => void
  readonly signal?: AbortSignal
  /** Threads for heavy work per tensor; this one alone where there are none. The results are the same. */
  readonly workers?: Workers
}

export interface MethodSpec<T extends OptionTable> {
  /** Kebab-case, the name of its file. */
  readonly id: string
  /** One line for lists. */
  readonly help: string
  /** Its id in recipes of before. */
  readonly was?: string
  /** What of the data it looks at, and what it does without; left out where it looks at none. */
  readonly data?: string
  /** It trains: it throws where the context has no training set. */
  readonly trains?: boolean
  /** It can learn the answers of the context's teacher, by its option `alpha`. */
  readonly teacher?: boolean
  readonly options: T
  run(model: Model, options: OptionsOf<T>, context: Context): Model | Promise<Model>
}

export type Method<T extends OptionTable = OptionTable> = ((
  model: Model,
  options?: Partial<OptionsOf<T>>,
  context?: Context,
) => Promise<Model>) &
  Pick<MethodSpec<T>, 'id' | 'was' | 'help' | 'data' | 'trains' | 'teacher' | 'options'>

/** Makes a method of its spec: options are filled in and checked before it runs. */
export function defineMethod<const T extends OptionTable>(spec: MethodSpec<T>): Method<T> {
  const method = async (model: Model, options: Partial<OptionsOf<T>> = {}, context: Context = {}): Promise<Model> =>
    spec.run(model, checkOptions(spec.id, spec.options, options), context)
  const { id, was, help, data, trains, teacher, options } = spec
  return Object.assign(method, {
    id,
    ...(was ? { was } : {}),
    help,
    ...(data ? { data } : {}),
    ...(trains ? { trains } : {}),
    ...(teacher ? { teacher } : {}),
    options,
  })
}
