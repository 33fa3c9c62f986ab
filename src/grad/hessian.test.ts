/**
 * Hessian-vector products of LeNet-5's loss by a second backward pass, in float32 as everything trains, against central
 * differences of its gradient in float64.
 *
 * ONNX Runtime has no float64 convolution, so in float64 each is a Gather of its patches and a MatMul: the difference
 * is also taken of other operators, by other rules, than those that are checked. A difference only means a derivative
 * where no maximum changes hands and no ReLU its side on the way: that is asserted, for float32's own rounding too.
 */
import { expect, it } from 'vitest'
import { nameSource, node, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import { createEmitter, type ValueType } from '../ops/grad/emit.ts'
import { bytesOf, floats, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { drawn, evaluate, probe } from '../testing/test-gradient.ts'
import { losses, oneHot } from '../train/losses.ts'
import { trainableNames } from '../train/parameters.ts'
import { backward, grown, type TypedGraph } from './backward.ts'
import { specialize } from './specialize.ts'

const batch = 4
type Float = 'float32' | 'float64'
type Weights = ReadonlyMap<string, Float64Array>

const special = specialize(lenet5(3), { x: [batch, 1, 28, 28] })
const names = trainableNames(special.graph)
const start: Weights = new Map(
  names.map((name) => [name, Float64Array.from(floats(special.graph.initializers.get(name)!))]),
)

/** The loss of samples of classes 0, 1, ... with the weights as inputs. */
function lossGraph(dtype: Float): { graph: TypedGraph; loss: string } {
  const { graph, types } = dtype === 'float32' ? special : inFloat64(special)
  const inputs = [...graph.inputs.map((i) => i.name), ...names].map((name) =>
    valueInfo(name, dtype, types.get(name)!.shape),
  )
  const initializers = new Map([...graph.initializers].filter(([name]) => !names.includes(name)))
  const g = createEmitter(types, nameSource(graph))
  const target = g.constant(
    oneHot(
      Array.from({ length: batch }, (_, i) => i),
      10,
    ),
    dtype,
    [batch, 10],
  )
  const loss = losses['cross-entropy'](g, graph.outputs[0].name, target)
  return { graph: grown({ graph: { ...graph, inputs, initializers }, types }, g), loss }
}

/** Every float as float64, each convolution (stride 1, no padding) as a product with its patches. */
function inFloat64({ graph, types }: TypedGraph): TypedGraph {
  const wide = ({ dtype, shape }: ValueType): ValueType => ({ dtype: dtype === 'float32' ? 'float64' : dtype, shape })
  const g = createEmitter(new Map([...types].map(([name, type]) => [name, wide(type)])), nameSource(graph))
  for (const n of graph.nodes) {
    if (n.op !== 'Conv') {
      g.nodes.push(n)
      continue
    }
    const [x, w, b] = n.inputs
    const [[, c, height, width], [o, , kh, kw], [, , oh, ow]] = [g.shape(x), g.shape(w), g.shape(n.outputs[0])]
    const places: number[] = []
    for (let i = 0; i < c * kh * kw; i++) {
      const [channel, dy, dx] = [Math.floor(i / (kh * kw)), Math.floor(i / kw) % kh, i % kw]
      for (let p = 0; p < oh * ow; p++)
        places.push((channel * height + Math.floor(p / ow) + dy) * width + (p % ow) + dx)
    }
    const index = integerTensor(g.fresh('patches'), 'int64', [c * kh * kw, oh * ow], places)
    g.initializers.set(index.name, index)
    g.types.set(index.name, { dtype: 'int64', shape: index.dims })
    const flat = g.op('Reshape', [x, g.ints([batch, -1])], { shape: [batch, c * height * width] })
    const patches = g.op('Gather', [flat, index.name], { attributes: { axis: 1 }, shape: [batch, ...index.dims] })
    const kernels = g.op('Reshape', [w, g.ints([o, -1])], { shape: [o, c * kh * kw] })
    const products = g.op('MatMul', [kernels, patches], { shape: [batch, o, oh * ow] })
    const sums = g.op('Add', [products, g.op('Reshape', [b, g.ints([o, 1])], { shape: [o, 1] })])
    g.nodes.push(node('Reshape', [sums, g.ints([batch, o, oh, ow])], n.outputs))
  }
  const initializers = new Map(
    [...graph.initializers].map(([name, t]) =>
      t.dtype === 'float32'
        ? [name, { ...t, dtype: 'float64', data: bytesOf(Float64Array.from(floats(t))) } as const]
        : [name, t],
    ),
  )
  return grown({ graph: { ...graph, nodes: [], initializers }, types }, g)
}

/** Which element each maximum took, and which ReLUs let through. */
async function choices(dtype: Float, weights: Weights, x: Float64Array): Promise<number[]> {
  const { graph, types } = lossGraph(dtype).graph
  const shown: string[] = []
  const nodes = graph.nodes.flatMap((n) => {
    const [y] = n.outputs
    if (n.op === 'Relu') shown.push(y)
    if (n.op !== 'MaxPool') return [n]
    shown.push(`${y}_taken`)
    const to = dtype === 'float32' ? 1 : 11
    return [{ ...n, outputs: [y, `${y}_index`] }, node('Cast', [`${y}_index`], [`${y}_taken`], { to })]
  })
  const results = await evaluate({ graph: { ...graph, nodes }, types }, shown, feeds(dtype, weights, x), { dtype })
  return shown.flatMap((name) =>
    Array.from(results[name].data as Float64Array, (v) => (name.endsWith('_taken') ? v : Number(v > 0))),
  )
}

function feeds(dtype: Float, weights: Weights, x: Float64Array): Feeds {
  const as = (values: Float64Array) => (dtype === 'float32' ? Float32Array.from(values) : values)
  const shapes = new Map([['x', [batch, 1, 28, 28]], ...names.map((n) => [n, special.types.get(n)!.shape] as const)])
  return Object.fromEntries(
    [...shapes].map(([name, dims]) => [name, { dtype, dims, data: as(weights.get(name) ?? x) }]),
  )
}

it.each([0, 1, 2, 3, 4, 5])('agree with differences of the gradient, seed %i', async (seed) => {
  const rng = random(seed)
  const x = Float64Array.from({ length: batch * 784 }, () => Math.fround(rng.next()))
  const single = lossGraph('float32')
  const first = backward(single.graph, single.loss, names)
  const gradients = names.map((name) => first.gradients.get(name)!)
  const vectors = drawn(first, gradients, seed + 50)
  const second = backward(probe(first, gradients, { vectors }), 'probe', names)
  const products = await evaluate(second, [...second.gradients.values()], feeds('float32', start, x), {
    dtype: 'float32',
  })

  const eps = 1e-7
  const moved = (by: number): Weights =>
    new Map(names.map((name, k) => [name, start.get(name)!.map((v, i) => v + by * vectors[k][i])]))
  const double = lossGraph('float64')
  const exact = backward(double.graph, double.loss, names)
  const at = (by: number) =>
    evaluate(exact, [...exact.gradients.values()], feeds('float64', moved(by), x), { dtype: 'float64' })
  const [plus, minus] = [await at(eps), await at(-eps)]
  const taken = await choices('float64', moved(eps), x)
  expect(await choices('float64', moved(-eps), x)).toEqual(taken)
  expect(await choices('float32', start, x)).toEqual(taken)

  for (const name of names) {
    const of = exact.gradients.get(name)!
    const [a, b] = [plus[of].data as Float64Array, minus[of].data as Float64Array]
    const product = products[second.gradients.get(name)!].data as Float32Array
    expect(product).toHaveLength(sizeOf(special.types.get(name)!.shape))
    let [difference, size] = [0, 0]
    product.forEach((v, i) => {
      const numeric = (a[i] - b[i]) / (2 * eps)
      difference += (v - numeric) ** 2
      size += numeric ** 2
    })
    expect(Math.sqrt(difference / size), name).toBeLessThan(1e-5)
  }
})
