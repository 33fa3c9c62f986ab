/** Models that draw random numbers: that their outputs differ is said where they do, by what may be lost, and nowhere else. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { evaluateCommand } from '../cli/commands/evaluate.ts'
import { compress } from '../compress/compress.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model, Node } from '../model.ts'
import { saveModel } from '../node/files.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { runCommand } from '../testing/run-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-draws-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A layer for digits, with noise of a size before or after it, or a Dropout in training form, which runtimes leave out. */
function net(noise: number, place: 'before' | 'after' | 'dropout'): Model {
  const rng = random(5)
  const w = Float32Array.from({ length: 784 * 10 }, () => 0.1 * rng.normal())
  const noisy = (x: string, y: string): Node[] => [
    node('RandomNormalLike', [x], ['e'], {}, { name: 'drawn' }),
    node('Mul', ['e', 'size'], ['scaled']),
    node('Add', [x, 'scaled'], [y]),
  ]
  const [first, last] = place === 'before' ? ['n', 'y'] : ['x', 'l']
  const dropout = node('Dropout', ['l', 'ratio', 'on'], ['y'], {}, { name: 'drawn' })
  return makeModel({
    nodes: [
      ...(place === 'before' ? noisy('x', 'n') : []),
      node('MatMul', [first, 'w'], [last]),
      ...(place === 'after' ? noisy('l', 'y') : place === 'dropout' ? [dropout] : []),
    ],
    initializers: new Map(
      [
        floatTensor('w', [784, 10], w),
        floatTensor('size', [], [noise]),
        floatTensor('ratio', [], [0]),
        { name: 'on', dtype: 'bool', dims: [], data: new Uint8Array([1]) } as const,
      ].map((t) => [t.name, t]),
    ),
    inputs: [valueInfo('x', 'float32', ['n', 784])],
    outputs: [valueInfo('y', 'float32', ['n', 10])],
  })
}

async function evaluated(model: Model, flags: Record<string, string> = {}): Promise<string[]> {
  const path = join(folder, 'net.onnx')
  await saveModel(path, model)
  const said: string[] = []
  const io = {
    json: true,
    result() {},
    say() {},
    warn: (text: string) => void said.push(text),
    milestone() {},
    progress() {},
    finish() {},
  }
  await runCommand(evaluateCommand, [path], { latency: false, ...flags }, { io })
  return said.filter((text) => text.includes('draws'))
}

it('evaluate says so in one sentence', async () => {
  const digits = { data: 'digits:200' }
  expect(await evaluated(net(1, 'after'), digits)).toEqual([
    'the model draws random numbers as it runs (RandomNormalLike "drawn"), and its outputs differ from run to run: what is measured on them does too',
  ])
  expect(await evaluated(net(0, 'after'), digits)).toEqual([])
  expect(await evaluated(net(1, 'dropout'), digits)).toEqual([])
  expect(await evaluated(net(1, 'after'))).toEqual([
    'the model draws random numbers as it runs (RandomNormalLike "drawn"), so its outputs may differ from run to run',
  ])
})

it('compress says so once, and what follows from it', { timeout: 60_000 }, async () => {
  const said = async (model: Model, options: object = {}): Promise<string[]> => {
    const warnings: string[] = []
    await compress(model, { seed: 1, warn: (text: string) => void warnings.push(text), ...options })
    // Nothing was judged on random inputs where nothing could be judged.
    const [judged, unjudged] = ['judged on random inputs', 'no loss can be judged'].map(
      (what) => warnings.filter((text) => text.includes(what)).length,
    )
    expect(judged + unjudged).toBe(1)
    return warnings.filter((text) => text.includes('draws random'))
  }
  const draws = 'the model draws random numbers as it runs (RandomNormalLike "drawn")'
  expect(await said(net(0, 'after'))).toEqual([])
  expect(await said(net(3, 'before'))).toEqual([
    `no loss can be judged, so every weight keeps its values: ${draws}, by which its outputs differ from run to run by more than may be lost, and it computes no values before them that could be judged`,
  ])
  expect(await said(net(3, 'after'))).toEqual([
    `${draws}, and its outputs differ from run to run, by more than may be lost: those are not judged, but what is computed before the numbers come in`,
  ])
  expect(await said(net(1e-4, 'after'))).toEqual([
    `${draws}, and its outputs differ from run to run, by less than may be lost: that is a part of the loss that is reported`,
  ])
})
