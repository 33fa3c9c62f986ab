import { describe, expect, test } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { dataTypes, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { guessTask } from './guess.ts'
import { openJudge } from './judge.ts'
import { parseMaxLoss } from './max-loss.ts'
import { expectedTurns, meanAndError, pairedInterval, shareInterval } from './statistics.ts'
import type { OutputKind, Task } from './task.ts'
import { verdictOf } from './verdict.ts'

/** y = x · scale + shift, on [N,4]. */
function affine(scale: readonly number[], shift: readonly number[]): Model {
  return model({
    nodes: [node('Mul', ['x', 's'], ['m']), node('Add', ['m', 'b'], ['y'])],
    initializers: new Map([
      ['s', floatTensor('s', [4], scale)],
      ['b', floatTensor('b', [4], shift)],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 4])],
    outputs: [valueInfo('y', 'float32', ['N', 4])],
  })
}

const rng = random(1)
const samples = 400
const data = Float32Array.from({ length: samples * 4 }, () => rng.normal())
const inputs = () => [{ feeds: { x: { dtype: 'float32', dims: [samples, 4], data } }, fed: samples, count: samples }]
const ones = [1, 1, 1, 1]
const box = [100, 20, 5, 5]
const judgeAs = async (kind: OutputKind, original: Model, other: Model) => {
  const guessed = guessTask(original)
  const task: Task = {
    outputs: guessed.outputs.map((o) => ({ ...o, kind, ...(kind === 'classes' ? { axis: 1 } : {}) })),
  }
  const [judgement] = await (await openJudge(original, { task, inputs })).compare(other)
  return judgement
}

