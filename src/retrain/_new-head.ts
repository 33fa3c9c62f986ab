/** A network with another last layer, to learn something else with the layers before it. */
import { node, valueInfo } from '../graph/build.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import { editGraph } from '../graph/edit.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Model, withGraph } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

/** The name of the last layer's weight. */
export function lastWeight(subject: string, model: Model): string {
  const last = weightTensors(model).at(-1)
  if (!last) throw new Error(`${subject}: the model has no layer with weights; expected some`)
  return last.name
}

/**
 * The network up to its last layer, and a new one with so many outputs behind it: a dense layer, of the means of maps where that
 * is what the last layer reads. Weights are U(±1/√fanIn), from the seed. Throws where the sizes of those are not known.
 */
export function withNewHead(
  subject: string,
  model: Model,
  { classes, seed }: { readonly classes: number; readonly seed: number },
): Model {
  const last = weightTensors(model).at(-1)
  const use = last?.uses.at(-1)
  // A product may have its weights first.
  const read = use?.node.inputs[use.input === 0 ? 1 : 0] ?? ''
  const shape = inferShapes(model).values.get(read)?.shape ?? []
  const features = shape[1]
  if (typeof features !== 'number' || (shape.length !== 2 && shape.length !== 4))
    throw new Error(
      `${subject}: its last layer reads a value of ${shape.length || 'unknown'} axes; expected a list of features, or maps, per sample`,
    )
  const edit = editGraph(model)
  const rng = random(seed)
  const bound = 1 / Math.sqrt(features)
  const draw = (): number => bound * (2 * rng.next() - 1)
  const weight = edit.store(
    floatTensor(
      edit.fresh('head_weight'),
      [classes, features],
      Float32Array.from({ length: classes * features }, draw),
    ),
  )
  const bias = edit.store(floatTensor(edit.fresh('head_bias'), [classes], new Float32Array(classes)))
  const [means, flat, output] = ['head_means', 'head_features', 'head_output'].map(edit.fresh)
  const pooling =
    shape.length === 4 ? [node('GlobalAveragePool', [read], [means]), node('Flatten', [means], [flat])] : []
  const dense = node('Gemm', [shape.length === 4 ? flat : read, weight, bias], [output], { transB: 1 })
  const grown = edit.extended([...pooling, dense])
  const outputs = [valueInfo(output, 'float32', [shape[0] ?? 'N', classes])]
  return withGraph(grown, dropUnused({ ...grown.graph, outputs }))
}
