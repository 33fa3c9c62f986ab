import { describe, expect, test } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import { statesOf } from '../graph/states.ts'
import type { Dim, Model, Node } from '../model.ts'
import { dataTypes, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { guessTask } from './guess.ts'
import { describeTask, labelledOutput, parseTask } from './task.ts'

/** A model with one output, made of its input by the operators. */
function ending(ops: readonly string[], shape: readonly Dim[], name = 'y', input: readonly Dim[] = ['N', 64]): Model {
  const nodes = ops.map((op, i) =>
    node(
      op,
      [i === 0 ? 'x' : `v${i}`],
      [i === ops.length - 1 ? name : `v${i + 1}`],
      op === 'Softmax' ? { axis: 1 } : {},
    ),
  )
  return model({
    nodes,
    initializers: new Map(),
    inputs: [valueInfo('x', 'float32', input)],
    outputs: [valueInfo(name, 'float32', shape)],
  })
}

const kindOf = (m: Model, options = {}): string => {
  const [{ kind, axis }] = guessTask(m, options).outputs
  return axis === undefined ? kind : `${kind} ${axis}`
}
const labels = (classes: number) => ({ dataset: { labels: Int32Array.of(0, 1), classes } })

/** An output y [N,3] that nodes make of scores s. */
const madeOfScores = (dtype: 'int64' | 'float32', nodes: readonly Node[]): Model =>
  model({
    nodes: [node('MatMul', ['x', 'w'], ['s']), ...nodes],
    initializers: new Map([
      ['w', floatTensor('w', [64, 3], new Float32Array(192))],
      ['zero', floatTensor('zero', [], [0])],
      ['worth', floatTensor('worth', [3, 1], [1, 2, 4])],
      ['part', floatTensor('part', [3, 1], [0.5, 2, 4])],
      ['k', integerTensor('k', 'int64', [1], [2])],
      ['rising', integerTensor('rising', 'int64', [4], [1, 5, 8, 9])],
      ['mixed', integerTensor('mixed', 'int64', [4], [8, 1, 9, 5])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 64])],
    outputs: [valueInfo('y', dtype, ['N', 3])],
  })

describe('guessing', () => {
  test('numbers where nothing speaks for classes', () => {
    expect(kindOf(ending(['Relu'], ['N', 4]))).toBe('numbers')
    expect(describeTask(guessTask(ending(['Relu'], ['N', 4])))).toEqual([
      'judging output "y" as numbers (no softmax, no labels); --task to change',
    ])
  })

  test('no rows are none that sum to 1', () => {
    const seen = (rows: number) =>
      ({ y: { dtype: 'float32', dims: [rows, 4], data: new Float32Array(4 * rows).fill(0.25) } }) as const
    expect(kindOf(ending(['Relu'], ['N', 4]), { seen: seen(2) })).toBe('classes 1')
    expect(kindOf(ending(['Relu'], ['N', 4]), { seen: seen(0) })).toBe('numbers')
  })

  test('a batch without a name is no class, once the model has run', () => {
    const m = ending(['Relu'], [undefined, 3], 'y', [undefined, 12])
    const y = { dtype: 'float32', dims: [32, 3], data: new Float32Array(96).fill(1 / 3) } as const
    const [guess] = guessTask(m, { ...labels(3), seen: { y } }).outputs
    expect(guess).toMatchObject({ kind: 'classes', axis: 1, labelled: true })
    expect(guess.batchAxis).toBeUndefined()
  })

  test('classes per position, where the data has whole numbers for each', () => {
    const perPosition = (shape: number[], most: number) => ({
      dataset: { targets: { shape, data: [0, most, -100] } },
    })
    const tokens = ending(['Relu'], ['N', 'T', 7], 'y', ['N', 'T', 64])
    expect(kindOf(tokens, perPosition([12], 6))).toBe('tokens 2')
    expect(guessTask(tokens, perPosition([12], 6)).outputs[0]).toMatchObject({ labelled: true, labelsAlone: true })
    // A class that the output has no score for, and numbers that are not whole, are answers of another kind.
    expect(guessTask(tokens, perPosition([12], 7)).outputs[0].labelled).toBeUndefined()
    expect(kindOf(ending(['Relu'], ['N', 12]), { dataset: { targets: { shape: [12], data: [0.5] } } })).toBe('numbers')
    const map = ending(['Relu'], ['N', 5, 16, 16], 'y', ['N', 3, 16, 16])
    expect(kindOf(map, perPosition([16, 16], 4))).toBe('mask 1')
    expect(guessTask(map, perPosition([16, 16], 4)).outputs[0].labelled).toBe(true)
    // Of a size that fits the output itself the numbers are what it gives.
    expect(kindOf(ending(['Relu'], ['N', 4]), perPosition([4], 3))).toBe('numbers')
  })

  test('classes by labels, a softmax, a name or a count', () => {
    expect(kindOf(ending(['Relu'], ['N', 4]), labels(4))).toBe('classes 1')
    expect(kindOf(ending(['Relu'], ['N', 4]), labels(5))).toBe('numbers')
    expect(kindOf(ending(['Relu', 'Softmax'], ['N', 4]))).toBe('classes 1')
    expect(kindOf(ending(['Relu'], ['N', 4], 'scores'))).toBe('classes 1')
    expect(kindOf(ending(['Relu'], ['N', 1000]))).toBe('classes 1')
    expect(kindOf(ending(['Relu'], ['N', 5, 1, 1]), labels(5))).toBe('classes 1')
    expect(kindOf(ending(['Relu'], ['N', 1, 1, 5]), labels(5))).toBe('classes 3')
  })

  test('yes or no, several labels', () => {
    expect(kindOf(ending(['Sigmoid'], ['N', 1]))).toBe('binary')
    expect(kindOf(ending(['Sigmoid'], ['N']))).toBe('binary')
    expect(kindOf(ending(['Relu'], ['N']), labels(2))).toBe('binary')
    expect(kindOf(ending(['Sigmoid'], ['N', 6]))).toBe('labels')
  })

  test('images, masks, tokens, states', () => {
    const image = ['N', 3, 8, 8] as const
    expect(kindOf(ending(['Relu'], ['N', 3, 16, 16], 'y', image))).toBe('image')
    expect(kindOf(ending(['Softmax'], ['N', 5, 8, 8], 'y', image))).toBe('mask 1')
    expect(kindOf(ending(['Relu'], ['N', 7, 30], 'logits'))).toBe('tokens 2')
    expect(kindOf(ending(['Relu'], ['N', 8], 'state_out', ['N', 8]))).toBe('numbers')
    const m = ending(['Relu'], [2, 'N', 8], 'state_out', [2, 'N', 8])
    const renamed = {
      ...m,
      graph: {
        ...m.graph,
        inputs: [valueInfo('a', 'float32', ['N', 4]), valueInfo('state_in', 'float32', [2, 'N', 8])],
        nodes: [node('Relu', ['state_in'], ['state_out'])],
      },
    }
    expect(guessTask(renamed).outputs[0]).toMatchObject({ kind: 'state', batchAxis: 1 })
  })

  test.each([
    ['past_key_values.N.key', 'present.N.key'],
    ['past_key_values_N_decoder_value', 'present_N_decoder_value'],
    ['state.N.in', 'state.N.out'],
    ['h_N', 'new_h_N'],
  ])('states of layers by their names: %s, %s', (from, to) => {
    const layers = ['0', '1', '10']
    const shape = ['N', 4, 'T', 16] as const
    const named = (of: string) => layers.map((layer) => valueInfo(of.replace('N', layer), 'float32', shape))
    const m = model({
      nodes: layers.map((layer) => node('Relu', [from.replace('N', layer)], [to.replace('N', layer)])),
      initializers: new Map(),
      inputs: named(from),
      outputs: named(to),
    })
    expect(guessTask(m).outputs.map((o) => o.kind)).toEqual(['state', 'state', 'state'])
    if (from.includes('key') || from.includes('value'))
      expect(statesOf(m)).toEqual(named(from).map(({ name }, i) => ({ input: name, output: named(to)[i].name })))
  })

  test('scores per pixel are masks whose values count too', () => {
    const image = ['N', 3, 8, 8] as const
    const [of] = guessTask(ending(['Conv'], ['N', 21, 8, 8], 'out', image)).outputs
    expect(of).toMatchObject({ kind: 'mask', axis: 1, valuesToo: true })
    expect(kindOf(ending(['Conv'], ['N', 21, 'h', 'w'], 'out', ['N', 3, 'h', 'w']))).toBe('mask 1')
    expect(kindOf(ending(['Conv'], ['N', 21, 4, 4], 'logits', image))).toBe('mask 1')
    // Maps of features, and one number per pixel, are values alone.
    expect(kindOf(ending(['Conv'], ['N', 21, 4, 4], 'out', image))).toBe('numbers')
    expect(kindOf(ending(['Conv'], ['N', 1, 8, 8], 'out', ['N', 5, 8, 8]))).toBe('numbers')
  })

  test('maps that look like features are numbers, and it is said why', () => {
    const image = ['N', 3, 8, 8] as const
    const guessOf = (...[ops, shape, name = 'out', input = image]: Parameters<typeof ending>) =>
      guessTask(ending(ops, shape, name, input)).outputs[0]
    for (const channels of [16, 64, 256])
      expect(guessOf(['Conv'], ['N', channels, 8, 8])).toMatchObject({
        kind: 'numbers',
        why: `${channels} channels, as maps of features have`,
      })
    expect(guessOf(['Conv', 'Relu'], ['N', 21, 8, 8])).toMatchObject({
      kind: 'numbers',
      why: '21 channels behind Relu, as maps of features have',
    })
    expect(guessOf(['Conv'], ['N', 21, 8, 8], 'mask_features')).toMatchObject({ kind: 'numbers', why: 'its name' })
    // Few classes, and what is named as scores, stay masks.
    expect(guessOf(['Conv'], ['N', 2, 8, 8]).kind).toBe('mask')
    expect(guessOf(['Conv'], ['N', 64, 8, 8], 'logits')).toMatchObject({ kind: 'mask', valuesToo: true })
    // Where the data has a class for each pixel, that is what they are.
    const dataset = { targets: { shape: [8, 8], data: [0, 63] } }
    const [told] = guessTask(ending(['Conv'], ['N', 64, 8, 8], 'out', image), { dataset }).outputs
    expect(told).toMatchObject({ kind: 'mask', axis: 1, labelled: true })
  })

  test('a sequence of one position is judged as a longer one', () => {
    for (const shape of [
      [1, 1, 8],
      [1, 4, 8],
      ['N', 'T', 8],
    ] as const)
      expect(kindOf(ending(['LSTM', 'Sigmoid'], shape))).toBe('numbers')
    expect(kindOf(ending(['Sigmoid'], ['N', 8, 1, 1]))).toBe('labels')
  })

  test('a label beside the scores, and a map of them', () => {
    const m = model({
      nodes: [
        node('Softmax', ['x'], ['p'], { axis: 1 }),
        node('ArgMax', ['x'], ['label'], { axis: 1, keepdims: 0 }),
        { ...node('ZipMap', ['p'], ['map']), domain: 'ai.onnx.ml' },
      ],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32', ['N', 5])],
      outputs: [valueInfo('label', 'int64', ['N']), { name: 'map', opaqueType: Uint8Array.of(1) }],
    })
    const task = guessTask(m, labels(5))
    expect(task.outputs).toMatchObject([
      { output: 'label', kind: 'classes', labelled: true },
      { output: 'p', kind: 'classes', axis: 1, probabilities: true, labelled: true },
    ])
    expect(labelledOutput(task)?.output).toBe('p')
  })

  /** x [N,5] is scores; a label of each is looked up, and `others` are made of x by operators. */
  const labelBeside = (...others: readonly string[]): Model =>
    model({
      nodes: [
        node('ArgMax', ['x'], ['place'], { axis: 1, keepdims: 0 }),
        node('Gather', ['classes', 'place'], ['label']),
        ...others.map((op) => node(op, ['x'], [op])),
      ],
      initializers: new Map([['classes', integerTensor('classes', 'int64', [5], [10, 20, 30, 40, 50])]]),
      inputs: [valueInfo('x', 'float32', ['N', 5])],
      outputs: [valueInfo('label', 'int64', ['N']), ...others.map((op) => valueInfo(op, 'float32', ['N', 5]))],
    })

  test('a label that is looked up is decided by the scores beside it', () => {
    expect(guessTask(labelBeside('Softmax')).outputs).toMatchObject([
      { output: 'label', kind: 'classes', decidedBy: ['Softmax'] },
      { output: 'Softmax', kind: 'classes' },
    ])
  })

  /** y is looked up in `table` at a rounded number of each sample; `stored`: whether the model stores the table. */
  const lookedUp = (table: readonly number[], stored = true): Model => {
    const places = [node('MatMul', ['x', 'w'], ['s']), node('Cast', ['s'], ['place'], { to: dataTypes.int64.code })]
    return model({
      nodes: [
        ...(stored ? places : [node('ArgMax', ['x'], ['place'], { axis: 1, keepdims: 0 })]),
        ...(stored ? [] : [node('Cast', ['x'], ['numbers'], { to: dataTypes.int64.code })]),
        node('Gather', [stored ? 'table' : 'numbers', 'place'], ['y']),
      ],
      initializers: new Map([
        ['w', floatTensor('w', [8, 1], new Float32Array(8))],
        ['table', integerTensor('table', 'int64', [table.length], table)],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 8])],
      outputs: [valueInfo('y', 'int64', ['N', 1])],
    })
  }

  test('what is looked up in a table of numbers in order is a number', () => {
    const gamma = Array.from({ length: 256 }, (_, i) => Math.round(255 * (i / 255) ** 0.45))
    for (const table of [gamma, [...gamma].reverse()])
      expect(guessTask(lookedUp(table), labels(4)).outputs).toMatchObject([
        { output: 'y', kind: 'numbers', why: 'looked up in a table of numbers in order' },
      ])
    // Of few, or in no order, each counts as another answer; but the data's labels are answers of the table only if it has them.
    const [few] = guessTask(lookedUp([0, 1, 2, 3]), labels(4)).outputs
    expect(few).toMatchObject({ kind: 'classes', labelled: true, decidedBy: ['s'] })
    const hashes = Array.from({ length: 64 }, (_, i) => (i * 40_503) % 65_536)
    const [hash] = guessTask(lookedUp(hashes), labels(4)).outputs
    expect([hash.kind, hash.labelled]).toEqual(['classes', undefined])
  })

  test('what is looked up in numbers that the model computes is not decided by the places alone', () => {
    expect(guessTask(lookedUp([], false)).outputs).toMatchObject([{ output: 'y', kind: 'classes' }])
  })

  test('scores that no output shows are judged in place of the label', () => {
    expect(guessTask(labelBeside()).outputs).toMatchObject([{ output: 'x', kind: 'classes', axis: 1 }])
    expect(guessTask(labelBeside('Tanh')).outputs).toMatchObject([
      { output: 'x', kind: 'classes', axis: 1 },
      { output: 'Tanh', kind: 'numbers' },
    ])
  })

  test('floats that are rounded to the types of pictures and sound are numbers; indices of those types are decisions', () => {
    const made = (dtype: 'uint8' | 'int16' | 'int64', ...ops: readonly Node[]): Model =>
      model({
        nodes: [...ops, node('Cast', ['r'], ['y'], { to: dataTypes[dtype].code })],
        initializers: new Map([['most', floatTensor('most', [], [255])]]),
        inputs: [valueInfo('x', 'float32', ['N', 3, 8, 8])],
        outputs: [valueInfo('y', dtype, ['N', 3, 8, 8])],
      })
    expect(kindOf(made('uint8', node('Round', ['x'], ['r'])))).toBe('image')
    expect(kindOf(made('int16', node('Clip', ['x', '', 'most'], ['r'])))).toBe('image')
    expect(kindOf(made('int64', node('Round', ['x'], ['r'])))).toBe('tokens')
    expect(kindOf(made('uint8', node('Greater', ['x', 'most'], ['r'])))).toBe('tokens')
    expect(kindOf(made('uint8', node('ArgMax', ['x'], ['r'], { axis: 1 })))).toBe('mask 1')
  })

  test('the logarithm of a softmax is one of a log-softmax, kept above zero or not', () => {
    const log = (...inner: readonly string[]): Model => ending(['Softmax', ...inner, 'Log'], ['N', 4])
    const known = { kind: 'classes', axis: 1, why: 'it ends in Softmax' }
    expect(guessTask(log()).outputs).toMatchObject([known])
    expect(guessTask(log('Clip')).outputs).toMatchObject([known])
    expect(guessTask(log()).outputs[0].probabilities).toBeFalsy()
    expect(kindOf(ending(['Sigmoid', 'Log'], ['N', 4]))).toBe('numbers')
  })

  test('what whole numbers are made of tells how near they are to turning; ranks are counted as well', () => {
    const made = (...nodes: readonly Node[]): Model => madeOfScores('int64', nodes)
    const toWhole = (from: string) => node('Cast', [from], ['y'], { to: dataTypes.int64.code })
    const behind = { output: 's', kind: 'numbers', decides: true }
    const compared = guessTask(made(node('Greater', ['s', 'zero'], ['above']), toWhole('above')))
    expect(compared.outputs).toMatchObject([{ output: 'y', kind: 'tokens', decidedBy: ['s'] }, behind])
    expect(guessTask(made(toWhole('s'))).outputs).toMatchObject([{ decidedBy: ['s'] }, behind])
    const ranked = guessTask(made(node('TopK', ['s', 'k'], ['best', 'y']))).outputs
    expect(ranked).toMatchObject([{ output: 'y' }, { output: 'best', kind: 'numbers', decides: true }])
    expect(ranked[0].decidedBy).toBeUndefined()
    const learner = {
      ...node('LinearClassifier', ['s'], ['y', 'p'], { coefficients: { type: 'floats', value: [1] } }),
      domain: 'ai.onnx.ml',
    }
    expect(guessTask(made(learner)).outputs).toMatchObject([{ decidedBy: ['p'] }, { output: 'p', decides: true }])
    // Neighbours in a table without order, and remainders, have nothing in common: the floats do not tell what turns.
    const rounded = node('Cast', ['s'], ['at'], { to: dataTypes.int64.code })
    const looked = (name: string) => guessTask(made(rounded, node('Gather', [name, 'at'], ['y']))).outputs
    expect(looked('rising')).toMatchObject([{ decidedBy: ['s'] }, behind])
    for (const [first, second] of [
      looked('mixed'),
      guessTask(made(rounded, node('Mod', ['at', 'k'], ['y']))).outputs,
    ]) {
      expect(first).not.toHaveProperty('decidedBy')
      expect(second).toMatchObject(behind)
    }
    // A count is told by what is compared, of whatever type it is; decisions put together as digits are counted as well.
    const toFloat = node('Cast', ['above'], ['bits'], { to: dataTypes.float32.code })
    const above = [node('Greater', ['s', 'zero'], ['above']), toFloat]
    const summed = guessTask(made(...above, node('ReduceSum', ['bits'], ['sum']), toWhole('sum'))).outputs
    expect(summed).toMatchObject([{ output: 'y', decidedBy: ['s'] }, behind])
    const digits = guessTask(made(...above, node('MatMul', ['bits', 'worth'], ['sum']), toWhole('sum'))).outputs
    expect(digits).toMatchObject([{ output: 'y' }, behind])
    expect(digits[0]).not.toHaveProperty('decidedBy')
    // What is multiplied by weights is scores again.
    const scored = guessTask(made(...above, node('MatMul', ['bits', 'part'], ['sum']), toWhole('sum'))).outputs
    expect(scored).toMatchObject([
      { output: 'y', decidedBy: ['sum'] },
      { output: 'sum', decides: true },
    ])
    // Of an input alone nothing is lost.
    expect(guessTask(made(toWhole('x'))).outputs).toHaveLength(1)
  })

  test('floats that are the answers of comparisons, or signs, are decisions like whole numbers', () => {
    const made = (...nodes: readonly Node[]): Model => madeOfScores('float32', nodes)
    const decided = [
      { output: 'y', kind: 'tokens', decidedBy: ['s'] },
      { output: 's', kind: 'numbers', decides: true },
    ]
    expect(guessTask(made(node('Sign', ['s'], ['y']))).outputs).toMatchObject(decided)
    const toFloat = node('Cast', ['above'], ['y'], { to: dataTypes.float32.code })
    expect(guessTask(made(node('Greater', ['s', 'zero'], ['above']), toFloat)).outputs).toMatchObject(decided)
    // What is rounded may be a temperature: its neighbours are nearly right.
    expect(guessTask(made(node('Round', ['s'], ['y']))).outputs).toMatchObject([{ output: 'y', kind: 'numbers' }])
  })

  test('what a TopK sorts is numbers, whatever its name, its softmax and labels say: the first is always the largest', () => {
    const best = (...ops: readonly string[]): Model =>
      model({
        nodes: [
          node('TopK', ['x', 'k'], ['v0', 'at'], { axis: 1 }),
          ...ops.map((op, i) => node(op, [`v${i}`], [`v${i + 1}`], op === 'Softmax' ? { axis: 1 } : {})),
          node('Identity', [`v${ops.length}`], ['scores']),
        ],
        initializers: new Map([['k', integerTensor('k', 'int64', [1], [5])]]),
        inputs: [valueInfo('x', 'float32', ['N', 64])],
        outputs: [valueInfo('scores', 'float32', ['N', 5])],
      })
    expect(kindOf(best())).toBe('numbers')
    expect(kindOf(best('Softmax'))).toBe('numbers')
    const [told] = guessTask(best(), labels(5)).outputs
    expect([told.kind, told.labelled]).toEqual(['numbers', undefined])
  })

  test('an output of no rows is not judged', () => {
    const seen = { y: { dtype: 'float32', dims: [0, 4], data: new Float32Array(0) } } as const
    expect(kindOf(ending(['Relu'], [0, 4]), { seen })).toBe('ignored')
    // Of as many rows as are found, none this time.
    expect(kindOf(ending(['Relu'], ['found', 4]), { seen })).toBe('numbers')
  })

  test('numbers to regress', () => {
    const dataset = { targets: { shape: [4] } }
    expect(guessTask(ending(['Relu'], ['N', 4], 'scores'), { dataset }).outputs[0]).toMatchObject({
      kind: 'numbers',
      labelled: true,
    })
  })

  test('rows of 0 and 1 are labels where a Sigmoid says so', () => {
    const dataset = { targets: { shape: [4], data: [0, 1, 1, 0] } }
    const kinds = (data: readonly number[]) =>
      guessTask(ending(['Sigmoid'], ['N', 4]), { dataset: { targets: { shape: [4], data } } }).outputs[0].kind
    expect(kinds(dataset.targets.data)).toBe('labels')
    expect(kinds([0, 0.5, 1, 0])).toBe('numbers')
  })

  test('maps of 0 and 1 are masks where a Sigmoid or a name says so', () => {
    const kinds = (op: string, name: string, data: readonly number[]) =>
      guessTask(ending([op], ['N', 1, 2, 2], name), { dataset: { targets: { shape: [1, 2, 2], data } } }).outputs[0]
    expect(kinds('Sigmoid', 'y', [0, 1, 1, 0])).toMatchObject({ kind: 'mask', probabilities: true, labelled: true })
    expect(kinds('Neg', 'mask', [0, 1, 1, 0])).toMatchObject({ kind: 'mask', labelled: true })
    expect(kinds('Neg', 'y', [0, 1, 1, 0])).toMatchObject({ kind: 'numbers', labelled: true })
    expect(kinds('Sigmoid', 'y', [0, 0.5, 1, 0])).toMatchObject({ kind: 'numbers', labelled: true })
  })

  test('of an output whose sizes are open, targets of a shape that it can have; axes of one are no difference', () => {
    const of = (m: Model, shape: readonly number[], data?: readonly number[]) =>
      guessTask(m, { dataset: { targets: { shape, ...(data ? { data } : {}) } } }).outputs[0]
    const mask = ending(['Sigmoid'], ['N', 1, 'h', 'w'], 'y')
    for (const shape of [
      [1, 2, 2],
      [2, 2],
    ])
      expect(of(mask, shape, [0, 1, 1, 0])).toMatchObject({ kind: 'mask', probabilities: true, labelled: true })
    expect(of(mask, [3, 2, 2]).labelled).toBeUndefined()
    // A class per pixel.
    const scores = ending(['Relu'], ['N', 4, 'h', 'w'], 'y')
    expect(of(scores, [1, 2, 2], [0, 3, 1, 0])).toMatchObject({ kind: 'mask', axis: 1, labelled: true })
  })

  test('labels leave boxes alone where another output looks like classes', () => {
    const both = model({
      nodes: [node('Relu', ['x'], ['boxes']), node('Neg', ['x'], ['scores'])],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32', ['N', 4])],
      outputs: [valueInfo('boxes', 'float32', ['N', 4]), valueInfo('scores', 'float32', ['N', 4])],
    })
    const task = guessTask(both, { dataset: { labels: new Int32Array(8), classes: 4 } })
    expect(task.outputs.map((o) => [o.kind, o.labelled])).toEqual([
      ['numbers', undefined],
      ['classes', true],
    ])
  })
})

