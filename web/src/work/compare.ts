/** What two models make of the same samples, side by side. */
import { type Model, openSession, readModel, type Session, type Value } from 'coppice'
import { type BoundSplits, drawSamples } from 'coppice/data'
import { guessTask } from 'coppice/evaluate'
import type { Answer, Compared } from './messages.ts'

type Picture = Compared['picture']
type OutputTask = ReturnType<typeof guessTask>['outputs'][number]

/** Samples of the test set, drawn by the seed; none where they are no pictures. */
export async function compareSamples(
  before: Model,
  after: Uint8Array,
  { data, seed, count }: { readonly data: BoundSplits; readonly seed: number; readonly count: number },
): Promise<Compared[]> {
  const { test } = data.splits
  const field = Object.values(test.fields).find(({ kind }) => kind === 'image')
  if (!field) return []
  const perCall = data.batcher.batchSize ?? 1
  const drawn = drawSamples(test, Math.max(count, perCall), seed)
  const tasks = guessTask(before, { dataset: test }).outputs
  const task = tasks.find(({ labelled }) => labelled) ?? tasks.find(({ kind }) => kind !== 'ignored') ?? tasks[0]
  const shown = Math.min(count, drawn.length)
  const answers = await Promise.all(
    [before, readModel(after)].map(async (model) => answersOf(await openSession(model), task, { data, drawn, shown })),
  )
  const shownField = Object.values(drawn.fields).find(({ kind }) => kind === 'image') ?? field
  return Array.from({ length: shown }, (_, i) => ({
    picture: pictureOf(shownField, i),
    ...(drawn.labels ? { answer: nameOf(drawn.labels[i], drawn.classNames) } : {}),
    before: answers[0][i],
    after: answers[1][i],
  }))
}

interface Samples {
  readonly data: BoundSplits
  readonly drawn: BoundSplits['splits']['test']
  readonly shown: number
}

async function answersOf(session: Session, task: OutputTask, { data, drawn, shown }: Samples): Promise<Answer[]> {
  const perCall = data.batcher.batchSize ?? 1
  const answers: Answer[] = []
  try {
    while (answers.length < shown) {
      // A model of a fixed batch takes the first samples again to fill it.
      const indices = Array.from({ length: perCall }, (_, i) => (answers.length + i) % drawn.length)
      const outputs = await session.run(data.batcher(drawn, indices), [task.output])
      for (let i = 0; i < perCall && answers.length < shown; i++)
        answers.push(answerOf(outputs[task.output], task, { at: i, of: perCall, names: drawn.classNames }))
    }
  } finally {
    await session.release()
  }
  return answers
}

function answerOf(
  { dims, data }: Value,
  { kind, probabilities }: OutputTask,
  { at, of, names }: { at: number; of: number; names?: readonly string[] },
): Answer {
  const all = Array.from(data as ArrayLike<number>, Number)
  const size = all.length / of
  const own = all.slice(at * size, (at + 1) * size)
  if (kind === 'classes' && own.length > 1) {
    const shares = probabilities ? own : softmax(own)
    const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a])
    return { classes: order.slice(0, 3).map((i) => ({ name: nameOf(i, names), share: shares[i] })) }
  }
  const [channels, height, width] = dims.slice(-3)
  if (kind === 'image' && dims.length === 4 && (channels === 1 || channels === 3))
    return { picture: painted(own, { channels, height, width }) }
  return { numbers: own.slice(0, 4) }
}

function nameOf(index: number, names: readonly string[] | undefined): string {
  return names?.[index] ?? `class ${index}`
}

function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores)
  const powers = scores.map((s) => Math.exp(s - most))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((p) => p / sum)
}

function pictureOf({ shape, data }: { shape: readonly number[]; data: ArrayLike<number> }, index: number): Picture {
  const [channels, height, width] = shape
  const size = channels * height * width
  const own = Array.from({ length: size }, (_, i) => data[index * size + i])
  return planes(own, { channels, height, width })
}

/** Numbers of any range as a picture: of 0 to 1, of 0 to 255, or from the least to the largest. */
function painted(values: readonly number[], size: { channels: number; height: number; width: number }): Picture {
  const [least, most] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity])
  const [from, to] =
    least >= -0.1 && most <= 1.1 ? [0, 1] : least >= -16 && most <= 271 && most > 2 ? [0, 255] : [least, most]
  return planes(
    values.map((v) => (255 * (v - from)) / (to - from || 1)),
    size,
  )
}

function planes(
  values: readonly number[],
  { channels, height, width }: { channels: number; height: number; width: number },
): Picture {
  const area = width * height
  const rgba = new Uint8ClampedArray(4 * area)
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < 3; c++) rgba[4 * p + c] = values[Math.min(c, channels - 1) * area + p]
    rgba[4 * p + 3] = 255
  }
  return { width, height, rgba }
}
