/** How many random inputs a model is judged on: as many as its cost allows. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model, Node } from '../model.ts'
import { openJudge } from '../task/judge.ts'
import { resolveTask } from '../task/resolve-task.ts'
import { dataTypes, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { randomData } from './random-data.ts'

/** y = Σ over the steps of s of tanh(s·w): a loop over an axis that the model leaves open. */
function loopOver(): Model {
  const body = {
    name: 'body',
    nodes: [node('MatMul', ['step', 'w'], ['p']), node('Tanh', ['p'], ['t']), node('Add', ['state', 't'], ['next'])],
    initializers: new Map(),
    inputs: [valueInfo('state', 'float32', ['N', 8]), valueInfo('step', 'float32', ['N', 8])],
    outputs: [valueInfo('next', 'float32', ['N', 8])],
  }
  return model({
    nodes: [node('Scan', ['x', 'steps'], ['y'], { body: { type: 'graph', value: body }, num_scan_inputs: 1 })],
    initializers: new Map([['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['N', 8]), valueInfo('steps', 'float32', ['T', 'N', 8])],
    outputs: [valueInfo('y', 'float32', ['N', 8])],
  })
}

it('counts the steps of a loop, whose many small calls take long', async () => {
  const straight = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['N', 8])],
    outputs: [valueInfo('y', 'float32', ['N', 8])],
  })
  const [looped, plain] = [await randomData(loopOver(), 1), await randomData(straight, 1)]
  expect(plain.mostSamples).toBe(1024)
  expect(looped.mostSamples).toBeLessThan(512)
  expect(looped.mostSamples).toBeGreaterThan(3)
})

/** The nearest of 64 vectors of 64 numbers for each of 256 rows, of all squared distances; `shown` is an output of numbers. */
function nearest(shown: 'code' | 'distances'): Model {
  const rng = random(4)
  const book = Float32Array.from({ length: 64 * 64 }, () => rng.normal())
  return model({
    nodes: [
      node('Unsqueeze', ['x', 'two'], ['rows']),
      node('Sub', ['rows', 'book'], ['apart']),
      node('ReduceSumSquare', ['apart'], ['distances'], { axes: [3], keepdims: 0 }),
      node('ArgMin', ['distances'], ['code'], { axis: 2, keepdims: 0 }),
    ],
    initializers: new Map([
      ['two', integerTensor('two', 'int64', [1], [2])],
      ['book', floatTensor('book', [64, 64], book)],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 256, 64])],
    outputs: [
      shown === 'code' ? valueInfo('code', 'int64', ['N', 256]) : valueInfo('distances', 'float32', ['N', 256, 64]),
    ],
  })
}

it('counts values that nothing multiplies, and those that an output is decided by', async () => {
  const [code, distances] = [await randomData(nearest('code'), 1), await randomData(nearest('distances'), 1)]
  // What is compared is the same 64 distances per row either way, but for the code of each.
  expect(code.mostSamples).toBeLessThanOrEqual(distances.mostSamples)
  expect(code.mostSamples).toBeGreaterThan(distances.mostSamples * 0.9)
  // Of 32 samples in a call, the most that are fed, these would be 34 million differences.
  expect(code.perCall).toBeLessThan(32)
})

/** What comes of x·w, of w small weights of both signs. */
function after(nodes: readonly Node[]): Model {
  const rng = random(3)
  return model({
    nodes: [node('MatMul', ['x', 'w'], ['h']), ...nodes],
    initializers: new Map([
      [
        'w',
        floatTensor(
          'w',
          [16, 32],
          Float32Array.from({ length: 512 }, () => rng.normal() / 4),
        ),
      ],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'float32', ['N', 32])],
  })
}

it('leaves out ranges in which the model overflows, and is the same again by what a recipe says', async () => {
  const net = after([node('Exp', ['h'], ['y'])])
  const drawn = await randomData(net, 1)
  expect([drawn.ranges, drawn.leftOut, drawn.isNeverFinite]).toEqual([['normalised', '0..1'], ['0..255'], false])
  const groups = [...drawn.batches(16, 1)].map(({ group }) => group?.range)
  expect(new Set([...groups, ...(drawn.data.groups ?? []).map(({ range }) => range)])).toEqual(new Set(drawn.ranges))
  const again = await randomData(net, 1, { samples: drawn.calibrationSamples, batchSize: drawn.perCall })
  expect([...again.data.calibration()]).toEqual([...drawn.data.calibration()])
})

