/** The checkpoint of training in stages: written, read, refused where damaged. */
import { describe, expect, it } from 'vitest'
import { writeModel } from '../onnx/write.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { seal } from './checkpoint-bytes.ts'
import { decodeStages, encodeStages } from './stages-file.ts'

const model = lenet5(1)
const round = { round: 1, rounds: 2, sparsity: 0.5, history: [] }

describe('the state of training in stages', () => {
  it('comes back as it was', () => {
    const training = Uint8Array.of(1, 2, 3)
    const state = decodeStages(encodeStages({ fingerprint: 'f', finished: [round], model, training }))
    expect(state).toMatchObject({ fingerprint: 'f', finished: [round], training })
    expect(Buffer.compare(writeModel(state.model), writeModel(model))).toBe(0)
  })

  it.each([
    ['nothing', null],
    ['no fingerprint', { progress: [], models: [4] }],
    ['stages that are none', { fingerprint: 'f', progress: [null], models: [4] }],
    ['more stages than there are', { fingerprint: 'f', progress: [round, round, round], models: [4] }],
    ['a model longer than the file', { fingerprint: 'f', progress: [], models: [5] }],
    ['no model', { fingerprint: 'f', progress: [], models: [] }],
    ['a length that is none', { fingerprint: 'f', progress: [], models: [-1] }],
  ])('a header with %s is damaged', (_, header) => {
    expect(() => decodeStages(seal('COPPRN3', header, [new Uint8Array(4)]), 2)).toThrow('its header is damaged')
  })
})
