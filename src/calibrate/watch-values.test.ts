/** Values that are watched are those that the whole model computes, and inputs are what was given. */
import { expect, it } from 'vitest'
import type { Feeds } from '../method.ts'
import { withGraph } from '../model.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { watchValues } from './watch-values.ts'

const model = exampleModel()
const [input] = model.graph.inputs.map((i) => i.name)
const inner = model.graph.nodes.slice(0, 3).map((n) => n.outputs[0])
const batches = [...exampleBatches(3, 2)]

async function seen(names: readonly string[], of: Iterable<Feeds> = batches, signal?: AbortSignal): Promise<Feeds[]> {
  const all: Feeds[] = []
  await watchValues(model, names, of, (values) => void all.push(values), { subject: 'test', signal })
  return all
}

it('hands over what the whole model computes, batch by batch', async () => {
  const whole = withGraph(model, { outputs: inner.map((name) => ({ name })) })
  const found = await seen([...inner, inner[0]])
  expect(found.length).toBe(batches.length)
  for (const [b, values] of found.entries()) {
    const expected = await outputsOf(whole, batches[b])
    expect(Object.keys(values).sort()).toEqual([...new Set(inner)].sort())
    for (const name of inner) expect(values[name].data).toEqual(expected[name].data)
  }
})

it('inputs of the model are what the batch says, with other values and alone', async () => {
  for (const names of [[input], [inner[1], input]])
    expect((await seen(names)).map((v) => v[input])).toEqual(batches.map((f) => f[input]))
})

it('a batch without the input is named, and a wish to stop is heard', async () => {
  const missing = `test: calibration gives no input "${input}"; expected one in every batch`
  await expect(seen([input], [{}])).rejects.toThrow(missing)
  await expect(seen([inner[0]], [{}])).rejects.toThrow(missing)
  await expect(seen([inner[0]], batches, AbortSignal.abort())).rejects.toThrow('stopped')
})