it('keeps every range where each has minus infinity, a logarithm of nothing, and where all overflow', async () => {
  const logarithm = await randomData(after([node('Relu', ['h'], ['r']), node('Log', ['r'], ['y'])]), 1)
  const root = await randomData(after([node('Sqrt', ['h'], ['y'])]), 1)
  expect([logarithm.ranges.length, logarithm.leftOut, logarithm.isNeverFinite]).toEqual([3, [], false])
  expect([root.ranges.length, root.leftOut, root.isNeverFinite]).toEqual([3, [], true])
})

it('draws above 0 where a model overflows in every range that people feed', async () => {
  const net = model({
    nodes: [node('Log', ['x'], ['l']), node('MatMul', ['l', 'w'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [64, 8], new Float32Array(512).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['N', 64])],
    outputs: [valueInfo('y', 'float32', ['N', 8])],
  })
  const drawn = await randomData(net, 1)
  expect([drawn.ranges, drawn.leftOut]).toEqual([
    ['0.01..0.99', '1..255'],
    ['normalised', '0..1', '0..255'],
  ])
  const values = [...drawn.batches(16, 1)].flatMap(({ feeds }) => [...(feeds.x.data as Float32Array)])
  expect([Math.min(...values) >= 0.0099, Math.max(...values) <= 255]).toEqual([true, true])
})

it('a mask is drawn in the type of its input, floats too', async () => {
  for (const dtype of ['float32', 'float16', 'uint8', 'int16'] as const) {
    const net = model({
      nodes: [
        node('Cast', ['hole'], ['h'], { to: 1 }),
        node('Greater', ['h', 'half'], ['is']),
        node('MatMul', ['x', 'w'], ['made']),
        node('Where', ['is', 'made', 'x'], ['y']),
      ],
      initializers: new Map([
        ['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))],
        ['half', floatTensor('half', [], [0.5])],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 8]), valueInfo('hole', dtype, ['N', 8])],
      outputs: [valueInfo('y', 'float32', ['N', 8])],
    })
    const [{ feeds }] = (await randomData(net, 1)).batches(4, 1)
    expect(feeds.hole.dtype).toBe(dtype)
  }
})

it('says how many inputs it draws, which are no fewer than calls take', async () => {
  const net = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['N', 8])],
    outputs: [valueInfo('y', 'float32', ['N', 8])],
  })
  const random = await randomData(net, 1)
  for (const wanted of [16, 100]) {
    const drawn = [...random.batches(wanted, 1)].reduce((sum, { count = 0 }) => sum + count, 0)
    expect(random.drawn(wanted)).toBeGreaterThan(wanted)
    expect(random.ranges.length * random.drawn(wanted)).toBe(drawn)
  }
})

it('counts the values of outputs, which take long to compare', async () => {
  const net = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [8, 300], new Float32Array(2400).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['batch', 'tokens', 8])],
    outputs: [valueInfo('y', 'float32', ['batch', 'tokens', 300])],
  })
  const { mostSamples, ranges } = await randomData(net, 1)
  // 512 tokens of 300 values each.
  expect(mostSamples).toBe(Math.floor(2 ** 24 / (512 * 300 * ranges.length)))
})

it('sequences of an open length are drawn short as well, apart from long ones, and again alike by what a recipe says', async () => {
  const net = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['batch', 'tokens', 8])],
    outputs: [valueInfo('y', 'float32', ['batch', 'tokens', 8])],
  })
  const random = await randomData(net, 1)
  const lengths = new Map<number | undefined, Set<number>>()
  for (const { feeds, group } of random.batches(16, 1))
    lengths.set(group?.length, (lengths.get(group?.length) ?? new Set()).add(feeds.x.dims[1]))
  expect(lengths).toEqual(
    new Map([
      [undefined, new Set([512])],
      [16, new Set([16])],
    ]),
  )
  const calibration = [...random.data.calibration()]
  expect(new Set(calibration.map(({ x }) => x.dims[1]))).toEqual(new Set([512, 16]))
  const again = await randomData(net, 1, { samples: random.calibrationSamples, batchSize: random.perCall })
  expect([...again.data.calibration()]).toEqual(calibration)
})

