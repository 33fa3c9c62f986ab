/** Distillation by its formula, written out here in float64 over the logits that both networks give, and by finite differences. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { plainEngine } from '../../grad/engine.ts'
import { model as makeModel, valueInfo } from '../../graph/build.ts'
import { type Model, withGraph, withWeights } from '../../model.ts'
import { openSession } from '../../runtime/session.ts'
import { floats, floatTensor } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import { lenet5, netBuilder } from '../../testing/small-nets.ts'
import { train } from '../train.ts'
import type { TrainOptions } from '../train-options.ts'
import { distill } from './distill.ts'

const digits = drawDigits(128, 5)
const { labels: _, classes: __, ...unlabelled } = digits
const indices = Uint32Array.from({ length: digits.length }, (_, i) => i)

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0, threads: 1, engine: plainEngine, ...more }
}

async function logitsOf(model: Model): Promise<Float32Array> {
  const session = await openSession(model, { threads: 1 })
  const answers = await session.run(options(model).batcher(digits, indices))
  await session.release()
  return answers[model.graph.outputs[0].name].data as Float32Array
}

/** log softmax of each row of ten over a temperature. */
function logSoftmax(logits: Float32Array, temperature: number): number[] {
  return Array.from(logits, (v, i) => {
    const row = [...logits.subarray(i - (i % 10), i - (i % 10) + 10)].map((z) => z / temperature)
    return v / temperature - Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0))
  })
}

function divergence(teacher: Float32Array, student: Float32Array, temperature: number): number {
  const [p, q] = [logSoftmax(teacher, temperature), logSoftmax(student, temperature)]
  return p.reduce((sum, v, i) => sum + Math.exp(v) * (v - q[i]), 0) / digits.length
}

