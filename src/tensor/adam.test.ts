/** Adam on plain arrays against the paper's equations, and on problems with a known minimum. */
import { expect, it } from 'vitest'
import { adamSteps } from './adam.ts'

it('its first steps are those of the paper', () => {
  const values = Float64Array.of(1, 2)
  const step = adamSteps(2)
  // Of a constant gradient both corrected means are the gradient and its square: each step is the rate.
  for (const expected of [0.9, 0.8, 0.7]) {
    step(values, Float64Array.of(5, -0.01), 0.1)
    expect(values[0]).toBeCloseTo(expected, 9)
    expect(values[1]).toBeCloseTo(3 - expected, 9)
  }
  // Then one of another: m = 0.9³·m₃ + ..., by hand.
  const mean = (5 * (1 - 0.9 ** 3) * 0.9 + 0.1 * -5) / (1 - 0.9 ** 4)
  step(values, Float64Array.of(-5, 0), 0.1)
  expect(values[0]).toBeCloseTo(0.7 - (0.1 * mean) / 5, 9)
})

it('finds the minimum of a badly scaled quadratic, in float32 too', () => {
  for (const values of [Float64Array.of(3, -2), Float32Array.of(3, -2)]) {
    const step = adamSteps(2)
    for (let t = 0; t < 400; t++)
      step(values, Float64Array.of(2000 * (values[0] - 1), 0.02 * (values[1] + 1)), 0.1 * (1 - t / 400))
    expect(values[0]).toBeCloseTo(1, 3)
    expect(values[1]).toBeCloseTo(-1, 3)
  }
})
