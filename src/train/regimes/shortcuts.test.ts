/** Shortcuts fold exactly, layers that count nothing go, and a deep chain learns with shortcuts that does not without. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { plainEngine } from '../../grad/engine.ts'
import { model as makeModel, valueInfo } from '../../graph/build.ts'
import { type Model, withGraph } from '../../model.ts'
import { floatTensor } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import { largestDifference, outputsOf, randomFeeds } from '../../testing/real-models.ts'
import { netBuilder } from '../../testing/small-nets.ts'
import { exampleModel } from '../../testing/test-method.ts'
import { train } from '../train.ts'
import { shortcutSites, shortcuts } from './shortcuts.ts'

/** `depth` convolutions of one width in a chain, each with BatchNormalization if `norm`. */
function chain(depth: number, { norm = false, width = 6, seed = 1 } = {}): Model {
  const b = netBuilder(seed)
  const conv = (x: string, name: string, inputs: number, stride = 1): string => {
    const c = b.op('Conv', [x, b.weight(name, [width, inputs, 3, 3])], {
      ...{ kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [stride, stride] },
    })
    const vector = (part: string, offset: number): string => b.weight(`${name}.${part}`, [width], 150, offset)
    const normed = (): string =>
      b.op('BatchNormalization', [c, vector('scale', 1), vector('bias', 0), vector('mean', 0), vector('var', 1)])
    return b.op('Relu', [norm ? normed() : c])
  }
  let x = conv('x', 'first', 1, 2)
  for (let i = 0; i < depth; i++) x = conv(x, `layer${i}`, width)
  const y = b.op(
    'Gemm',
    [
      b.op('Flatten', [b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] })]),
      b.weight('dense', [10, 49 * width]),
    ],
    {
      transB: 1,
    },
  )
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
    outputs: [valueInfo(y, 'float32', ['N', 10])],
  })
}

const ops = ({ graph }: Model, op: string): number => graph.nodes.filter((n) => n.op === op).length

/** The entered model with other factors: `layers` of a chain, in order. */
function withFactors(model: Model, gammas: readonly number[], alphas: readonly number[]): Model {
  const initializers = new Map(model.graph.initializers)
  const set = (part: string, values: readonly number[]): void => {
    const names = [...initializers.keys()].filter((name) => name.includes(part))
    expect(names.length).toBe(values.length)
    for (const [i, name] of names.entries()) initializers.set(name, floatTensor(name, [1], [values[i]]))
  }
  set('_gamma', gammas)
  set('_alpha', alphas)
  return withGraph(model, { initializers })
}

describe('shortcuts', () => {
  it.each([false, true])('fold into the kernels that they stand beside (BatchNormalization: %s)', async (norm) => {
    const net = chain(4, { norm })
    const { model: entered, leave } = await shortcuts({ lambda: 0.1 }).enter(net, { batchSize: 1, seed: 1 })
    if (!entered || !leave) throw new Error('expected a model with shortcuts')
    const feeds = randomFeeds(net, { batch: 2 })
    // At the start they change nothing.
    expect(largestDifference(await outputsOf(net, feeds), await outputsOf(entered, feeds))).toBeLessThan(1e-6)
    const rng = random(3)
    const draw = (): number[] => Array.from({ length: 4 }, () => 0.5 + rng.next())
    const trained = withFactors(entered, draw(), draw())
    const left = leave(trained, new Map())
    expect(ops(left, 'Conv')).toBe(5)
    expect(ops(left, 'Mul') + ops(left, 'Add')).toBe(0)
    // Only the first layer keeps its normalisation: it halves the size, so no shortcut fits around it.
    expect(ops(left, 'BatchNormalization')).toBe(norm ? 1 : 0)
    const scale = Math.max(
      ...[...(Object.values(await outputsOf(trained, feeds))[0].data as Float32Array)].map(Math.abs),
    )
    expect(largestDifference(await outputsOf(trained, feeds), await outputsOf(left, feeds)) / scale).toBeLessThan(1e-5)
  })

  it('a convolution that came to little goes, and so do the smallest of those that must', async () => {
    const net = chain(4, { norm: true })
    const left = async (options: { threshold?: number; fewest?: number }): Promise<number> => {
      const { model: entered, leave } = await shortcuts({ lambda: 0, ...options }).enter(net, { batchSize: 1, seed: 1 })
      const trained = withFactors(entered as Model, [0.04, -0.8, 0.3, 0.02], [1, 1, 1, 1])
      return ops((leave as NonNullable<typeof leave>)(trained, new Map()), 'Conv') - 1
    }
    expect(await left({})).toBe(2)
    expect(await left({ threshold: 0 })).toBe(4)
    expect(await left({ threshold: 0, fewest: 3 })).toBe(1)
    expect(await left({ threshold: 0.5 })).toBe(1)
  })

  it('is put around what keeps its shape alone', () => {
    expect(shortcutSites(exampleModel()).map(({ conv, last }) => [conv.name, last.op])).toEqual([['second', 'Conv']])
    expect(shortcutSites(chain(3, { norm: true })).map(({ last }) => last.op)).toEqual(
      Array(3).fill('BatchNormalization'),
    )
  })

  it('a deep chain learns with shortcuts that does not learn without', async () => {
    const digits = drawDigits(256, 5)
    const net = chain(8, { width: 8 })
    const batcher = batcherFor(requiredInputs(net), digits, { range: [0, 1], layout: 'NCHW' })
    const options = { batcher, epochs: 4, batchSize: 16, learningRate: 0.05, seed: 1, threads: 1, engine: plainEngine }
    const last = async (regimes: NonNullable<Parameters<typeof train>[2]['regimes']>): Promise<number> =>
      (await train(net, digits, { ...options, regimes })).history.at(-1)?.accuracy ?? 0
    expect(await last([])).toBeLessThan(0.2)
    expect(await last([shortcuts({ lambda: 0, start: 1, threshold: 0 })])).toBeGreaterThan(0.35)
  })

  it('says in one sentence where there is nothing to put a shortcut around', async () => {
    const b = netBuilder()
    const y = b.op('Conv', ['x', b.weight('w', [4, 3, 3, 3])])
    const io = { inputs: [valueInfo('x', 'float32', [1, 3, 8, 8])], outputs: [valueInfo(y, 'float32')] }
    const net = makeModel({ nodes: b.nodes, initializers: b.initializers, ...io })
    await expect(shortcuts({ lambda: 1 }).enter(net, { batchSize: 1, seed: 1 })).rejects.toThrow(
      /^shortcuts: no convolution/,
    )
    expect(() => shortcuts({ lambda: -1 })).toThrow(/lambda must be 0 or more/)
  })
})