describe('distill', () => {
  it.each([false, true])('its loss is (1 - a)·CE + a·T²·KL; the teacher ends with a Softmax: %s', async (softmax) => {
    const net = lenet5(1)
    const [student, taught] = [await logitsOf(net), await logitsOf(lenet5(9))]
    const logs = logSoftmax(student, 1)
    const crossEntropy = -digits.labels!.reduce((sum, label, i) => sum + logs[i * 10 + label], 0) / digits.length
    const expected = 0.3 * crossEntropy + 0.7 * 9 * divergence(taught, student, 3)
    const regimes = [distill({ teacher: lenet5(9, softmax), temperature: 3, alpha: 0.7 })]
    const { history } = await train(net, digits, options(net, { regimes }))
    expect(history[0].loss).toBeCloseTo(expected, 4)
  })

  it('a student comes nearer to its teacher without any label', async () => {
    const net = lenet5(1)
    const regimes = [distill({ teacher: lenet5(9), temperature: 2, alpha: 1 })]
    const { model } = await train(net, unlabelled, options(net, { regimes, learningRate: 0.01, epochs: 5 }))
    const taught = await logitsOf(lenet5(9))
    const [before, after] = [await logitsOf(net), await logitsOf(model)]
    expect(divergence(taught, after, 1)).toBeLessThan(0.5 * divergence(taught, before, 1))
  })

  it('classes along another axis are matched place by place', async () => {
    const mask = (seed: number): Model => {
      const b = netBuilder(seed)
      const y = b.op('Conv', ['x', b.weight('w', [3, 1, 3, 3])], { pads: [1, 1, 1, 1] })
      return makeModel({
        nodes: b.nodes,
        initializers: b.initializers,
        inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
        outputs: [valueInfo(y, 'float32', ['N', 3, 28, 28])],
      })
    }
    const net = mask(1)
    const task = { outputs: [{ output: net.graph.outputs[0].name, kind: 'mask', axis: 1, why: 'as told' }] } as const
    const loss = async (teacher: Model): Promise<number> => {
      const regimes = [distill({ teacher, alpha: 1, temperature: 1 })]
      return (await train(net, unlabelled, options(net, { regimes, task }))).history[0].loss
    }
    expect(await loss(mask(1))).toBeCloseTo(0, 5)
    const [student, taught] = [await logitsOf(net), await logitsOf(mask(2))]
    let expected = 0
    for (let at = 0; at < student.length / 3; at++) {
      const place = (c: number): number => Math.floor(at / 784) * 3 * 784 + c * 784 + (at % 784)
      const [p, q] = [taught, student].map((logits) => {
        const row = [0, 1, 2].map((c) => logits[place(c)])
        const sum = Math.log(row.reduce((n, z) => n + Math.exp(z), 0))
        return row.map((z) => z - sum)
      })
      expected += p.reduce((n, v, c) => n + Math.exp(v) * (v - q[c]), 0)
    }
    expect(await loss(mask(2))).toBeCloseTo(expected / (student.length / 3), 4)
  })

  it('says in one sentence what it cannot do', async () => {
    expect(() => distill({ teacher: lenet5(1), temperature: 0 })).toThrow('distill: temperature must be above 0, got 0')
    expect(() => distill({ teacher: lenet5(1), alpha: 2 })).toThrow('distill: alpha must be within [0, 1], got 2')
    const net = lenet5(1)
    const taughtBy = (teacher: Model, more: Partial<TrainOptions> = {}) =>
      train(net, digits, options(net, { regimes: [distill({ teacher })], ...more }))
    await expect(taughtBy(net, { loss: (g, y) => g.op('ReduceSum', [y], { shape: [] }) })).rejects.toThrow(
      /^distill: the loss is a function; expected one of the losses by name$/,
    )
    const softened = [distill({ teacher: net, temperature: 2 })]
    await expect(train(net, digits, options(net, { loss: 'mse', regimes: softened }))).rejects.toThrow(
      /^distill: a temperature of 2 for numbers; expected none/,
    )
    const unknown = (features: { student: string; teacher: string }) =>
      train(net, digits, options(net, { regimes: [distill({ teacher: net, features: [features] })] }))
    await expect(unknown({ student: 'v3', teacher: 'lost' })).rejects.toThrow(
      /^distill: the teacher has no value "lost"/,
    )
    await expect(unknown({ student: 'lost', teacher: 'v3' })).rejects.toThrow(
      /^distill: the student has no value "lost"/,
    )
    await expect(unknown({ student: 'v0', teacher: 'v3' })).rejects.toThrow(
      /^distill: it feeds \[32,50,4,4\] of float32 as "feature v3"; expected \[32,20,24,24\] of float32$/,
    )
    const two = withGraph(net, { inputs: [...net.graph.inputs, valueInfo('mask', 'float32', ['N', 1])] })
    await expect(taughtBy(two)).rejects.toThrow(/^distill: the teacher's input "mask" is none of the student's \(x\)/)
    const half = withGraph(net, { inputs: net.graph.inputs.map((i) => ({ ...i, dtype: 'float16' as const })) })
    await expect(taughtBy(half)).rejects.toThrow(/takes float16, the student's float32; expected the same type$/)
    const layer = netBuilder(1)
    const y = layer.op('Gemm', [layer.op('Flatten', ['x']), layer.weight('w', [5, 784])], { transB: 1 })
    const five = makeModel({
      nodes: layer.nodes,
      initializers: layer.initializers,
      inputs: net.graph.inputs,
      outputs: [valueInfo(y, 'float32', ['N', 5])],
    })
    await expect(taughtBy(five)).rejects.toThrow(
      /^distill: it feeds \[32,5\] of float32 as "teacher"; expected \[32,10\] of float32$/,
    )
  })
})

/** Two dense layers on three numbers, hidden value `h`: small enough to nudge every weight. */
function small(seed: number, end: 'numbers' | 'Sigmoid' | 'Softmax'): Model {
  const b = netBuilder(seed)
  const gemm = (x: string, name: string, dims: readonly number[]): string =>
    b.op('Gemm', [x, b.weight(name, dims), b.weight(`${name}.b`, [dims[0]], 1)], { transB: 1 })
  const scores = gemm(b.op('Tanh', [gemm('x', 'w1', [4, 3])]), 'w2', [2, 4])
  const y = end === 'numbers' ? scores : b.op(end, [scores])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', 3])],
    outputs: [valueInfo(y, 'float32', ['N', 2])],
  })
}

