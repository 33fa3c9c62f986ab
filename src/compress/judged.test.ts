/** What no search may ruin: outputs that an argmax says nothing of. */
import { expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { splitDataset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { openTrial } from '../evaluate/trial.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { int8 } from '../quantize/int8.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { guessTask } from '../task/guess.ts'
import { parseMaxLoss } from '../task/max-loss.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'

const rng = random(5)
const drawn = (dims: readonly number[], scale: number) =>
  floatTensor(
    '',
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => scale * rng.normal()),
  )

it('keeps a box, whose mean hides its noise and whose largest number never changes', async () => {
  const box: Model = model({
    nodes: [
      node('MatMul', ['x', 'w1'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'w2'], ['e']),
      node('Add', ['e', 'b'], ['y']),
    ],
    initializers: new Map([
      ['w1', { ...drawn([16, 64], 0.25), name: 'w1' }],
      ['w2', { ...drawn([64, 4], 0.125), name: 'w2' }],
      ['b', floatTensor('b', [4], [100, 20, 5, 5])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'float32', ['N', 4])],
  })
  const data = Float32Array.from({ length: 600 * 16 }, () => rng.normal())
  const whole = { id: 'drawn', length: 600, fields: { x: { shape: [16], data, kind: 'values' as const } } }
  const [train, test] = splitDataset(whole, 0.4, 1)
  const inputs = requiredInputs(box)
  const batcher = batcherFor(inputs, train, guessPreprocess(inputs, train), box.graph.outputs)
  const said: string[] = []
  const result = await compress(box, {
    seed: 1,
    data: { splits: { train, test }, batcher },
    say: (sentence) => said.push(sentence),
  })
  expect(said).toEqual(['judging output "y" as numbers (no softmax, no labels); --task to change'])
  expect(result.holds).toBe(true)
  const run = (m: Model) =>
    withSession(
      () => openSession(m),
      async (session) => (await session.run({ x: { dtype: 'float32', dims: [600, 16], data } })).y.data as Float32Array,
    )
  const [before, after] = [await run(box), await run(result.model)]
  for (let c = 0; c < 4; c++) {
    const exact = Float64Array.from({ length: 600 }, (_, i) => before[i * 4 + c])
    const mean = exact.reduce((a, b) => a + b, 0) / 600
    const signal = exact.reduce((sum, v) => sum + (v - mean) ** 2, 0)
    const noise = exact.reduce((sum, v, i) => sum + (v - after[i * 4 + c]) ** 2, 0)
    expect(10 * Math.log10(signal / noise)).toBeGreaterThan(26)
  }
})

it('says that targets which fit no output are not used', async () => {
  const net: Model = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', { ...drawn([16, 8], 0.25), name: 'w' }]]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'float32', ['N', 8])],
  })
  const values = { shape: [16], data: drawn([300, 16], 1).data, kind: 'values' as const }
  const data = new Float32Array(values.data.slice().buffer)
  const targets = { shape: [3], kind: 'values' as const, data: Float32Array.from({ length: 900 }, () => rng.normal()) }
  const whole = { id: 'drawn', length: 300, fields: { x: { ...values, data } }, targets }
  const [train, test] = splitDataset(whole, 0.4, 1)
  const inputs = requiredInputs(net)
  const batcher = batcherFor(inputs, train, guessPreprocess(inputs, train), net.graph.outputs)
  const warned: string[] = []
  await compress(net, { seed: 1, data: { splits: { train, test }, batcher }, warn: (w) => warned.push(w) })
  expect(warned.join()).toMatch(
    /drawn.*: its targets of 3 numbers per sample fit no output \("y" \[N,8\]\) and are not used/,
  )
})

