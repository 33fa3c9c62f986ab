/** Words for answers in the data that no output of a model gives: their size, and those of the outputs. */
import type { Dataset } from '../data/dataset.ts'
import type { Model } from '../model.ts'
import { sizeOf } from '../tensor/dtype.ts'

/** `labels of 10 classes`, `targets of 4 numbers per sample`. */
export function answersInWords({ labels, classes, targets }: Dataset): string {
  if (labels) {
    const fromOne = labels.length > 0 && labels.every((label) => label > 0) ? ', none of which is 0,' : ''
    return classes === undefined ? 'labels' : `labels of ${classes} classes${fromOne}`
  }
  const size = sizeOf(targets?.shape ?? [])
  return `targets of ${size} ${size === 1 ? 'number' : 'numbers'} per sample`
}

/** `"logits" [N,4]`, of every output. */
export function outputsInWords({ graph }: Model): string {
  const sized = graph.outputs.map(
    ({ name, shape }) => `"${name}"${shape ? ` [${shape.map((d) => d ?? '?').join(',')}]` : ''}`,
  )
  return sized.join(', ')
}
