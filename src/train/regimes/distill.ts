/**
 * Distillation: a student learns what a teacher answers (Hinton, Vinyals & Dean 2015, arXiv:1503.02531).
 *
 *   loss = (1 - α) · CE(labels, s) + α · T² · KL(softmax(t / T) ‖ softmax(s / T))
 *
 * with the logits s of the student and t of the teacher, the mean over the rows of the batch. T² keeps the gradient's size
 * where T changes. The teacher sees the pictures that the student sees, augmented in the same way; it is not trained. At
 * α = 1 no labels are needed.
 */
import { requiredInputs } from '../../data/batch-axis.ts'
import { finalSoftmax } from '../../graph/final-softmax.ts'
import type { Feeds } from '../../method.ts'
import type { Model } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { scale } from '../../ops/grad/emit.ts'
import { openSession, type Session } from '../../runtime/session.ts'
import { rowsAlong } from '../../task/scores.ts'
import { floatValues } from '../../tensor/dtype.ts'
import { losses } from '../losses.ts'
import { type Objective, objectiveOfLabels, onlyOutput } from '../objective.ts'
import { type Batch, checksumOf, type Regime, type TermScope } from '../regime.ts'

export interface DistillOptions {
  readonly teacher: Model
  /** T: above 0; default 4. Higher: the teacher's small probabilities count for more. */
  readonly temperature?: number
  /** α: the teacher's share of the loss, 0 to 1; default 0.9. */
  readonly alpha?: number
}

export const distillDefaults = { temperature: 4, alpha: 0.9 } as const

/** Throws where an option is out of range; when it enters, where the teacher's inputs are not the student's. */
export function distill({
  teacher,
  temperature = distillDefaults.temperature,
  alpha = distillDefaults.alpha,
}: DistillOptions): Regime {
  if (!(temperature > 0 && Number.isFinite(temperature)))
    throw new Error(`distill: temperature must be above 0, got ${temperature}`)
  if (!(alpha >= 0 && alpha <= 1)) throw new Error(`distill: alpha must be within [0, 1], got ${alpha}`)
  return {
    id: 'distill',
    digest: { teacher: checksumOf(writeModel(teacher)), temperature, alpha },
    mainLoss: 1 - alpha,
    async enter(model, { threads, objective: own }) {
      const objective = teacherObjective(teacher, own)
      const names = inputNames(teacher, model)
      const session = await openSession(onlyOutput(teacher, objective.output), { threads })
      const answers = async ({ inputs }: Batch): Promise<Feeds> => {
        const given = Object.fromEntries([...names].map(([name, own]) => [name, inputs[own]]))
        return { teacher: await logitsFrom(session, objective, given) }
      }
      return {
        terms: [{ emit: (g, scope) => emitDivergence(g, scope, { temperature, alpha }), feeds: answers }],
        release: () => session.release(),
      }
    },
  }
}

function emitDivergence(
  g: Parameters<typeof losses.kl>[0],
  { output, loss, fed }: TermScope,
  { temperature, alpha }: { readonly temperature: number; readonly alpha: number },
): string {
  if (loss !== 'cross-entropy')
    throw new Error('distill: the model does not give scores of classes; expected one that is trained by cross-entropy')
  const soft = (logits: string): string => scale(g, logits, 1 / temperature)
  const target = g.op('Softmax', [soft(fed('teacher', g.shape(output)))], { attributes: { axis: -1 } })
  return scale(g, losses.kl(g, soft(output), target), alpha * temperature ** 2)
}

/** The teacher's output of the same name as the student's, with classes along the same axis; else a guess. */
function teacherObjective(
  teacher: Model,
  own: Objective | undefined,
): Pick<Objective, 'output' | 'axis' | 'probabilities'> {
  if (!own || !teacher.graph.outputs.some((o) => o.name === own.output)) return objectiveOfLabels(teacher)
  return { ...own, probabilities: finalSoftmax(teacher.graph, own.output) !== undefined }
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

/** The teacher's logits, classes along the last axis. Of probabilities their logarithms, which have the same softmax. */
async function logitsFrom(
  session: Session,
  { output, axis = -1, probabilities }: ReturnType<typeof teacherObjective>,
  feeds: Feeds,
) {
  const answer = (await session.run(feeds, [output]))[output]
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
  const last = [...dims.slice(0, at), ...dims.slice(at + 1), width]
  return { dtype: 'float32', dims: last, data } as const
}
