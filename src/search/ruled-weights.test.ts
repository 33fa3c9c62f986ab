import { expect, test } from 'vitest'
import { compress } from '../compress/compress.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { ruledWeights } from './ruled-weights.ts'

const side = 96

/** One dense layer for each matrix of `side` x `side`, in turn. */
function layers(matrices: Readonly<Record<string, (row: number, column: number) => number>>): Model {
  const names = Object.keys(matrices)
  return model({
    nodes: names.map((name, i) =>
      node('MatMul', [i === 0 ? 'x' : `h${i - 1}`, name], [i === names.length - 1 ? 'y' : `h${i}`]),
    ),
    inputs: [valueInfo('x', 'float32', ['N', side])],
    outputs: [valueInfo('y', 'float32', ['N', side])],
    initializers: new Map(
      names.map((name) => {
        const values = Float32Array.from({ length: side * side }, (_, i) =>
          matrices[name](Math.floor(i / side), i % side),
        )
        return [name, floatTensor(name, [side, side], values)]
      }),
    ),
  })
}

const rng = random(1)
const decays = Float32Array.from({ length: 2 * side }, (_, i) => Math.exp(-i / 20))
const levels = Float32Array.from({ length: 16 }, () => rng.normal())

const ruled = {
  identity: (row: number, column: number): number => (row === column ? 1 : 0),
  decay: (row: number, column: number): number => decays[Math.abs(row - column)],
  halves: (row: number, column: number): number => ((row * 7) % side === column ? 0.5 : 0),
}
const trained = {
  dense: (): number => rng.normal(),
  pruned: (): number => (rng.next() < 0.02 ? rng.normal() : 0),
  'of few levels': (): number => levels[rng.below(16)],
}

test('weights that follow a rule are told from trained ones, pruned ones and such of few levels', () => {
  const found = ruledWeights(weightTensors(layers({ ...ruled, ...trained })))
  expect([...found.keys()]).toEqual(Object.keys(ruled))
  for (const bits of found.values()) expect(bits).toBeLessThan(0.5)
})

test('compress keeps them exactly, beside weights that it quantises', async () => {
  const original = layers({ dense: () => rng.normal(), ...ruled })
  const made = await compress(original, { seed: 1 })
  expect(made.holds).toBe(true)
  expect(made.packed.length).toBeLessThan(0.3 * 4 * side * side)
  // What is excluded keeps its values: as few values as these are stored by a codebook.
  const [, options] = made.recipe.steps.find(([id]) => id === 'uniform') ?? []
  expect(options?.exclude).toEqual(Object.keys(ruled))
  expect(made.recipe.steps.map(([id]) => id)).toContain('compact')
})
