/** Soft masks: who gets which gradient, beside steps that are taken without them; exact shares; stopping and going on. */
import { describe, expect, it } from 'vitest'
import { replaceTensors, weightTensors } from '../../graph/weights.ts'
import type { Model } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { foldBatchNorms } from '../../simplify/fold-batch-norm.ts'
import { floats, floatTensor } from '../../tensor/dtype.ts'
import { exampleModel, exampleTraining } from '../../testing/test-method.ts'
import { chooseEngine } from '../choose-engine.ts'
import { sgd } from '../optimizers.ts'
import type { Arrays, Regime } from '../regime.ts'
import { train } from '../train.ts'
import { distill } from './distill.ts'
import { type SoftMaskOptions, softMask } from './soft-mask.ts'

const { train: data, batcher } = exampleTraining(5, 128)
const names = weightTensors(exampleModel()).map((w) => w.name)
const base = { batcher, batchSize: 32, learningRate: 0.05, optimizer: sgd({ momentum: 0 }), threads: 1, seed: 3 }
const masks: SoftMaskOptions = { sparsity: 0.6, stepsPerEpoch: 4, epochs: 1, rise: 0.5, updates: 2 }

/** All weights after each step. */
function spy(): { readonly regime: Regime; readonly seen: Map<string, Float32Array>[] } {
  const seen: Map<string, Float32Array>[] = []
  const copied = (now: Arrays) => new Map([...now].map(([name, v]) => [name, v.slice()]))
  const apply = ({ weights }: { readonly weights: Arrays }) => {
    seen.push(copied(weights))
    return {}
  }
  return { regime: { id: 'spy', digest: null, enter: () => ({ projections: [{ apply }] }) }, seen }
}

type Change = (v: number, name: string, i: number) => number
const withWeights = (values: Arrays, change: Change = (v) => v, model = exampleModel()): Model => {
  const tensors = [...values].flatMap(([name, v]) => {
    const old = model.graph.initializers.get(name)
    return old
      ? [
          [
            old,
            floatTensor(
              name,
              old.dims,
              v.map((x, i) => change(x, name, i)),
            ),
          ] as const,
        ]
      : []
  })
  return replaceTensors(model, new Map(tensors))
}

/** Which weights are 0 once the regime leaves. */
const maskOf = (left: Model, name: string): boolean[] =>
  Array.from(floats(left.graph.initializers.get(name)!), (v) => v !== 0)

/** The change of each weight by step `at` (from 0) of a training of a model that begins there. */
async function changeBy(model: Model, at: number, options: Partial<Parameters<typeof train>[2]>): Promise<Arrays> {
  // The same batches in the same order: the steps before have a rate of 0.
  const seen = spy()
  const schedule = ({ step }: { step: number }): number => (step === at ? 1 : 0)
  const { regimes = [], ...rest } = options
  await train(model, data, {
    ...base,
    epochs: Math.floor(at / 4) + 1,
    schedule,
    frozenStatistics: true,
    ...rest,
    regimes: [...regimes, seen.regime],
  })
  const after = seen.seen[at]
  return new Map([...after].map(([name, v]) => [name, v.map((x, i) => x - seen.seen[at - 1].get(name)![i])]))
}

function expectClose(found: Float32Array, wanted: Float32Array): void {
  const scale = wanted.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-6)
  for (const [i, v] of found.entries()) expect(Math.abs(v - wanted[i]) / scale).toBeLessThan(2e-3)
}