describe('values about their mean', () => {
  test('a constant answer scores 0 dB, however large the mean', async () => {
    const { snrDb, varies } = await judgeAs('numbers', affine(ones, box), affine([0, 0, 0, 0], box))
    expect(Math.abs(snrDb as number)).toBeLessThan(0.1)
    expect(varies).toBe(true)
  })

  test('each number of a box counts by its own variation', async () => {
    // The first number varies 100 times as much as the others; a tenth of noise in one of four.
    const { snrDb } = await judgeAs('numbers', affine([100, 1, 1, 1], box), affine([100, 1, 1, 1.1], box))
    expect(snrDb).toBeCloseTo(-10 * Math.log10(0.01 / 4), 1)
    const pooled = await judgeAs('image', affine([100, 1, 1, 1], box), affine([100, 1, 1, 1.1], box))
    expect(pooled.snrDb).toBeGreaterThan(50)
  })

  /** What is left of [N, ..dims], the samples lying on `batchAxis`, when what scales each element is another. */
  async function snrOf(dims: readonly number[], [before, after]: readonly [number[], number[]], batchAxis = 0) {
    const [size, whole] = [before.length, dims.toSpliced(batchAxis, 0, 100)]
    const scaled = (by: readonly number[]): Model =>
      model({
        nodes: [node('Mul', ['x', 's'], ['y'])],
        initializers: new Map([['s', floatTensor('s', dims.toSpliced(batchAxis, 0, 1), by)]]),
        inputs: [valueInfo('x', 'float32', whole)],
        outputs: [valueInfo('y', 'float32', whole)],
      })
    const values = Float32Array.from({ length: 100 * size }, () => rng.normal())
    const feeds = { x: { dtype: 'float32', dims: whole, data: values } } as const
    const task: Task = { outputs: [{ output: 'y', kind: 'numbers', batchAxis, why: 'test' }] }
    const judge = await openJudge(scaled(before), { task, inputs: () => [{ feeds, fed: 100, count: 100 }] })
    const [{ snrDb }] = await judge.compare(scaled(after))
    return snrDb
  }

  test.each([
    { what: 'two numbers, however far apart', dims: [2], small: 1, by: 1e10 },
    { what: 'a row of twenty, ten of them in another unit', dims: [20], small: 10, by: 100 },
    { what: 'channels of a field', dims: [2, 5, 20], small: 100, by: 1e5 },
    { what: 'series of several sensors', dims: [3, 40], small: 40, by: 1000 },
    { what: 'samples on the second axis', dims: [2, 20], small: 20, by: 1000, batchAxis: 1 },
  ])('what is ruined in a small unit shows beside large ones: $what', async ({ dims, small, by, batchAxis }) => {
    const scales = (few: number) =>
      Array.from({ length: dims.reduce((a, b) => a * b) }, (_, j) => (j < small ? few : by))
    // One group in two, or in three, has nothing left.
    expect(await snrOf(dims, [scales(1), scales(0)], batchAxis)).toBeLessThan(5)
  })

  test('features that hardly move are no unit of their own', async () => {
    const scales = (few: number) => Array.from({ length: 64 }, (_, j) => (j < 3 ? few : 1 + j / 64))
    expect(await snrOf([64], [scales(1e-4), scales(0)])).toBeGreaterThan(60)
  })

  test('one sample alone varies about the mean of its numbers, of which no one has a variation of its own', async () => {
    const [task, feeds] = [
      guessTask(affine(ones, box)),
      { x: { dtype: 'float32', dims: [1, 4], data: data.slice(0, 4) } },
    ]
    const judge = await openJudge(affine(ones, box), { task, inputs: () => [{ feeds }] })
    const [{ snrDb }] = await judge.compare(affine(ones, [100, 20, 5, 6]))
    const y = box.map((b, j) => b + data[j])
    const mean = y.reduce((a, b) => a + b, 0) / 4
    expect(snrDb).toBeCloseTo(10 * Math.log10(y.reduce((sum, v) => sum + (v - mean) ** 2, 0)), 3)
  })

  test('equal outputs have no noise; what is no number has nothing else', async () => {
    expect((await judgeAs('numbers', affine(ones, box), affine(ones, box))).snrDb).toBe(Number.POSITIVE_INFINITY)
    const broken = affine([Number.NaN, 1, 1, 1], box)
    expect((await judgeAs('numbers', affine(ones, box), broken)).snrDb).toBe(Number.NEGATIVE_INFINITY)
  })

  test('whole numbers that are told to be numbers are compared as such', async () => {
    const whole = (factor: number): Model => {
      const { graph, ...rest } = affine([factor, factor, factor, factor], box)
      const nodes = [...graph.nodes, node('Cast', ['y'], ['count'], { to: dataTypes.int64.code })]
      return { ...rest, graph: { ...graph, nodes, outputs: [valueInfo('count', 'int64', ['N', 4])] } }
    }
    const { snrDb, changed } = await judgeAs('numbers', whole(100), whole(110))
    expect(snrDb).toBeCloseTo(20, 0)
    expect(changed).toBeUndefined()
  })

  test('an output that does not depend on the input does not vary', async () => {
    expect((await judgeAs('numbers', affine([0, 0, 0, 0], box), affine(ones, box))).varies).toBe(false)
  })
})

test('whole numbers that are the same for every sample do not vary', async () => {
  const whole = (name: string, from: string) => node('Cast', [from], [name], { to: dataTypes.int64.code })
  const net = model({
    nodes: [
      whole('constant', 'b'),
      node('Add', ['x', 'b'], ['h']),
      whole('rounded', 'h'),
      node('Mul', ['x', 'z'], ['o']),
      whole('zeros', 'o'),
    ],
    initializers: new Map([
      ['b', floatTensor('b', [4], box)],
      ['z', floatTensor('z', [], [0])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 4])],
    outputs: [
      valueInfo('constant', 'int64', [4]),
      valueInfo('rounded', 'int64', ['N', 4]),
      valueInfo('zeros', 'int64', ['N', 4]),
    ],
  })
  // Two calls: what has no axis of samples is one sample of each.
  const task = { outputs: guessTask(net).outputs.filter((o) => !o.decides) }
  const judge = await openJudge(net, { task, inputs: () => [...inputs(), ...inputs()] })
  expect(judge.varying.map(({ output, varies }) => [output, varies])).toEqual([
    ['constant', false],
    ['rounded', true],
    ['zeros', false],
  ])
})

