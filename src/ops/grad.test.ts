/** Every backward rule against central differences, first and second derivatives. */
import { describe, expect, it } from 'vitest'
import { gradientCases, runtimeCases } from '../testing/gradient-cases.ts'
import { gradientErrors } from '../testing/test-gradient.ts'
import { compositions } from './grad/composite.ts'
import { gradRules } from './grad.ts'

/** Rules that are not in `gradientCases`, and where they are checked instead. */
const elsewhere: Readonly<Record<string, string>> = {
  'coppice.FakeQuantize': 'fake-quantize.test.ts: straight-through',
  'coppice.StraightThrough': 'fake-quantize.test.ts: straight-through',
  'coppice.ConvGradX': 'the second derivatives of Conv',
  'coppice.ConvGradW': 'the second derivatives of Conv',
  'coppice.ClipGrad': 'the second derivatives of Clip',
  ScatterElements: 'the second derivatives of Gather',
  QuantizeLinear: 'below: its gradient is straight-through',
  DequantizeLinear: 'below',
}

describe('backward rules agree with central differences', () => {
  for (const test of [...gradientCases, ...runtimeCases]) {
    it(`${test.op}${test.name ? ` (${test.name})` : ''}`, async () => {
      const { first, second } = await gradientErrors(test)
      const limit = test.float32 ? 4e-3 : 1e-6
      expect(first).toBeLessThan(limit)
      expect(second).toBeLessThan(limit)
    })
  }
})

it('every rule is checked', () => {
  const checked = new Set([...gradientCases, ...runtimeCases].map((c) => (c.domain ? `${c.domain}.${c.op}` : c.op)))
  const missing = [...Object.keys(gradRules), ...Object.keys(compositions)].filter(
    (op) => !checked.has(op) && !elsewhere[op],
  )
  expect(missing).toEqual([])
})