it('leaves in float what int8 was told to, between layers on integers', async () => {
  const layers = ['a', 'b', 'c']
  const image: Model = model({
    nodes: layers.flatMap((name, i) => [
      node('Conv', [i === 0 ? 'x' : `${layers[i - 1]}r`, `w${name}`], [name], { pads: [1, 1, 1, 1] }),
      ...(i < 2 ? [node('Relu', [name], [`${name}r`])] : []),
    ]),
    initializers: new Map(
      layers.map((name, i) => {
        const dims = [i === 2 ? 3 : 16, i === 0 ? 3 : 16, 3, 3]
        return [`w${name}`, { ...drawn(dims, 1 / Math.sqrt(dims[1] * 9)), name: `w${name}` }] as const
      }),
    ),
    inputs: [valueInfo('x', 'float32', ['N', 3, 16, 16])],
    outputs: [valueInfo('c', 'float32', ['N', 3, 16, 16])],
  })
  const feeds = {
    x: { dtype: 'float32', dims: [8, 3, 16, 16], data: Float32Array.from({ length: 8 * 768 }, () => rng.next()) },
  }
  const noise = async (optimize: 'disabled' | 'all') => {
    const mixed = await int8(image, { excludeNodes: ['b'] }, { data: { calibration: () => [feeds] } })
    const run = (m: Model, how: 'disabled' | 'all') =>
      withSession(
        () => openSession(m, { optimize: how }),
        async (session) => (await session.run(feeds)).c.data as Float32Array,
      )
    const [exact, found] = [await run(image, 'all'), await run(mixed, optimize)]
    return exact.reduce((sum, v, i) => sum + (v - found[i]) ** 2, 0)
  }
  // The runtime's optimiser must not make the layer's weight coarse.
  expect((await noise('all')) / (await noise('disabled'))).toBeLessThan(1.3)
})

it('answers that an output does not give judge nothing: coming nearer to them is no gain', async () => {
  const linear = (names: readonly string[], scale: number): Model =>
    model({
      nodes: names.map((name) => node('MatMul', ['x', `w_${name}`], [name])),
      initializers: new Map(names.map((name, i) => [`w_${name}`, { ...weight(i, scale), name: `w_${name}` }])),
      inputs: [valueInfo('x', 'float32', ['N', 8])],
      outputs: names.map((name) => valueInfo(name, 'float32', ['N', 4])),
    })
  const values = [100, 1].map((scale) => Float32Array.from({ length: 32 }, () => scale * rng.normal()))
  const weight = (i: number, scale: number) =>
    floatTensor(
      '',
      [8, 4],
      values[i].map((v) => (i === 0 ? v * scale : v)),
    )
  const x = Float32Array.from({ length: 300 * 8 }, () => rng.normal())
  const fields = { x: { shape: [8], data: x, kind: 'values' as const } }
  const trial = async (names: readonly string[], answers: Partial<Dataset>) => {
    const original = linear(names, 1)
    const set: Dataset = { id: 'drawn', length: 300, fields, ...answers }
    const inputs = requiredInputs(original)
    const batcher = batcherFor(inputs, set, guessPreprocess(inputs, set), original.graph.outputs)
    const task = guessTask(original, { dataset: set })
    const data = { splits: { train: set, test: set }, batcher }
    const judge = await openTrial(original, { data }, { task, max: parseMaxLoss('0.5') })
    return judge(linear(names, 0.5))
  }
  // Targets in a unit that is a thousand times the output's: half the output explains more of them.
  const targets = { shape: [4], data: Float32Array.from({ length: 1200 }, () => rng.normal()), kind: 'values' as const }
  const numbers = await trial(['y'], { targets })
  expect(numbers.verdict.worst).toMatchObject({ unit: 'dB of noise' })
  expect(numbers.verdict.spent).toBeGreaterThan(1)
  // Labels that the second output knows and the first, whose classes they would be, does not.
  const labels = Int32Array.from({ length: 300 }, (_, n) => {
    const w = values[1]
    const scores = [0, 1, 2, 3].map((c) => {
      let sum = 0
      for (let k = 0; k < 8; k++) sum += x[n * 8 + k] * w[k * 4 + c]
      return sum
    })
    return scores.indexOf(Math.max(...scores))
  })
  const heads = await trial(['o1', 'o2'], { labels, classes: 4 })
  expect(heads.verdict.findings).toMatchObject([
    { output: 'o1', kind: 'numbers', unit: 'dB of noise' },
    { output: 'o2', kind: 'classes', unit: 'points of accuracy', loss: 0 },
  ])
  expect(heads.verdict.spent).toBeGreaterThan(1)
})

