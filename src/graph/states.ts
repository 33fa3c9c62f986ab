/** States: values that a model gives back to be handed in again with its next call, as recurrent and streaming models do. */
import type { Graph, Model, ValueInfo } from '../model.ts'

export interface StatePair {
  readonly input: string
  readonly output: string
}

/** Inputs and outputs that share a name but for words like "in", "out" and "new", where it is a state's, and are of one shape. */
export function statesOf({ graph }: Model): StatePair[] {
  const pairs = graph.outputs.flatMap((output): StatePair[] => {
    const input = stateInputOf(graph, output)
    return input && sameShape(input, output) ? [{ input: input.name, output: output.name }] : []
  })
  return pairs.filter((p) => pairs.filter((q) => q.input === p.input).length === 1)
}

/** The input that an output is handed in at again, by its name and number of axes. */
export function stateInputOf(graph: Graph, { name, shape }: ValueInfo): ValueInfo | undefined {
  return graph.inputs.find(
    (i) =>
      i.name !== name &&
      stem(i.name) === stem(name) &&
      /state|cache|hidden|cell|past|prev|^[hc]\d*$|^[hc][n0]?[_.]?/i.test(i.name) &&
      i.shape?.length === shape?.length,
  )
}

/** What is left of a name without such words and what counts within it; numbers of layers stay: `past_key_values.0.key` is `present.0.key`. */
function stem(text: string): string {
  const left = text
    .toLowerCase()
    .replace(/past_?key_?values(?=.)/, '')
    .replace(/new|next|out(put)?|in(put)?|past|present|prev/g, '')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
  const layers = left.match(/(?<![a-z0-9])\d+(?=[._/][a-z])/g) ?? []
  return [left.replace(/[^a-z]/g, ''), ...layers].join(' ')
}

/** Sizes that both declare are equal. */
function sameShape(a: ValueInfo, b: ValueInfo): boolean {
  return (a.shape ?? []).every((d, i) => typeof d !== 'number' || typeof b.shape?.[i] !== 'number' || d === b.shape[i])
}
