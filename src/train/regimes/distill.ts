/**
 * Distillation: a student learns what a teacher answers (Hinton, Vinyals & Dean 2015, arXiv:1503.02531).
 *
 *   loss = (1 - α) · main loss + α · D(t, s) + β · Σ mean (f_t - f_s)²
 *
 * D compares the student's output s with the teacher's t, by what is learnt:
 * - classes: T² · KL(softmax(t / T) ‖ softmax(s / T)) of logits, the mean over the rows of the batch
 * - yes or no: T² · KL(σ(t / T) ‖ σ(s / T)) of logits, the mean over all elements
 * - numbers: mean (t - s)², in units of the training targets' variance, as the main loss is
 *
 * T² keeps the gradient's size where T changes. The last part compares values inside the two networks, of the same size
 * (hints, Romero et al. 2015, arXiv:1412.6550). The teacher sees the samples that the student sees, augmented in the same
 * way; it is not trained. At α = 1 no labels are needed.
 */
import { requiredInputs } from '../../data/batch-axis.ts'
import { dropUnused } from '../../graph/drop-unused.ts'
import { finalSigmoid, finalSoftmax } from '../../graph/final-softmax.ts'
import type { Feeds, Value } from '../../method.ts'
import { type Model, withGraph } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { add, type Emitter, scale, sub } from '../../ops/grad/emit.ts'
import { openSession } from '../../runtime/session.ts'
import { rowsAlong } from '../../task/scores.ts'
import { floatValues } from '../../tensor/dtype.ts'
import { type LossName, losses } from '../losses.ts'
import { objectiveWithoutAnswers } from '../objective.ts'
import { type Batch, checksumOf, type Regime, type Setting, type TermScope } from '../regime.ts'

export interface DistillOptions {
  readonly teacher: Model
  /** T: above 0; default 4. Higher: the teacher's small probabilities count for more. Not for numbers, which have none. */
  readonly temperature?: number
  /** α: the teacher's share of the loss, 0 to 1; default 0.9. */
  readonly alpha?: number
  /** Values inside the student to draw towards values inside the teacher, by their names in each; of one shape. */
  readonly features?: readonly { readonly student: string; readonly teacher: string }[]
  /** β: 0 or more; default 1. */
  readonly featureWeight?: number
}

export const distillDefaults = { temperature: 4, alpha: 0.9, featureWeight: 1 } as const

/** Throws where an option is out of range; when it enters, where the teacher's inputs or values do not fit. */
export function distill(options: DistillOptions): Regime {
  const { teacher, temperature, alpha = distillDefaults.alpha, features = [] } = options
  const { featureWeight = distillDefaults.featureWeight } = options
  checkTemperature('distill', temperature)
  if (!(alpha >= 0 && alpha <= 1)) throw new Error(`distill: alpha must be within [0, 1], got ${alpha}`)
  if (!(featureWeight >= 0 && Number.isFinite(featureWeight)))
    throw new Error(`distill: featureWeight must be 0 or more, got ${featureWeight}`)
  return {
    id: 'distill',
    digest: {
      ...{ teacher: checksumOf(writeModel(teacher)), temperature: temperature ?? distillDefaults.temperature, alpha },
      ...(features.length > 0 ? { features, featureWeight } : {}),
    },
    mainLoss: 1 - alpha,
    async enter(model, setting) {
      const answer = answerOf(teacher, setting)
      const names = inputNames(teacher, model)
      const inner = features.map((f) => f.teacher)
      checkFeatures(teacher, inner)
      const { threads, open = (m: Model): Model => m } = setting
      const session = await openSession(open(partOf(teacher, [answer.output, ...inner])), { threads })
      const feeds = async ({ inputs }: Batch): Promise<Feeds> => {
        const given = Object.fromEntries([...names].map(([name, own]) => [name, inputs[own]]))
        const values = await session.run(given, [...new Set([answer.output, ...inner])])
        return {
          teacher: answer.read(values[answer.output]),
          ...Object.fromEntries(inner.map((name) => [featureInput(name), asFloats(values[name])])),
        }
      }
      const emit = (g: Emitter, scope: TermScope): string => {
        const parts = features.map((f) => scale(g, emitFeature(g, scope, f), featureWeight))
        if (alpha > 0) {
          const { output: student, loss } = scope
          const compared = { student, teacher: scope.fed('teacher', g.shape(student)), loss }
          const unit = setting.objective?.unit ?? 1
          parts.unshift(scale(g, emitDivergence(g, compared, { told: temperature }), alpha / unit))
        }
        return parts.reduce((a, b) => add(g, a, b))
      }
      return {
        ...(alpha > 0 || features.length > 0 ? { terms: [{ emit, feeds }] } : {}),
        release: () => session.release(),
      }
    },
  }
}