it('numbers of several means and scales explain their own variance each: a constant answer explains none', async () => {
  const at = (scale: readonly number[]): Model =>
    model({
      nodes: [node('Mul', ['x', 's'], ['m']), node('Add', ['m', 'b'], ['y'])],
      initializers: new Map([
        ['s', floatTensor('s', [3], scale)],
        ['b', floatTensor('b', [3], [-1e4, 0, 1000])],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 3])],
      outputs: [valueInfo('y', 'float32', ['N', 3])],
    })
  const x = Float32Array.from({ length: 900 }, () => rng.normal())
  const answers = x.map((v, i) => v * [10, 0.1, 1][i % 3] + [-1e4, 0, 1000][i % 3])
  const fields = { x: { shape: [3], data: x, kind: 'values' as const } }
  const set: Dataset = { id: 'd', length: 300, fields, targets: { shape: [3], data: answers, kind: 'values' } }
  const original = at([10, 0.1, 1])
  const inputs = requiredInputs(original)
  const batcher = batcherFor(inputs, set, guessPreprocess(inputs, set), original.graph.outputs)
  const task = guessTask(original, { dataset: set })
  const data = { splits: { train: set, test: set }, batcher }
  const judge = await openTrial(original, { data }, { task, max: parseMaxLoss('0.5') })
  expect((await judge(at([0, 0, 0]))).verdict.worst?.loss).toBeCloseTo(100, 1)
  // The smallest of them counts like the largest.
  expect((await judge(at([10, 0, 1]))).verdict.worst?.loss).toBeCloseTo(100 / 3, 1)
})

it('of a model of which nothing is the same from run to run, the weights stay, and it says why', async () => {
  const dropout: Model = model({
    nodes: [
      node('Dropout', ['w1', 'ratio', 'training'], ['d']),
      node('MatMul', ['x', 'd'], ['h']),
      node('MatMul', ['h', 'w2'], ['y']),
    ],
    initializers: new Map([
      ['w1', { ...drawn([16, 64], 0.25), name: 'w1' }],
      ['w2', { ...drawn([64, 4], 0.125), name: 'w2' }],
      ['ratio', floatTensor('ratio', [], [0.5])],
      ['training', { name: 'training', dtype: 'bool', dims: [], data: Uint8Array.of(1) }],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'float32', ['N', 4])],
  })
  const warned: string[] = []
  const result = await compress(dropout, { seed: 1, warn: (sentence) => warned.push(sentence) })
  expect([result.holds, result.isUnjudged]).toEqual([true, true])
  expect(result.model.graph.initializers.get('w2')?.data).toEqual(dropout.graph.initializers.get('w2')?.data)
  expect(warned.join('\n')).toMatch(/no loss can be judged, .*Dropout "d".*computes no values before them/)
})