describe('ranges of random inputs', () => {
  /** Whether y varies in each range, by its name; of numbers, or of scores of classes found in images. */
  const varyingIn = async (original: Model, scales: Readonly<Record<string, number>>, isImage = false) => {
    const guessed = guessTask(original)
    const task: Task = isImage ? { outputs: guessed.outputs.map((o) => ({ ...o, kind: 'classes', axis: 1 })) } : guessed
    const batches = Object.entries(scales).map(([range, scale]) => ({
      feeds: { x: { dtype: 'float32', dims: [samples, 4], data: data.map((v) => v * scale) } },
      ...{ fed: samples, count: samples, group: { range, isNoise: false, isImage } },
    }))
    const judge = await openJudge(original, { task, inputs: () => batches })
    return Object.fromEntries(judge.varying.map(({ group, varies }) => [group, varies]))
  }
  const offset = affine(ones, [300, 300, 300, 300])
  const probability = (scale: number): Model =>
    model({
      ...{ nodes: [node('Mul', ['x', 's'], ['m']), node('Sigmoid', ['m'], ['y'])] },
      ...{ initializers: new Map([['s', floatTensor('s', [1], [scale])]]) },
      ...{ inputs: [valueInfo('x', 'float32', ['N', 4])], outputs: [valueInfo('y', 'float32', ['N', 4])] },
    })

  test('numbers that are mostly an offset count in the range where they vary less, too', async () => {
    expect(await varyingIn(offset, { normalised: 1, '0..255': 80 })).toEqual({ normalised: true, '0..255': true })
  })

  test('scores of classes in images of a range that is not theirs do not', async () => {
    // What all classes have in common decides nothing.
    const classes = affine(ones, [300, -300, 200, -200])
    const varying = await varyingIn(classes, { normalised: 1, '0..255': 80 }, true)
    expect(varying).toEqual({ normalised: false, '0..255': true })
  })

  test('probabilities around a half count beside a range where they are sure', async () => {
    expect(await varyingIn(probability(1), { small: 0.3, large: 80 })).toEqual({ small: true, large: true })
  })

  test('outputs that do not change beyond rounding count nowhere', async () => {
    const varying = await varyingIn(affine(ones, [3e6, 3e6, 3e6, 3e6]), { tiny: 1e-3, '0..255': 80 })
    expect(varying).toEqual({ tiny: false, '0..255': true })
  })
})

test('what the scores of all classes have in common is no signal', async () => {
  const shared = (scale: number): Model =>
    model({
      nodes: [
        node('MatMul', ['x', 'much'], ['common']),
        node('Mul', ['x', 's'], ['own']),
        node('Add', ['common', 'own'], ['y']),
      ],
      initializers: new Map([
        ['much', floatTensor('much', [4, 4], new Float32Array(16).fill(100))],
        ['s', floatTensor('s', [], [scale])],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 4])],
      outputs: [valueInfo('y', 'float32', ['N', 4])],
    })
  const judged = async (kind: 'classes' | 'numbers'): Promise<number> => {
    const task: Task = { outputs: [{ output: 'y', kind, ...(kind === 'classes' ? { axis: 1 } : {}), why: 'told' }] }
    const [{ snrDb }] = await (await openJudge(shared(1), { task, inputs })).compare(shared(0.5))
    return snrDb as number
  }
  expect(await judged('classes')).toBeCloseTo(6, 0)
  expect(await judged('numbers')).toBeGreaterThan(30)
})

test('numbers that never vary take nothing off the noise of those that do, and an offset is no signal', async () => {
  const moving = (step: number): Model => affine([step, 0, 0, 0], [0, 1, 1, 1])
  const [padded] = await (await openJudge(moving(1), { task: guessTask(moving(1)), inputs })).compare(moving(0.9))
  expect(padded.snrDb).toBeCloseTo(20, 1)
  const far = (step: number): Model => affine([step, step, step, step], [3000, 3000, 3000, 3000])
  const [offset] = await (await openJudge(far(1), { task: guessTask(far(1)), inputs })).compare(far(0.9))
  expect(offset.snrDb).toBeCloseTo(20, 1)
})

