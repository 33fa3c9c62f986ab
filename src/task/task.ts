/**
 * What a model's outputs mean, so that they can be judged: as classes, as numbers, as an image. A task is guessed where
 * that is safe (guess.ts) and given by `--task` where it is not.
 */
import type { Model } from '../model.ts'

export const outputKinds = [
  'classes',
  'binary',
  'labels',
  'numbers',
  'embedding',
  'image',
  'mask',
  'tokens',
  'state',
  'ignored',
] as const

/**
 * How an output is judged:
 * - `classes`: one class per sample, the largest of its scores;
 * - `binary`: yes or no a sample; `labels`: several of them a sample;
 * - `mask`: a class a pixel (or a yes or no); `tokens`: a class a position of a sequence;
 * - `numbers`, `image`, `embedding`, `state`: values, by their signal-to-noise ratio;
 * - `ignored`: not judged, with a reason.
 */
export type OutputKind = (typeof outputKinds)[number]

export interface OutputTask {
  /** The name of the output; of the scores behind it where the output itself is a ZipMap's sequence of maps. */
  readonly output: string
  readonly kind: OutputKind
  /**
   * The axis of the classes or features (`classes`, `mask`, `tokens`, `embedding`), as ONNX counts, from 0. Undefined
   * where the values are decisions already (class indices as whole numbers) or one number stands for yes and no.
   */
  readonly axis?: number
  /** The axis of the samples; default 0. */
  readonly batchAxis?: number
  /** Whether the scores of decisions are probabilities (softmax or sigmoid applied) rather than logits. */
  readonly probabilities?: boolean
  /** Whether the data's labels (or targets, for numbers) judge this output. */
  readonly labelled?: boolean
  /** Nothing but the data's labels speaks for decisions: where the model does not know them, the output is numbers. */
  readonly labelsAlone?: boolean
  /** A guess that its values may matter as well as the decisions by them: both are judged. */
  readonly valuesToo?: boolean
  /** The judged values that it is decided by, where there are such: the scores that another output has, or floats that `decides`. */
  readonly decidedBy?: readonly string[]
  /** It is no output, but what one is decided by, and judged where decisions are not counted. */
  readonly decides?: boolean
  /** Why it was taken so, for people: `no softmax, no labels`. */
  readonly why: string
}

export interface Task {
  /** One for each output of the model, in order. */
  readonly outputs: readonly OutputTask[]
}

/** Names that outputs of masks have. */
export const maskName = /mask|segm|matte|salien/i

/** Kinds whose outputs make decisions, which are right or wrong; the others are judged as values. */
export function isDecision({ kind }: OutputTask): boolean {
  return kind === 'classes' || kind === 'binary' || kind === 'labels' || kind === 'mask' || kind === 'tokens'
}

/** What the share of right decisions is called: of classes top-1, for there may be a top-5. */
export function accuracyInWords(kind: OutputKind = 'classes'): string {
  return kind === 'classes' ? 'top-1 accuracy' : 'accuracy'
}

/** Decisions of one score each, which is above one half or not, rather than the largest of several. */
export function isYesOrNo({ kind, axis }: OutputTask): boolean {
  return kind === 'binary' || ((kind === 'labels' || kind === 'mask') && axis === undefined)
}

/** The output that the data's labels or targets judge and training learns: the first that has scores, not decisions. */
export function labelledOutput({ outputs }: Task): OutputTask | undefined {
  const labelled = outputs.filter((o) => o.labelled)
  return labelled.find((o) => o.kind !== 'classes' || o.axis !== undefined) ?? labelled[0]
}

/** A sentence for each output about how it is judged. */
export function describeTask(task: Task): string[] {
  return task.outputs.map(({ output, kind, why }) =>
    kind === 'ignored'
      ? `output "${output}" is not judged (${why})`
      : `judging output "${output}" as ${kind} (${why}); --task to change`,
  )
}

/**
 * What `--task` says: one kind for every output that is judged, or `name=kind` between commas; the outputs that it does
 * not name stay as guessed. Throws one sentence where a kind or an output is not known.
 */
export function parseTask(text: string, guessed: Task, model: Model): Task {
  const parts = text.split(',').map((part) => part.trim())
  const told = new Map<string, OutputKind>()
  let all: OutputKind | undefined
  for (const part of parts) {
    const at = part.lastIndexOf('=')
    const kind = part.slice(at + 1) as OutputKind
    if (!outputKinds.includes(kind))
      throw new Error(
        `--task: "${kind}"; expected ${outputKinds.join(', ')}, alone or as OUTPUT=KIND, separated by commas`,
      )
    const name = part.slice(0, Math.max(0, at))
    if (at < 0) all = kind
    else if (guessed.outputs.some((o) => o.output === name)) told.set(name, kind)
    else {
      const names = guessed.outputs.map((o) => `"${o.output}"`).join(', ')
      throw new Error(`--task: the model has no output "${name}"; expected one of ${names}`)
    }
  }
  const outputs = guessed.outputs.map((o) => {
    const kind = told.get(o.output) ?? (o.kind === 'ignored' || o.decides ? undefined : all)
    return kind === undefined ? o : as(o, kind, model)
  })
  return { outputs }
}

/** An output taken as another kind than guessed: axes and scales are those that the new kind usually has. */
function as(guess: OutputTask, kind: OutputKind, model: Model): OutputTask {
  if (kind === guess.kind) return { ...guess, why: 'as told' }
  const info = model.graph.outputs.find((o) => o.name === guess.output)
  const rank = info?.shape?.length ?? 2
  const floating = info?.dtype === undefined || /float/.test(info.dtype)
  const { output, batchAxis, probabilities, labelled } = guess
  const axis =
    !floating || rank < 2
      ? undefined
      : kind === 'classes' || kind === 'mask' || kind === 'embedding'
        ? 1
        : kind === 'tokens'
          ? rank - 1
          : undefined
  return {
    output,
    kind,
    why: 'as told',
    ...(axis === undefined ? {} : { axis }),
    ...(batchAxis === undefined ? {} : { batchAxis }),
    ...(probabilities === undefined ? {} : { probabilities }),
    ...(labelled === undefined ? {} : { labelled }),
  }
}
