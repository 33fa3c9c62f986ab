/** The search for speed, where the limit lets some layers compute on integers only. */
import { expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { splitDataset } from '../data/batches.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'

it('says what to allow for every layer to compute on integers, and that suffices', async () => {
  const rng = random(6)
  const drawn = (count: number, scale: number) => Float32Array.from({ length: count }, () => scale * rng.normal())
  const regressor = model({
    nodes: [node('MatMul', ['x', 'w1'], ['h']), node('Relu', ['h'], ['r']), node('MatMul', ['r', 'w2'], ['y'])],
    initializers: new Map([
      ['w1', floatTensor('w1', [16, 64], drawn(1024, 0.25))],
      ['w2', floatTensor('w2', [64, 4], drawn(256, 0.125))],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'float32', ['N', 4])],
  })
  const fields = { x: { shape: [16], data: drawn(600 * 16, 1), kind: 'values' as const } }
  const [train, test] = splitDataset({ id: 'drawn', length: 600, fields }, 0.4, 1)
  const inputs = requiredInputs(regressor)
  const batcher = batcherFor(inputs, train, guessPreprocess(inputs, train), regressor.graph.outputs)
  const notesAt = async (max: string): Promise<string> => {
    const result = await compress(regressor, {
      goal: 'speed',
      maxLoss: max,
      seed: 1,
      data: { splits: { train, test }, batcher },
      compareSpeed: async () => ({ median: 2, low: 1.9, high: 2.1, rounds: 10 }),
    })
    return result.notes.join('\n')
  }
  const strict = await notesAt('60dB')
  expect(strict).not.toContain('2 of 2 layers')
  const [, enough] = /--max-loss (\d+dB) would let every layer/.exec(strict) ?? []
  expect(enough).toBeDefined()
  const loose = await notesAt(enough)
  expect(loose).toContain('2 of 2 layers compute on integers')
  expect(loose).not.toContain('--max-loss')
})