describe('telling', () => {
  const m = ending(['Relu'], ['N', 4])

  test('one kind, or a kind an output', () => {
    const guessed = guessTask(m)
    expect(parseTask('classes', guessed, m).outputs[0]).toMatchObject({ kind: 'classes', axis: 1, why: 'as told' })
    expect(parseTask('y=embedding', guessed, m).outputs[0]).toMatchObject({ kind: 'embedding', axis: 1 })
  })

  test('one sentence for what is not known', () => {
    expect(() => parseTask('boxes', guessTask(m), m)).toThrow(/--task: "boxes"; expected classes, binary/)
    expect(() => parseTask('z=numbers', guessTask(m), m)).toThrow('the model has no output "z"; expected one of "y"')
  })

  test('scores beside boxes are numbers, each of which may find one', () => {
    const detector = (positions: Dim): Model =>
      model({
        nodes: [node('Relu', ['x'], ['boxes']), node('Softmax', ['x'], ['scores'], { axis: 2 })],
        initializers: new Map(),
        inputs: [valueInfo('x', 'float32', ['N', 108, 4])],
        outputs: [valueInfo('scores', 'float32', ['N', 108, 4]), valueInfo('boxes', 'float32', ['N', positions, 4])],
      })
    expect(guessTask(detector(108)).outputs.map((o) => o.kind)).toEqual(['numbers', 'numbers'])
    expect(guessTask(detector('all')).outputs.map((o) => o.kind)).toEqual(['numbers', 'numbers'])
    expect(guessTask(detector(60)).outputs.map((o) => o.kind)).toEqual(['mask', 'numbers'])
  })

  test('what is found among the inputs alone is as large for every copy of a model', () => {
    const m: Model = model({
      nodes: [node('NonZero', ['x'], ['at']), node('Cast', ['at'], ['y'], { to: 1 })],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32', ['N', 64])],
      outputs: [valueInfo('y', 'float32', [2, 'k'])],
    })
    expect(kindOf(m)).toBe('numbers')
  })
})