const points = 16
const rng = random(8)
const numbersOf = (count: number, of: () => number): Float32Array => Float32Array.from({ length: points * count }, of)
const x = { shape: [3], data: numbersOf(3, () => rng.normal()), kind: 'values' } as const
const batcher: TrainOptions['batcher'] = (data, indices) => ({
  x: {
    dtype: 'float32',
    dims: [indices.length, 3],
    data: Float32Array.from(
      { length: 3 * indices.length },
      (_, i) => data.fields.x.data[3 * indices[Math.floor(i / 3)] + (i % 3)],
    ),
  },
})

describe('distill, against finite differences', () => {
  const targets = (of: () => number) => ({ targets: { shape: [2], data: numbersOf(2, of), kind: 'values' as const } })
  const labels = { labels: Int32Array.from({ length: points }, (_, i) => i % 2), classes: 2 }
  it.each([
    ['numbers', targets(() => rng.normal())],
    ['Sigmoid', targets(() => Number(rng.next() > 0.5))],
    ['Softmax', labels],
  ] as const)('%s: the answers, a hidden value and the labels together', async (end, answers) => {
    const [student, teacher] = [small(1, end), small(2, end)]
    const hidden = student.graph.nodes.find((n) => n.op === 'Tanh')!.outputs[0]
    const data = { id: 'points', length: points, fields: { x }, ...answers }
    const regimes = [
      distill({ teacher, alpha: 0.6, featureWeight: 0.7, features: [{ student: hidden, teacher: hidden }] }),
    ]
    const run = (model: Model, learningRate: number) =>
      train(model, data, {
        batcher,
        regimes,
        learningRate,
        epochs: 1,
        batchSize: points,
        threads: 1,
        engine: plainEngine,
      })
    const lossOf = async (model: Model): Promise<number> => (await run(model, 0)).history[0].loss
    const { model: stepped } = await run(student, 1)
    for (const [name, tensor] of student.graph.initializers) {
      const [before, after] = [floats(tensor), floats(stepped.graph.initializers.get(name)!)]
      for (const at of [0, before.length - 1]) {
        const nudged = (by: number): Model => {
          const values = before.slice()
          values[at] += by
          return withWeights(student, [floatTensor(name, tensor.dims, values)])
        }
        const slope = ((await lossOf(nudged(1e-2))) - (await lossOf(nudged(-1e-2)))) / 2e-2
        expect(before[at] - after[at], `${name}[${at}]`).toBeCloseTo(slope, 3)
      }
    }
  })

  it('numbers are learnt from a teacher without targets', async () => {
    const [student, teacher] = [small(1, 'numbers'), small(2, 'numbers')]
    const data = { id: 'points', length: points, fields: { x } }
    const task = { outputs: [{ output: student.graph.outputs[0].name, kind: 'numbers', why: 'as told' }] } as const
    const { history } = await train(student, data, {
      ...{ batcher, task, learningRate: 0.05, epochs: 200, batchSize: points, threads: 1, engine: plainEngine },
      regimes: [distill({ teacher, alpha: 1 })],
    })
    expect(history.at(-1)!.loss).toBeLessThan(0.05 * history[0].loss)
  })

  it('where nothing says what several values are, they are taken as scores of classes, and that is said', async () => {
    const [student, teacher] = [small(1, 'numbers'), small(2, 'numbers')]
    const said: string[] = []
    await train(
      student,
      { id: 'points', length: points, fields: { x } },
      {
        ...{ batcher, learningRate: 0, epochs: 1, batchSize: points, threads: 1, engine: plainEngine },
        regimes: [distill({ teacher, alpha: 1 })],
        warn: (sentence) => said.push(sentence),
      },
    )
    expect(said).toEqual([
      `output "${student.graph.outputs[0].name}" is taken as scores of classes, as nothing says what it is; --task numbers if it is not`,
    ])
  })
})