describe('verdicts', () => {
  const max = parseMaxLoss('0.5')

  test('argmax would have passed the constant box; numbers do not', async () => {
    const dead = affine([0, 0, 0, 0], box)
    const asClasses = verdictOf([await judgeAs('classes', affine(ones, box), dead)], max)
    expect(asClasses.findings.map((f) => [f.unit, f.spent > 1])).toEqual([
      ['points of agreement', false],
      ['dB of noise', true],
    ])
    expect(verdictOf([await judgeAs('numbers', affine(ones, box), dead)], max).spent).toBeGreaterThan(10)
  })

  test('where a guess says so, the values behind decisions count as well', async () => {
    const judgement = await judgeAs('classes', affine(ones, ones), affine([1.1, 1.1, 1.1, 1.1], ones))
    const task = { ...judgement.task, valuesToo: true }
    expect(verdictOf([judgement], max).findings.map((f) => f.unit)).toEqual(['points of agreement'])
    const { findings, spent } = verdictOf([{ ...judgement, task }], max)
    expect(findings.map((f) => f.unit)).toEqual(['points of agreement', 'dB of noise'])
    expect(spent).toBeGreaterThan(1)
  })

  test('decisions that change count in points', async () => {
    const judgement = await judgeAs('classes', affine(ones, [0, 0, 0, 0]), affine(ones, [0.05, 0, 0, 0]))
    const { findings } = verdictOf([judgement], max)
    expect(findings).toMatchObject([{ unit: 'points of agreement', samples }])
    expect(findings[0].loss).toBeCloseTo(100 * (judgement.changed?.share as number), 10)
    const [low, high] = findings[0].interval as [number, number]
    expect(low).toBeLessThan(findings[0].loss)
    expect(high).toBeGreaterThan(findings[0].loss)
  })

  test('on random inputs a label is not counted where the scores that decide it are judged', async () => {
    const labelled = (scale: readonly number[]): Model => {
      const { graph, ...rest } = affine(scale, [0, 0, 0, 0])
      const label = node('ArgMax', ['y'], ['label'], { axis: 1, keepdims: 0 })
      const outputs = [...graph.outputs, valueInfo('label', 'int64', ['N'])]
      return { ...rest, graph: { ...graph, nodes: [...graph.nodes, label], outputs } }
    }
    const original = labelled(ones)
    const judge = await openJudge(original, { task: guessTask(original), inputs })
    const judged = await judge.compare(labelled([1, 1, 1, 1.02]))
    const outputs = (valuesOnly: boolean) => verdictOf(judged, max, { valuesOnly }).findings.map((f) => f.output)
    expect(outputs(true)).toEqual(['y'])
    expect(outputs(false)).toEqual(['y', 'label'])
  })

  test('a search may not spend what few samples cannot show', () => {
    const task = { output: 'y', kind: 'classes', axis: 1, why: '' } as const
    const right = { before: 1, after: 1, lost: 0, gained: 0, loss: { share: 0, error: 0 } }
    const judged = (total: number, snrDb: number) =>
      verdictOf([{ task, samples: total, varies: true, snrDb, snrErrorDb: 0, right: { ...right, total } }], max, {
        reserve: 0.5,
        searching: true,
      }).spent
    expect(judged(20, 15)).toBeGreaterThan(1)
    expect(judged(5000, 15)).toBeLessThan(1)
    // Noise as low as values must keep is harmless, however few samples say so.
    expect(judged(20, 31)).toBeLessThan(1)
  })

  test('a gain is no room to spend', () => {
    const task = { output: 'y', kind: 'classes', axis: 1, why: '' } as const
    const loss = { share: -0.02, error: 0.01, expected: { share: -0.02, error: 0.002 } }
    const right = { before: 0.9, after: 0.92, lost: 0, gained: 20, total: 1000, loss }
    const { spent } = verdictOf([{ task, samples: 1000, varies: true, snrDb: 15, snrErrorDb: 0, right }], max, {
      reserve: 0.5,
      searching: true,
    })
    expect(spent).toBeGreaterThan(0.5)
  })
})

