/** Whole numbers that are data are drawn as such where there is no data; ids, masks, positions and lengths stay small. */
import { describe, expect, it } from 'vitest'
import { compress } from '../compress/compress.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import type { Model, Node, Tensor, ValueInfo } from '../model.ts'
import { dataTypes, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { randomData } from './random-data.ts'

const rng = random(7)
const floats = (name: string, dims: number[], size = 1): Tensor =>
  floatTensor(
    name,
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => size * rng.normal()),
  )
const toFloat = (x: string, y: string): Node => node('Cast', [x], [y], { to: dataTypes.float32.code })

function modelOf(inputs: readonly ValueInfo[], nodes: readonly Node[], stored: readonly Tensor[]): Model {
  return model({
    nodes,
    initializers: new Map(stored.map((t) => [t.name, t])),
    inputs,
    outputs: [valueInfo('y', 'float32')],
  })
}

/** By its range, the smallest and the largest number that an input is given. */
async function drawn(net: Model, input: string): Promise<Record<string, [number, number]>> {
  const data = await randomData(net, 1)
  const spans: Record<string, [number, number]> = {}
  for (const { feeds, group } of data.batches(64, 1)) {
    const values = Array.from((feeds as Feeds)[input].data as ArrayLike<number | bigint>, Number)
    const [from, to] = spans[group?.range ?? ''] ?? [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    spans[group?.range ?? ''] = [Math.min(from, ...values), Math.max(to, ...values)]
  }
  return spans
}

/** Load by the hour and the day of a time in seconds since 1970. */
function loadAt(dtype: 'int32' | 'int64'): Model {
  const partOf = (name: string): Node[] => [
    node('Mod', ['time', name], [`${name}.rest`]),
    toFloat(`${name}.rest`, `${name}.float`),
    node('Mul', [`${name}.float`, `${name}.turn`], [`${name}.angle`]),
    node('Sin', [`${name}.angle`], [`${name}.sin`]),
    node('Unsqueeze', [`${name}.sin`, 'last'], [`${name}.column`]),
  ]
  const periods = { hour: 3600, day: 86400, week: 604800 }
  const names = Object.keys(periods)
  return modelOf(
    [valueInfo('time', dtype, ['N'])],
    [
      ...names.flatMap(partOf),
      node(
        'Concat',
        names.map((n) => `${n}.column`),
        ['x'],
        { axis: 1 },
      ),
      node('MatMul', ['x', 'w'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'v'], ['y']),
    ],
    [
      ...Object.entries(periods).flatMap(([name, seconds]) => [
        integerTensor(name, dtype, [], [seconds]),
        floatTensor(`${name}.turn`, [], [(2 * Math.PI) / seconds]),
      ]),
      integerTensor('last', 'int64', [1], [1]),
      floats('w', [3, 128]),
      floats('v', [128, 8], 0.1),
    ],
  )
}

describe('data', () => {
  it.each(['int32', 'int64'] as const)('times of %s are drawn in several orders of magnitude', async (dtype) => {
    const spans = await drawn(loadAt(dtype), 'time')
    expect(Object.keys(spans)).toEqual([
      '0..1',
      '0..255',
      '0..65535',
      '1e9..2e9',
      ...(dtype === 'int64' ? ['1e12..2e12'] : []),
    ])
    expect(spans['0..1']).toEqual([0, 1])
    const [from, to] = spans['1e9..2e9']
    expect(from).toBeGreaterThanOrEqual(1e9)
    expect(to).toBeGreaterThan(1.5e9)
    expect(to).toBeLessThanOrEqual(2e9)
  })

  it('a model of times is compressed, and held to its limit where its output varies', { timeout: 60_000 }, async () => {
    const result = await compress(loadAt('int64'), { seed: 1 })
    expect([result.isUnjudged, result.holds]).toEqual([false, true])
    expect(result.packed.byteLength).toBeLessThan(2000)
    expect(result.trial.judgements.filter((j) => j.varies).map((j) => j.group)).toContain('1e9..2e9')
  })

  it('sounds and pictures are scaled to their type', async () => {
    const sound = modelOf(
      [valueInfo('x', 'int16', ['N', 400])],
      [toFloat('x', 'f'), node('MatMul', ['f', 'w'], ['y'])],
      [floats('w', [400, 4])],
    )
    const [quiet, loud] = (await drawn(sound, 'x'))['-32767..32767']
    expect([quiet, loud].map(Math.sign)).toEqual([-1, 1])
    expect(loud).toBeGreaterThan(10_000)
    expect(quiet).toBeLessThan(-10_000)
    const depth = modelOf(
      [valueInfo('x', 'uint16', ['N', 1, 16, 16])],
      [toFloat('x', 'f'), node('Conv', ['f', 'w'], ['y'])],
      [floats('w', [4, 1, 3, 3])],
    )
    const spans = await drawn(depth, 'x')
    expect(spans['0..65535'][1]).toBeGreaterThan(50_000)
    expect(spans['0..4095'][1]).toBeGreaterThan(3000)
    expect(spans['0..4095'][1]).toBeLessThanOrEqual(4095)
  })
})

describe('no data', () => {
  it('tokens, and the masks and positions beside them', async () => {
    const net = modelOf(
      [valueInfo('ids', 'int64', ['N', 'T']), valueInfo('kept', 'int64', ['N', 'T'])],
      [
        node('Gather', ['table', 'ids'], ['h']),
        toFloat('kept', 'k'),
        node('Unsqueeze', ['k', 'last'], ['column']),
        node('Mul', ['h', 'column'], ['y']),
      ],
      [floats('table', [50, 8]), integerTensor('last', 'int64', [1], [-1])],
    )
    expect(Object.keys(await drawn(net, 'ids'))).toEqual(['as the graph allows'])
    expect(Object.values(await drawn(net, 'ids'))).toEqual([[0, 49]])
    expect(Object.values(await drawn(net, 'kept'))).toEqual([[0, 1]])
  })

  it.each([
    ['a mask that is taken from 1', [toFloat('x', 'f'), node('Sub', ['one', 'f'], ['g'])]],
    ['numbers that are compared', [node('Equal', ['x', 'three'], ['e']), toFloat('e', 'g')]],
    [
      'times that end as places in a table which is too short for them',
      [
        node('Div', ['x', 'three'], ['third']),
        node('Gather', ['short', 'third'], ['a']),
        toFloat('x', 'f'),
        node('Add', ['a', 'f'], ['g']),
      ],
    ],
  ])('%s', async (_, nodes) => {
    const net = modelOf(
      [valueInfo('x', 'int64', ['N', 8])],
      [...nodes, node('MatMul', ['g', 'w'], ['y'])],
      [
        floats('w', [8, 4]),
        floats('short', [4]),
        floatTensor('one', [], [1]),
        integerTensor('three', 'int64', [], [3]),
      ],
    )
    for (const span of Object.values(await drawn(net, 'x'))) expect(span).toEqual([0, 1])
  })

  it('classes that become rows of one 1', async () => {
    const net = modelOf(
      [valueInfo('x', 'int64', ['N'])],
      [node('OneHot', ['x', 'depth', 'offOn'], ['h']), node('MatMul', ['h', 'w'], ['y'])],
      [floats('w', [8, 4]), integerTensor('depth', 'int64', [], [8]), floatTensor('offOn', [2], [0, 1])],
    )
    expect(Object.values(await drawn(net, 'x'))).toEqual([[0, 1]])
  })
})
