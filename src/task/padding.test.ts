/** Positions that only fill a sequence up neither hide what is lost of the others nor count as lost. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { divergenceFrom } from './divergence.ts'
import { type JudgedBatch, openJudge } from './judge.ts'
import type { Task } from './task.ts'

const [samples, length, classes] = [60, 40, 5]
const rng = random(4)
const x = Float32Array.from({ length: samples * length * 8 }, () => 2 + rng.normal())
/** A tenth of each sequence is text, the rest fills it up. */
const mask = BigInt64Array.from({ length: samples * length }, (_, i) => (i % length < 4 ? 1n : 0n))
const feeds = (name: string): Feeds => ({
  x: { dtype: 'float32', dims: [samples, length, 8], data: x },
  [name]: { dtype: 'int64', dims: [samples, length], data: mask },
})

/** Scores of each position, which are the bias where it is filled up; `off` is what its weights are off by. */
function tagger(name: string, off: number, dtype: 'float32' | 'int64' = 'float32'): Model {
  const noise = random(9)
  const weights = random(8)
  const w = Float32Array.from({ length: 8 * classes }, () => weights.normal() + off * noise.normal())
  const isWhole = dtype === 'int64'
  return model({
    nodes: [
      node('Cast', [name], ['f'], { to: 1 }),
      node('Unsqueeze', ['f', 'two'], ['m']),
      node('Mul', ['x', 'm'], ['h']),
      node('MatMul', ['h', 'w'], ['s']),
      node('Add', ['s', 'b'], [isWhole ? 'scores' : 'logits']),
      ...(isWhole ? [node('ArgMax', ['scores'], ['logits'], { axis: 2, keepdims: 0 })] : []),
    ],
    initializers: new Map(
      [
        floatTensor('w', [8, classes], w),
        floatTensor('b', [classes], [3, 0, 0, 0, 0]),
        integerTensor('two', 'int64', [1], [2]),
      ].map((t) => [t.name, t]),
    ),
    inputs: [valueInfo('x', 'float32', ['N', length, 8]), valueInfo(name, 'int64', ['N', length])],
    outputs: [valueInfo('logits', dtype, isWhole ? ['N', length] : ['N', length, classes])],
  })
}

async function judged(name: string, task: Task, dtype?: 'int64') {
  const inputs = (): JudgedBatch[] => [{ feeds: feeds(name), fed: samples }]
  const judge = await openJudge(tagger(name, 0, dtype), { task, inputs })
  return judge.compare(tagger(name, 0.5, dtype))
}

const tokens: Task = { outputs: [{ output: 'logits', kind: 'tokens', axis: 2, why: '' }] }
const numbers: Task = { outputs: [{ output: 'logits', kind: 'numbers', why: '' }] }

it('decisions that changed are a share of those of the text', async () => {
  const [all] = await judged('other', tokens)
  const [text] = await judged('attention_mask', tokens)
  expect(text.changed?.share).toBeGreaterThan(0.1)
  expect(text.changed?.share).toBeCloseTo(10 * (all.changed?.share as number), 6)
  expect([all.commonest, text.commonest].map((share) => (share as number) > 0.9)).toEqual([true, false])
})

it('whole numbers too', async () => {
  const task: Task = { outputs: [{ output: 'logits', kind: 'tokens', why: '' }] }
  const [all] = await judged('other', task, 'int64')
  const [text] = await judged('attention_mask', task, 'int64')
  expect(text.changed?.share).toBeCloseTo(10 * (all.changed?.share as number), 6)
})

it('noise is beside what the answers to the text vary', async () => {
  // Where texts are of one length, what fills up varies not at all; of several, it varies from what text gives there.
  const [[all], [text]] = [await judged('other', numbers), await judged('attention_mask', numbers)]
  expect(text.snrDb).toBeCloseTo(all.snrDb as number, 1)
  const varied = mask.map((_, i) => (i % length < 1 + (Math.floor(i / length) % 8) ? 1n : 0n))
  const kept = mask.slice()
  mask.set(varied)
  const [[mixed], [apart]] = [await judged('other', numbers), await judged('attention_mask', numbers)]
  mask.set(kept)
  expect(apart.snrDb as number).toBeLessThan((mixed.snrDb as number) - 1)
})

it('and so is what searches price layers by', () => {
  const run = (off: number): Feeds => {
    const scores = random(2)
    const data = Float32Array.from({ length: samples * length * classes }, (_, i) => {
      const s = scores.normal()
      return mask[Math.floor(i / classes)] === 1n ? s * (1 + off) : 0
    })
    return { logits: { dtype: 'float32', dims: [samples, length, classes], data } }
  }
  const of = (name: string): number => divergenceFrom([run(0)], tokens, { batches: [feeds(name)] })([run(0.5)])
  expect(of('attention_mask')).toBeCloseTo(10 * of('other'), 6)
})
