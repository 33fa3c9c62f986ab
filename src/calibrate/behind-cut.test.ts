/** Running only what lies behind a changed layer gives what the whole model gives. */
import { expect, it } from 'vitest'
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { type Feeds, openSession, withSession } from '../runtime/session.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { behindCut } from './behind-cut.ts'

it('gives what the whole model gives, whichever weight changes', async () => {
  const model = exampleModel()
  const batches = [...exampleBatches(3, 2)]
  const behind = behindCut(model, batches, { subject: 'test' })
  for (const weight of weightTensors(model)) {
    const { tensor } = weight
    const halved = floats(tensor).map((v) => v / 2)
    const changed = replaceTensors(model, new Map([[tensor, floatTensor(tensor.name, tensor.dims, halved)]]))
    await behind.moveTo(weight)
    const made: Feeds[] = []
    await behind.run(changed, (outputs) => void made.push(outputs))
    await withSession(
      () => openSession(changed),
      async (session) => {
        for (const [b, feeds] of batches.entries()) {
          const whole = await session.run(feeds)
          for (const [name, { data }] of Object.entries(whole)) {
            const other = made[b][name].data as Float32Array
            expect(other.length).toBe(data.length)
            for (const [i, v] of (data as Float32Array).entries()) expect(other[i]).toBeCloseTo(v, 4)
          }
        }
      },
    )
  }
})