/** A code of x, to which `noise` times random numbers are added, and what is made of it. */
const drawsCode = (noise: number): Model =>
  model({
    nodes: [
      node('MatMul', ['x', 'encode'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'middle'], ['mean']),
      node('RandomNormalLike', ['mean'], ['drawn']),
      node('Mul', ['drawn', 'noise'], ['scaled']),
      node('Add', ['mean', 'scaled'], ['code']),
      node('MatMul', ['code', 'decode'], ['y']),
    ],
    initializers: new Map([
      ['encode', { ...drawn([16, 64], 0.25), name: 'encode' }],
      ['middle', { ...drawn([64, 16], 0.125), name: 'middle' }],
      ['decode', { ...drawn([16, 32], 0.25), name: 'decode' }],
      ['noise', floatTensor('noise', [], [noise])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'float32', ['N', 32])],
  })

it('judges what a model computes before it draws random numbers, and leaves what comes after', {
  timeout: 60_000,
}, async () => {
  const given = drawsCode(3)
  const result = await compress(given, { seed: 1 })
  expect(result.holds).toBe(true)
  expect(result.task.outputs).toMatchObject([
    { output: 'y', kind: 'ignored', why: 'it differs from run to run, as RandomNormalLike "drawn" draws' },
    { output: 'mean', kind: 'numbers' },
  ])
  const { initializers } = result.model.graph
  expect(initializers.get('decode')?.data).toEqual(given.graph.initializers.get('decode')?.data)
  expect([initializers.has('encode'), initializers.has('middle')]).toEqual([false, false])
  expect(result.warnings.join('\n')).toMatch(/RandomNormalLike "drawn".*those are not judged/)
})

it('judges on data what decides whole numbers that are drawn, and ruins nothing', { timeout: 60_000 }, async () => {
  const weights = ['w1', 'w2'].map((name) => ({ ...drawn([32, 32], 0.2), name }))
  const draws = model({
    nodes: [
      node('MatMul', ['x', 'w1'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'w2'], ['l']),
      node('Sigmoid', ['l'], ['p']),
      node('Bernoulli', ['p'], ['y'], { dtype: 7 }),
    ],
    initializers: new Map(weights.map((w) => [w.name, w])),
    inputs: [valueInfo('x', 'float32', ['N', 32])],
    outputs: [valueInfo('y', 'int64', ['N', 32])],
  })
  const samples: Dataset = {
    id: 'made',
    length: 200,
    fields: { x: { shape: [32], data: Float32Array.from({ length: 6400 }, () => rng.normal()), kind: 'values' } },
  }
  const splits = { train: samples, test: samples }
  const inputs = requiredInputs(draws)
  const result = await compress(draws, {
    seed: 1,
    data: { splits, batcher: batcherFor(inputs, samples, guessPreprocess(inputs, samples), draws.graph.outputs) },
  })
  expect(result.task.outputs.map((o) => [o.output, o.kind])).toEqual([
    ['y', 'ignored'],
    ['p', 'numbers'],
  ])
  expect(result.trial.judgements.map((j) => j.task.output)).toEqual(['p'])
  expect(result.trial.judgements[0].snrDb).toBeGreaterThan(29)
  expect(result.holds).toBe(true)
})

it('judges an output in which random numbers make less difference than may be lost', { timeout: 60_000 }, async () => {
  const result = await compress(drawsCode(1e-4), { seed: 1 })
  expect(result.task.outputs).toMatchObject([{ output: 'y', kind: 'numbers' }])
  expect(result.holds).toBe(true)
  expect(result.model.graph.initializers.has('decode')).toBe(false)
})

it('judges what NonMaxSuppression looks at, whose finds differ in number, and leaves alone what nothing judges', async () => {
  const tensors = {
    ...{ w: drawn([16, 64], 0.25), wb: drawn([64, 32], 0.125), ws: drawn([64, 8], 0.125), after: drawn([4, 64], 0.5) },
    boxShape: integerTensor('', 'int64', [3], [1, 8, 4]),
    scoreShape: integerTensor('', 'int64', [3], [1, 1, 8]),
    most: integerTensor('', 'int64', [1], [8]),
    threshold: floatTensor('', [1], [0.5]),
    second: integerTensor('', 'int64', [1], [2]),
    zero: integerTensor('', 'int64', [1], [0]),
    one: integerTensor('', 'int64', [1], [1]),
  }
  const detector: Model = model({
    nodes: [
      node('MatMul', ['x', 'w'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'wb'], ['flat']),
      node('Reshape', ['flat', 'boxShape'], ['boxes']),
      node('MatMul', ['r', 'ws'], ['logits']),
      node('Sigmoid', ['logits'], ['p']),
      node('Reshape', ['p', 'scoreShape'], ['scores']),
      node('NonMaxSuppression', ['boxes', 'scores', 'most', 'threshold', 'threshold'], ['selected'], {
        center_point_box: 1,
      }),
      node('Gather', ['selected', 'second'], ['column'], { axis: 1 }),
      node('Squeeze', ['column', 'one'], ['which']),
      node('Squeeze', ['boxes', 'zero'], ['all']),
      node('Gather', ['all', 'which'], ['found'], { axis: 0 }),
      node('MatMul', ['found', 'after'], ['described']),
    ],
    initializers: new Map(Object.entries(tensors).map(([name, t]) => [name, { ...t, name }])),
    inputs: [valueInfo('x', 'float32', [1, 16])],
    outputs: [valueInfo('found', 'float32', ['k', 4]), valueInfo('described', 'float32', ['k', 64])],
  })
  const data = Float32Array.from({ length: 80 * 16 }, () => rng.normal())
  const whole = { id: 'drawn', length: 80, fields: { x: { shape: [16], data, kind: 'values' as const } } }
  const [train, test] = splitDataset(whole, 0.5, 1)
  const inputs = requiredInputs(detector)
  const batcher = batcherFor(inputs, train, guessPreprocess(inputs, train), detector.graph.outputs)
  const said: string[] = []
  const result = await compress(detector, {
    seed: 1,
    data: { splits: { train, test }, batcher },
    say: (sentence) => said.push(sentence),
  })
  expect(said).toEqual([
    ...['found', 'described'].map(
      (name) =>
        `output "${name}" is not judged (it depends on what NonMaxSuppression finds, which is judged by what it looks at)`,
    ),
    ...['boxes', 'scores'].map(
      (name) => `judging output "${name}" as numbers (what is found depends on it); --task to change`,
    ),
  ])
  expect(result.holds).toBe(true)
  const stored = [...result.model.graph.initializers.values()].filter((t) => t.dims.length === 2)
  expect(stored.filter((t) => t.dtype === 'float32').map((t) => t.name)).toEqual(['after'])
  expect(result.kept.get('described')).toBe('no output that is judged depends on it')
})