describe('what may be lost', () => {
  test.each([
    ['0.5', 0.5, 30],
    ['1', 1, 24],
    ['30dB', Number.POSITIVE_INFINITY, 30],
    ['1%', Number.POSITIVE_INFINITY, 40],
    ['0.2,25dB', 0.2, 25],
  ])('%s', (text, points, snrDb) => {
    const max = parseMaxLoss(text)
    expect(max.points).toBe(points)
    expect(max.snrDb).toBeCloseTo(snrDb, 1)
  })

  test.each(['', 'x', '-1', '101', '1,2', '30dB,1%'])('refuses "%s"', (text) => {
    expect(() => parseMaxLoss(text)).toThrow('--max-loss')
  })
})

describe('intervals', () => {
  /** How often the interval holds the truth, by simulation. */
  function coverage(trials: number, holds: (draw: () => number) => boolean): number {
    const draw = random(7)
    let held = 0
    for (let t = 0; t < trials; t++) if (holds(() => draw.next())) held++
    return held / trials
  }

  test('of a share hold it about 95 times of 100', () => {
    for (const [p, n] of [
      [0.01, 200],
      [0.3, 50],
    ]) {
      const held = coverage(1500, (next) => {
        const seen = Array.from({ length: n }, next).filter((u) => u < p).length
        const { low, high } = shareInterval(seen, n)
        return low <= p && p <= high
      })
      expect(held).toBeGreaterThan(0.92)
    }
  })

  test('of a paired loss hold it about 95 times of 100', () => {
    const [lostRate, gainedRate, n] = [0.02, 0.012, 300]
    const held = coverage(1500, (next) => {
      const draws = Array.from({ length: n }, next)
      const lost = draws.filter((u) => u < lostRate).length
      const gained = draws.filter((u) => u > 1 - gainedRate).length
      const { low, high } = pairedInterval({ lost, gained, total: n })
      return low <= lostRate - gainedRate && lostRate - gainedRate <= high
    })
    expect(held).toBeGreaterThan(0.93)
  })

  test('expected turns have the mean of those counted, and less spread', () => {
    const draw = random(3)
    const counted: number[] = []
    const expected: number[] = []
    for (let t = 0; t < 120; t++) {
      const margins = Float64Array.from({ length: 300 }, () => 0.6 + draw.normal())
      const noise = margins.map(() => 0.15 * draw.normal())
      counted.push(meanAndError(margins.map((m, i) => Number(m > 0) - Number(m + noise[i] > 0))).mean)
      expected.push(meanAndError(expectedTurns(margins, noise)).mean)
    }
    const [a, b] = [meanAndError(counted), meanAndError(expected)]
    expect(Math.abs(a.mean - b.mean)).toBeLessThan(3 * a.error)
    expect(b.error).toBeLessThan(0.75 * a.error)
  })
})