/** Throws where it is told and no number above 0. */
export function checkTemperature(subject: string, temperature: number | undefined): void {
  if (temperature !== undefined && !(temperature > 0 && Number.isFinite(temperature)))
    throw new Error(`${subject}: temperature must be above 0, got ${temperature}`)
}

/** What is compared: values that the loss works on, of one shape. */
export interface Compared {
  readonly student: string
  readonly teacher: string
  readonly loss: TermScope['loss']
}

/** D(t, s). Throws where a temperature is told for what has no logits. */
export function emitDivergence(
  g: Emitter,
  { student: output, teacher: answers, loss }: Compared,
  { told, usual = distillDefaults.temperature }: { readonly told?: number; readonly usual?: number },
): string {
  const temperature = told ?? usual
  const soft = (logits: string): string => scale(g, logits, 1 / temperature)
  switch (loss) {
    case 'cross-entropy':
    case 'kl': {
      const target = g.op('Softmax', [soft(answers)], { attributes: { axis: -1 } })
      return scale(g, losses.kl(g, soft(output), target), temperature ** 2)
    }
    case 'binary-cross-entropy': {
      const target = g.op('Sigmoid', [soft(answers)])
      return scale(g, divergence(g, loss, [soft(output), soft(answers), target]), temperature ** 2)
    }
    case 'binary-cross-entropy-of-probabilities': {
      checkNoTemperature(told, 'probabilities that no Sigmoid makes')
      const target = g.op('Sigmoid', [answers])
      return divergence(g, loss, [output, target, target])
    }
    case 'mse':
      checkNoTemperature(told, 'numbers')
      return losses.mse(g, output, answers)
    default:
      throw new Error('distill: the loss is a function; expected one of the losses by name')
  }
}

/** KL: the cross-entropy of the student's values less that of the teacher's own, which is least and has no gradient. */
function divergence(g: Emitter, loss: LossName, [student, teacher, target]: readonly [string, string, string]): string {
  return sub(g, losses[loss](g, student, target), losses[loss](g, teacher, target))
}

function checkNoTemperature(told: number | undefined, what: string): void {
  if (told !== undefined)
    throw new Error(`distill: a temperature of ${told} for ${what}; expected none, as there are no logits to divide`)
}

const featureInput = (name: string): string => `feature ${name}`

/** mean (f_t - f_s)² */
function emitFeature(
  g: Emitter,
  { value, fed }: TermScope,
  { student, teacher }: { readonly student: string; readonly teacher: string },
): string {
  let own: string
  try {
    own = value(student)
  } catch (cause) {
    throw new Error(`distill: the student has no value "${student}"; expected the name of a value inside it`, { cause })
  }
  return losses.mse(g, own, fed(featureInput(teacher), g.shape(own)))
}

function checkFeatures({ graph }: Model, names: readonly string[]): void {
  const made = new Set(graph.nodes.flatMap((n) => n.outputs))
  const missing = names.find((name) => !made.has(name))
  if (missing !== undefined)
    throw new Error(`distill: the teacher has no value "${missing}"; expected the name of a value inside it`)
}

