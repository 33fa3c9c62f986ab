/** Parameters that exporters store once because they begin alike learn apart; what a network shares stays shared. */
import { expect, it } from 'vitest'
import { bindSplits } from '../data/bind-splits.ts'
import { drawDigits } from '../data/digits.ts'
import { dataHandle } from '../data/handle.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { trainQuantised } from '../retrain/train-quantised.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { withOwnCopies } from './own-copies.ts'
import { train } from './train.ts'

const filled = (name: string, dims: readonly number[], value: number): Tensor =>
  floatTensor(name, dims, new Float32Array(sizeOf(dims)).fill(value))

function drawn(name: string, dims: readonly number[]): Tensor {
  const rng = random(sizeOf(dims))
  return floatTensor(
    name,
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => 0.3 * rng.normal()),
  )
}

const input = valueInfo('x', 'float32', ['N', 1, 28, 28])

function of(nodes: readonly Node[], tensors: readonly Tensor[]): Model {
  const initializers = new Map(tensors.map((t) => [t.name, t]))
  return model({ nodes, initializers, inputs: [input], outputs: [valueInfo('y', 'float32', ['N', 10])] })
}

/** As PyTorch's older exporter writes it: one tensor of ones, one of zeros, and Identity nodes; or without these. */
function normalised(identities: boolean): Model {
  const name = (of: string, own: string): string => (identities ? own : of)
  const [scale, offset] = [(own: string) => name('one', own), (own: string) => name('zero', own)]
  const copies = ['scale2', 'variance1', 'variance2', 'scale3'].map((own) => node('Identity', ['one'], [own]))
  const zeros = ['offset2', 'mean1', 'mean2', 'offset3'].map((own) => node('Identity', ['zero'], [own]))
  return of(
    [
      ...(identities ? [...copies, ...zeros] : []),
      node('Conv', ['x', 'w1'], ['c1'], { pads: [1, 1, 1, 1], strides: [2, 2] }),
      node('BatchNormalization', ['c1', 'one', 'zero', offset('mean1'), scale('variance1')], ['n1']),
      node('Relu', ['n1'], ['r1']),
      node('Conv', ['r1', 'w2'], ['c2'], { pads: [1, 1, 1, 1], strides: [2, 2] }),
      node(
        'BatchNormalization',
        ['c2', scale('scale2'), offset('offset2'), offset('mean2'), scale('variance2')],
        ['n2'],
      ),
      node('GlobalAveragePool', ['n2'], ['p']),
      node('Flatten', ['p'], ['f']),
      node('LayerNormalization', ['f', scale('scale3'), offset('offset3')], ['l']),
      node('Gemm', ['l', 'w3', 'b3'], ['y'], { transB: 1 }),
    ],
    [
      ...[drawn('w1', [8, 1, 3, 3]), drawn('w2', [8, 8, 3, 3]), drawn('w3', [10, 8])],
      ...[filled('one', [8], 1), filled('zero', [8], 0), filled('b3', [10], 0)],
    ],
  )
}

async function answers(net: Model, data: Float32Array): Promise<Float32Array> {
  return withSession(
    () => openSession(net),
    async (session) => {
      const found = await session.run({ x: { dtype: 'float32', dims: [data.length / 784, 1, 28, 28], data } })
      return found.y.data as Float32Array
    },
  )
}

it.each([true, false])('scales and offsets that begin alike learn apart (Identity nodes: %s)', async (identities) => {
  const net = normalised(identities)
  const data = drawDigits(128, 1)
  const { batcher } = bindSplits(net, { train: data, test: data }, { range: [0, 1] })
  const warnings: string[] = []
  const { model: tuned, history } = await train(net, data, {
    ...{ batcher, epochs: 2, batchSize: 32, learningRate: 0.05, frozenStatistics: true },
    warn: (text) => warnings.push(text),
  })
  expect(warnings).toEqual([])
  const of = (op: string, place: number): number[][] =>
    tuned.graph.nodes
      .filter((n) => n.op === op)
      .map((n) => [...floats(tuned.graph.initializers.get(n.inputs[place]) as Tensor)])
  // Kept statistics are as they were; scales and offsets have moved, each in its own way.
  expect(
    of('BatchNormalization', 3)
      .flat()
      .every((v) => v === 0),
  ).toBe(true)
  expect(
    of('BatchNormalization', 4)
      .flat()
      .every((v) => v === 1),
  ).toBe(true)
  const learnt = [1, 2].flatMap((place) => [...of('BatchNormalization', place), ...of('LayerNormalization', place)])
  expect(new Set(learnt.map((values) => values.join())).size).toBe(6)
  for (const values of learnt) expect(new Set(values).size).toBeGreaterThan(1)
  expect(history[1].loss).toBeLessThan(history[0].loss)
})

it('trains under quantisation too, where ranges are found before', async () => {
  const net = normalised(true)
  const data = drawDigits(64, 1)
  const { batcher } = bindSplits(net, { train: data, test: data }, { range: [0, 1] })
  const made = await trainQuantised(
    net,
    { epochs: 1, batch: 32 },
    { data: dataHandle({ train: data, batcher }, { seed: 1 }) },
  )
  expect(made.graph.nodes.some((n) => n.op === 'QuantizeLinear')).toBe(true)
})

it('gives the same outputs', async () => {
  const x = Float32Array.from({ length: 784 * 3 }, (_, i) => Math.sin(i))
  for (const net of [normalised(true), normalised(false)]) {
    const own = withOwnCopies(net)
    expect(own.graph.nodes.some((n) => n.op === 'Identity')).toBe(false)
    expect(await answers(own, x)).toEqual(await answers(net, x))
  }
})

it('what a network shares on purpose stays shared', () => {
  const net = of(
    [
      node('Identity', ['b'], ['same']),
      node('Flatten', ['x'], ['f']),
      node('Gemm', ['f', 'w', 'b'], ['h1'], { transB: 1 }),
      node('Gemm', ['h1', 'v', 'zero'], ['h2'], { transB: 1 }),
      node('Gemm', ['h2', 'v', 'zero'], ['h3'], { transB: 1 }),
      node('Gemm', ['h3', 'v2', 'same'], ['y'], { transB: 1 }),
    ],
    [drawn('w', [10, 784]), drawn('b', [10]), drawn('v', [10, 10]), drawn('v2', [10, 10]), filled('zero', [10], 0)],
  )
  const own = withOwnCopies(net)
  expect(own.graph.nodes.map((n) => n.inputs.slice(1).join())).toEqual(['', 'w,b', 'v,zero', 'v,zero', 'v2,b'])
  const plain = of(
    [node('Flatten', ['x'], ['f']), node('Gemm', ['f', 'w', 'b'], ['y'])],
    [drawn('w', [784, 10]), drawn('b', [10])],
  )
  expect(withOwnCopies(plain)).toBe(plain)
})
