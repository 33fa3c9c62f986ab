/**
 * Shortcuts around one convolution, folded into it (Ding et al. 2021, arXiv:2101.03697; Xu et al. 2020, arXiv:2011.14356).
 *
 *   γ · (W * x + b) + α · x  =  W' * x + γ b
 *
 * where W' is γ W with α added at the centre of the kernel from each channel to itself. It takes as many channels in as out,
 * strides of 1, odd kernels and padding that keeps the size. With γ = 0 the convolution goes, and α · x is left. Outputs
 * agree up to rounding.
 */
import { node } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { constantOf, consumersOf, intAttribute, intsAttribute, producersOf, stringAttribute } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import { type Graph, isOnnxDomain, type Model, type Node, type Tensor } from '../model.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'

export const foldShortcuts = defineMethod({
  id: 'fold-shortcuts',
  help: 'folds what is added to the output of a convolution from its own input into its kernel; outputs stay the same',
  options: {},
  run: foldedShortcuts,
})

/** The model with each such sum of its main graph as one convolution, or as a product where the convolution counts nothing. */
export function foldedShortcuts(model: Model): Model {
  const edit = editGraph(model)
  for (const { conv, weight, bias, gone, output, gamma, alpha } of shortcutsOf(model.graph)) {
    const [x, weightName, biasName = ''] = conv.inputs
    for (const other of gone) edit.replace(other)
    if (gamma === 0) {
      const scaled = (): string => edit.store(floatTensor(edit.fresh(`${output}_factor`), [1], [alpha]))
      edit.replace(conv, [alpha === 1 ? node('Identity', [x], [output]) : node('Mul', [x, scaled()], [output])])
      continue
    }
    const values = floats(weight).map((w) => gamma * w)
    for (const at of centres(weight, intAttribute(conv, 'group', 1))) values[at] += alpha
    const store = (name: string, { dims }: Tensor, data: Float32Array): string =>
      edit.store(floatTensor(edit.fresh(`${name}_folded`), dims, data), name)
    const inputs = [x, store(weightName, weight, values)]
    if (bias)
      inputs.push(
        gamma === 1
          ? biasName
          : store(
              biasName,
              bias,
              floats(bias).map((b) => gamma * b),
            ),
      )
    edit.replace(conv, [{ ...conv, inputs, outputs: [output] }])
  }
  return edit.finish()
}

interface Shortcut {
  readonly conv: Node
  readonly weight: Tensor
  readonly bias?: Tensor
  /** The sum, and products with constants before it. */
  readonly gone: readonly Node[]
  readonly output: string
  readonly gamma: number
  readonly alpha: number
}

function* shortcutsOf(graph: Graph): Generator<Shortcut> {
  const producers = producersOf(graph)
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const isReadOnce = (name: string): boolean => consumers.get(name)?.length === 1 && !outputs.has(name)
  const constant = (name: string): Tensor | undefined => {
    const tensor = constantOf(graph, name, producers)
    return tensor?.dtype === 'float32' ? tensor : undefined
  }
  /** A value as a constant times another. */
  const asProduct = (name: string): { factor: number; of: string; product?: Node } => {
    const product = producers.get(name)
    if (product?.op === 'Mul' && isOnnxDomain(product.domain) && isReadOnce(name))
      for (const [i, input] of product.inputs.entries()) {
        const factor = constant(input)
        if (factor && sizeOf(factor.dims) === 1)
          return { factor: floats(factor)[0], of: product.inputs[1 - i], product }
      }
    return { factor: 1, of: name }
  }
  for (const sum of graph.nodes) {
    if (sum.op !== 'Add' || !isOnnxDomain(sum.domain)) continue
    const sides = sum.inputs.map(asProduct)
    for (const [i, side] of sides.entries()) {
      const other = sides[1 - i]
      const conv = producers.get(side.of)
      if (conv?.op !== 'Conv' || !isOnnxDomain(conv.domain) || !isReadOnce(side.of)) continue
      const [x, w, b] = conv.inputs
      const [weight, bias] = [constant(w), b ? constant(b) : undefined]
      if (other.of !== x || !weight || (b && !bias) || !keepsShape(conv, weight)) continue
      const gone = [sum, ...sides.flatMap(({ product }) => product ?? [])]
      yield { conv, weight, bias, gone, output: sum.outputs[0], gamma: side.factor, alpha: other.factor }
      break
    }
  }
}

/** Whether a convolution gives what has the shape of its input. */
export function keepsShape(conv: Node, { dims }: Tensor): boolean {
  const [out, inputs, ...kernel] = dims
  const given = (name: string, fallback: number): number[] =>
    intsAttribute(conv, name) ?? kernel.flatMap(() => (name === 'pads' ? [fallback, fallback] : [fallback]))
  const [strides, dilations, pads] = [given('strides', 1), given('dilations', 1), given('pads', 0)]
  const automatic = stringAttribute(conv, 'auto_pad', 'NOTSET')
  const isPadded = kernel.every((k, i) => {
    const half = (dilations[i] * (k - 1)) / 2
    return pads[i] === half && pads[i + kernel.length] === half
  })
  return (
    out === inputs * intAttribute(conv, 'group', 1) &&
    kernel.length > 0 &&
    kernel.every((k) => k % 2 === 1) &&
    strides.every((s) => s === 1) &&
    (automatic.startsWith('SAME') || (automatic === 'NOTSET' ? isPadded : kernel.every((k) => k === 1)))
  )
}

/** The places in the kernel [out, in per group, ...] that lead from the middle of each channel to itself. */
function* centres({ dims }: Tensor, group: number): Generator<number> {
  const [out, inputs, ...kernel] = dims
  const size = sizeOf(kernel)
  // The middle of a row-major array of odd sizes.
  const middle = (size - 1) / 2
  const perGroup = out / group
  for (let c = 0; c < out; c++) yield (c * inputs + (c % perGroup)) * size + middle
}