it('a model that says it takes any number of samples, and runs with one alone, is given one', async () => {
  const net = model({
    nodes: [node('Reshape', ['x', 'shape'], ['h']), node('MatMul', ['h', 'w'], ['y'])],
    initializers: new Map([
      ['shape', integerTensor('shape', 'int64', [2], [1, 8])],
      ['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))],
    ]),
    inputs: [valueInfo('x', 'float32', ['batch', 8])],
    outputs: [valueInfo('y', 'float32', ['batch', 8])],
  })
  const random = await randomData(net, 1)
  expect(random.perCall).toBe(1)
  expect([...random.batches(4, 1)][0].feeds.x.dims).toEqual([1, 8])
})

it('an output of one value per call is seen to vary, though all samples fit one call', async () => {
  const net = model({
    nodes: [node('MatMul', ['x', 'w'], ['h']), node('ReduceMax', ['h'], ['y'], { keepdims: 0 })],
    initializers: new Map([['w', floatTensor('w', [8, 8], new Float32Array(64).fill(0.1))]]),
    inputs: [valueInfo('x', 'float32', ['batch', 8])],
    outputs: [valueInfo('y', 'float32', [])],
  })
  const random = await randomData(net, 1)
  const judge = await openJudge(net, {
    task: await resolveTask(net, {}),
    inputs: () => random.batches(16, 1),
  })
  expect(judge.varying.some(({ varies }) => varies)).toBe(true)
})

/** A mean over the steps of x [N,T,8] of which a second input counts how many there are. */
function meanOver(name: string, ...nodes: readonly Node[]): Model {
  return model({
    nodes,
    initializers: new Map([
      [
        'steps',
        integerTensor(
          'steps',
          'int64',
          [1, 12],
          Array.from({ length: 12 }, (_, i) => i),
        ),
      ],
      ['last', integerTensor('last', 'int64', [1], [-1])],
      ['one', integerTensor('one', 'int64', [1], [1])],
      ['w', floatTensor('w', [1, 12, 8], new Float32Array(96).fill(0.1))],
      ['r', floatTensor('r', [1, 12, 4], new Float32Array(48).fill(0.1))],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 12, 8]), valueInfo(name, name === 'len32' ? 'int32' : 'int64', ['N'])],
    outputs: [valueInfo('y', 'float32')],
  })
}

it('draws lengths of sequences that are as long as the longest at most, however the model counts them', async () => {
  const float = { to: dataTypes.float32.code }
  const compared = meanOver(
    'n',
    node('Unsqueeze', ['n', 'last'], ['column']),
    node('Less', ['steps', 'column'], ['there']),
    node('Cast', ['there'], ['mask'], float),
    node('Unsqueeze', ['mask', 'last'], ['wide']),
    node('Mul', ['x', 'wide'], ['y']),
  )
  const divided = meanOver(
    'x_lengths',
    node('ReduceSum', ['x', 'one'], ['sum'], { keepdims: 0 }),
    node('Cast', ['x_lengths'], ['n'], float),
    node('Unsqueeze', ['n', 'last'], ['column']),
    node('Div', ['sum', 'column'], ['y']),
  )
  const recurrent = meanOver(
    'len32',
    node('Transpose', ['x'], ['turned'], { perm: [1, 0, 2] }),
    node('GRU', ['turned', 'w', 'r', '', 'len32'], ['y'], { hidden_size: 4 }),
  )
  for (const made of [compared, divided, recurrent]) {
    const [, { name }] = made.graph.inputs
    const drawn = [...(await randomData(made, 1)).batches(64, 1)].flatMap(({ feeds }) =>
      Array.from(feeds[name].data as BigInt64Array, Number),
    )
    expect([Math.min(...drawn), Math.max(...drawn)], name).toEqual([1, 12])
  }
})