/** The part of a model that makes some values, as its outputs. */
function partOf(model: Model, names: readonly string[]): Model {
  const { graph } = model
  const outputs = [...new Set(names)].map(
    (name) => graph.outputs.find((o) => o.name === name) ?? { name, dtype: 'float32' as const },
  )
  return withGraph(model, { ...dropUnused({ ...graph, outputs }), inputs: graph.inputs })
}

interface Answer {
  /** The teacher's value to fetch. */
  readonly output: string
  /** As the loss compares it: logits, classes along the last axis; or numbers. */
  read(value: Value): Value
}

/** The teacher's output of the same name as the student's; else the one that labels would be compared with. */
function answerOf(teacher: Model, { objective: own, loss }: Setting): Answer {
  const { graph } = teacher
  const shared = own && graph.outputs.some((o) => o.name === own.output)
  const output = shared ? own.output : objectiveWithoutAnswers(teacher).output
  if (loss === 'mse') return { output, read: asFloats }
  if (loss === 'binary-cross-entropy' || loss === 'binary-cross-entropy-of-probabilities') {
    const sigmoid = finalSigmoid(graph, output)
    if (sigmoid) return { output: sigmoid.inputs[0], read: asFloats }
    const isProbability = own?.probabilities === true && shared
    return { output, read: isProbability ? (value) => mapped(value, logit) : asFloats }
  }
  const axis = shared ? own.axis : objectiveWithoutAnswers(teacher).axis
  const probabilities = finalSoftmax(graph, output) !== undefined
  return { output, read: (value) => logitsFrom(value, { axis, probabilities }) }
}

/** The student's input for each of the teacher's: that of the same name, else the only one. */
function inputNames(teacher: Model, student: Model): Map<string, string> {
  const own = requiredInputs(student)
  const wanted = requiredInputs(teacher)
  const only = wanted.length === 1 && own.length === 1
  return new Map(
    wanted.map(({ name, dtype }) => {
      const found = own.find((i) => i.name === name) ?? (only ? own[0] : undefined)
      if (!found)
        throw new Error(
          `distill: the teacher's input "${name}" is none of the student's (${own.map((i) => i.name).join(', ')}); expected inputs of the same names`,
        )
      if (found.dtype !== dtype)
        throw new Error(
          `distill: the teacher's input "${name}" takes ${dtype}, the student's ${found.dtype}; expected the same type`,
        )
      return [name, found.name]
    }),
  )
}

function asFloats(value: Value): Value {
  return { dtype: 'float32', dims: value.dims, data: Float32Array.from(floatValues(value) as Float32Array) }
}

function mapped(value: Value, change: (v: number) => number): Value {
  return { dtype: 'float32', dims: value.dims, data: Float32Array.from(floatValues(value) as Float32Array, change) }
}

const logit = (p: number): number => Math.log(Math.max(p, 1e-30) / Math.max(1 - p, 1e-30))

/** Logits, classes along the last axis. Of probabilities their logarithms, which have the same softmax. */
function logitsFrom(
  answer: Value,
  { axis = -1, probabilities }: { readonly axis?: number; readonly probabilities: boolean },
): Value {
  const { dims } = answer
  const values = floatValues(answer) as Float32Array
  const at = axis < 0 ? axis + dims.length : axis
  const width = dims[at]
  const rows = rowsAlong(dims, at)
  const data = new Float32Array(values.length)
  for (let row = 0; row < rows.count; row++) {
    const { from, stride } = rows.at(row)
    for (let c = 0; c < width; c++) {
      const value = values[from + c * stride]
      data[row * width + c] = probabilities ? Math.log(Math.max(value, 1e-30)) : value
    }
  }
  return { dtype: 'float32', dims: [...dims.slice(0, at), ...dims.slice(at + 1), width], data }
}