describe.each(['plain', 'auto'] as const)('%s engine', (which) => {
  it('phase 1: masked weights get the gradient of the masked network', async () => {
    const { engine } = await chooseEngine(which)
    const seen = spy()
    const left = await train(exampleModel(), data, {
      ...{ ...base, engine, epochs: 1, frozenStatistics: true },
      // Chosen once, after two steps of eight.
      regimes: [softMask({ ...masks, stepsPerEpoch: 8, epochs: 1, rise: 0, updates: 4 }), seen.regime],
    })
    const [, before, after] = seen.seen
    const zeroed = (w: Arrays): Model => {
      const kept = new Map(
        names.map((name) => {
          const sizes = [...w.get(name)!].map(Math.abs).sort((a, b) => a - b)
          return [name, sizes[Math.round(0.6 * sizes.length)]]
        }),
      )
      return withWeights(w, (v, name) => (kept.has(name) && Math.abs(v) < kept.get(name)! ? 0 : v))
    }
    const wanted = await changeBy(zeroed(before), 2, { engine })
    for (const name of names)
      expectClose(
        after.get(name)!.map((v, i) => v - before.get(name)![i]),
        wanted.get(name)!,
      )
    for (const name of names)
      expect(maskOf(left.model, name).filter((m) => !m).length).toBe(Math.round(0.6 * maskOf(left.model, name).length))
  })

  // Normalisation by the batch, as the teacher has it, changes what a frozen teacher of its weights answers: there D hardly counts.
  it.each([
    ['without normalisation', foldBatchNorms(exampleModel()), 1],
    ['with normalisation', exampleModel(), 1e-6],
  ])(
    'phase 2, %s: what is left learns as by distillation, everything as a dense network does',
    async (_, net, alpha) => {
      const { engine } = await chooseEngine(which)
      const own = weightTensors(net).map((w) => w.name)
      const seen = spy()
      const left = await train(net, data, {
        ...{ ...base, engine, epochs: 2, frozenStatistics: true },
        regimes: [softMask({ ...masks, alpha, temperature: 2 }), seen.regime],
      })
      // Step 4 is the first of phase 2.
      const [before, after] = [seen.seen[3], seen.seen[4]]
      const dense = withWeights(before, undefined, net)
      const isPruned = (name: string, i: number): boolean => own.includes(name) && !maskOf(left.model, name)[i]
      const pruned = withWeights(before, (v, name, i) => (isPruned(name, i) ? 0 : v), net)
      // Labels count 1 and the teacher alpha: shares of 1 + alpha.
      const student = await changeBy(pruned, 4, {
        ...{ engine, learningRate: base.learningRate * (1 + alpha) },
        regimes: [distill({ teacher: dense, alpha: alpha / (1 + alpha), temperature: 2 })],
      })
      const teacher = await changeBy(dense, 4, { engine, frozenStatistics: false })
      for (const [name, v] of after) {
        const others = teacher.get(name)!
        const wanted = student.get(name)!.map((d, i) => (isPruned(name, i) ? 0 : d) + others[i])
        expectClose(
          v.map((x, i) => x - before.get(name)![i]),
          wanted,
        )
      }
    },
  )
})

it('weights come back: the mask at the end is not the smallest weights at the start', async () => {
  const masked = async (learningRate: number): Promise<boolean[]> => {
    const regimes = [softMask({ ...masks, stepsPerEpoch: 4, epochs: 4 })]
    return maskOf((await train(exampleModel(), data, { ...base, learningRate, epochs: 4, regimes })).model, 'w2')
  }
  const [still, moved] = [await masked(0), await masked(0.2)]
  expect(moved.filter((m) => m).length).toBe(still.filter((m) => m).length)
  expect(moved).not.toEqual(still)
})

it('scope global: all weights share the zeros, exactly as many as asked for', async () => {
  const regimes = [softMask({ ...masks, scope: 'global' })]
  const { model } = await train(exampleModel(), data, { ...base, epochs: 1, regimes })
  const counts = names.map((name) => maskOf(model, name))
  const all = counts.flat()
  expect(all.filter((m) => !m).length).toBe(Math.round(0.6 * all.length))
  const shares = counts.map((m) => m.filter((x) => !x).length / m.length)
  expect(Math.max(...shares) - Math.min(...shares)).toBeGreaterThan(0.01)
})

it.each([3, 4, 6])('stopped after step %i and resumed, it gives the same bytes', async (stopAt) => {
  const options = { ...base, epochs: 2, frozenStatistics: 1, regimes: [softMask({ ...masks, alpha: 1 })] }
  const whole = await train(exampleModel(), data, options)
  let saved: Uint8Array | undefined
  const stop = new AbortController()
  let saves = 0
  const store = {
    load: async () => saved,
    save: async (bytes: Uint8Array) => {
      saved = bytes
      if (++saves === stopAt) stop.abort()
    },
  }
  const checkpoint = { store, everySteps: 1 }
  await expect(train(exampleModel(), data, { ...options, checkpoint, signal: stop.signal })).rejects.toThrow('stopped')
  const resumed = await train(exampleModel(), data, { ...options, checkpoint })
  expect(Buffer.compare(writeModel(resumed.model), writeModel(whole.model))).toBe(0)
})

it('says what is wrong with its options', async () => {
  expect(() => softMask({ ...masks, sparsity: 2 })).toThrow('soft-mask: sparsity must be within [0, 1], got 2')
  expect(() => softMask({ ...masks, epochs: 0 })).toThrow('soft-mask: epochs must be a whole number above 0, got 0')
  const strange = train(exampleModel(), data, { ...base, epochs: 1, regimes: [softMask({ ...masks, names: ['w9'] })] })
  await expect(strange).rejects.toThrow('soft-mask: the model has no weight "w9"')
})