test('a class of few pixels is not lost within the points of all pixels', async () => {
  const [images, side] = [40, 16]
  const pixels = side * side
  const shifted = (by: number): Model =>
    model({
      nodes: [node('Add', ['x', 'b'], ['mask'])],
      initializers: new Map([['b', floatTensor('b', [1, 2, 1, 1], [0, by])]]),
      inputs: [valueInfo('x', 'float32', ['N', 2, side, side])],
      outputs: [valueInfo('mask', 'float32', ['N', 2, side, side])],
    })
  // One pixel of each image is of class 1, by a margin of 1.
  const scores = new Float32Array(images * 2 * pixels)
  const labels = new Float32Array(images * pixels)
  for (let i = 0; i < images; i++) {
    const at = Math.floor(rng.next() * pixels)
    labels[i * pixels + at] = 1
    for (let p = 0; p < pixels; p++) scores[(2 * i + 1) * pixels + p] = p === at ? 1 : -1
  }
  const targets = { shape: [side, side], data: labels, kind: 'values' as const }
  const dataset = { id: 'drawn', length: images, fields: {}, targets }
  const original = shifted(0)
  const task = guessTask(original, { dataset })
  const judge = await openJudge(original, {
    task,
    dataset,
    inputs: () => [
      {
        feeds: { x: { dtype: 'float32', dims: [images, 2, side, side], data: scores } },
        ...{ fed: images, count: images, indices: Uint32Array.from({ length: images }, (_, i) => i) },
      },
    ],
  })
  const lost = async (by: number) =>
    verdictOf(await judge.compare(shifted(by)), parseMaxLoss('0.5')).findings.map(({ unit, loss }) => [unit, loss])
  // All of class 1: one pixel in 256, and half of what there is to be right about.
  expect(await lost(-2)).toEqual([
    ['points of accuracy', 100 / pixels],
    ['points of accuracy per class', expect.closeTo(50, 6)],
  ])
  expect(await lost(-0.5)).toEqual([
    ['points of accuracy', 0],
    ['points of accuracy per class', 0],
  ])
})

test('where nearly all decisions are for one class, the scores behind them are judged too', async () => {
  const alarm = (weight: number): Model =>
    model({
      nodes: [node('Mul', ['x', 's'], ['m']), node('Sigmoid', ['m'], ['y'])],
      initializers: new Map([['s', floatTensor('s', [1], [weight])]]),
      inputs: [valueInfo('x', 'float32', ['N', 1])],
      outputs: [valueInfo('y', 'float32', ['N', 1])],
    })
  const spent = async (positives: number): Promise<number> => {
    const x = Float32Array.from({ length: 1000 }, (_, i) => (i < positives ? 2 : -2) + 0.1 * rng.normal())
    const judge = await openJudge(alarm(1), {
      task: guessTask(alarm(1)),
      inputs: () => [{ feeds: { x: { dtype: 'float32', dims: [1000, 1], data: x } }, fed: 1000, count: 1000 }],
    })
    // No decision changes, and yet little is left of the scores.
    return verdictOf(await judge.compare(alarm(0.3)), parseMaxLoss('0.5')).spent
  }
  expect(await spent(4)).toBeGreaterThan(1)
  expect(await spent(500)).toBe(0)
})

test('which of the scores that a mask leaves is the largest, however far below the others are', async () => {
  // y = Where(x > -1, scale x, -1e8): of about 84 % of the scores the largest decides.
  const masked = (scale: readonly number[]): Model => {
    const { graph } = affine(scale, [0, 0, 0, 0])
    return model({
      nodes: [
        ...graph.nodes.map((n) => ({ ...n, outputs: n.outputs.map((o) => (o === 'y' ? 'scores' : o)) })),
        node('Greater', ['x', 'least'], ['legal']),
        node('Where', ['legal', 'scores', 'none'], ['y']),
      ],
      initializers: new Map([
        ...graph.initializers,
        ['least', floatTensor('least', [1], [-1])],
        ['none', floatTensor('none', [1], [-1e8])],
      ]),
      inputs: graph.inputs,
      outputs: graph.outputs,
    })
  }
  const decided = (scale: readonly number[]): number[] =>
    Array.from({ length: samples }, (_, s) => {
      const scores = [...data.subarray(4 * s, 4 * s + 4)].map((x, j) => (x > -1 ? x * scale[j] : -1e8))
      return scores.indexOf(Math.max(...scores))
    })
  const other = [1, 0.3, 1.5, 1]
  const [before, after] = [decided(ones), decided(other)]
  const { changed } = await judgeAs('classes', masked(ones), masked(other))
  expect(changed?.share).toBeCloseTo(before.filter((d, i) => d !== after[i]).length / samples, 6)
  expect(changed?.share).toBeGreaterThan(0.1)
})
