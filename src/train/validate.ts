/** Loss and accuracy of a model in inference form on data that training does not see. */
import { batches } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { finalSoftmax } from '../graph/final-softmax.ts'
import type { Model } from '../model.ts'
import { openSession } from '../runtime/session.ts'

export interface Validation {
  /** Mean cross-entropy of the labels (of the probabilities, where the model ends in a softmax). */
  readonly loss: number
  readonly accuracy: number
}

export interface ValidateOptions {
  readonly batcher: Batcher
  readonly batchSize: number
  readonly threads?: number
}

/** Needs labels. Works in batches of `batchSize`, which is the model's own where its batch axis is fixed. */
export async function validate(model: Model, data: Dataset, options: ValidateOptions): Promise<Validation> {
  const { labels } = data
  if (!labels) throw new Error(`${data.id}: it has no labels; expected labelled validation data`)
  if (data.length === 0) throw new Error(`${data.id}: it has no samples; expected some to validate on`)
  const session = await openSession(model, { threads: options.threads })
  const output = model.graph.outputs[0].name
  const isProbability = finalSoftmax(model.graph, output) !== undefined
  const fixed = model.graph.inputs.some(
    (i) => typeof i.shape?.[0] === 'number' && !model.graph.initializers.has(i.name),
  )
  let loss = 0
  let correct = 0
  try {
    for (const indices of batches(data, options.batchSize)) {
      // A fixed batch is filled up with its first sample, whose copies are not counted.
      const fed = fixed ? Uint32Array.from({ length: options.batchSize }, (_, i) => indices[i] ?? indices[0]) : indices
      const scores = (await session.run(options.batcher(data, fed), [output]))[output].data as Float32Array
      const classes = scores.length / fed.length
      for (let i = 0; i < indices.length; i++) {
        const row = scores.subarray(i * classes, (i + 1) * classes)
        const label = labels[indices[i]]
        if (!(label >= 0 && label < classes))
          throw new Error(
            `${data.id}: sample ${indices[i]} is of class ${label}; expected 0 to ${classes - 1}, the model's outputs`,
          )
        loss += isProbability ? -Math.log(Math.max(row[label], 1e-30)) : crossEntropy(row, label)
        if (row.indexOf(Math.max(...row)) === label) correct++
      }
    }
  } finally {
    await session.release()
  }
  return { loss: loss / data.length, accuracy: correct / data.length }
}

function crossEntropy(logits: Float32Array, label: number): number {
  const top = Math.max(...logits)
  let sum = 0
  for (const v of logits) sum += Math.exp(v - top)
  return top + Math.log(sum) - logits[label]
}
