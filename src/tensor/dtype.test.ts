/** 16-bit floats by their definitions, and tensors of every float type. */
import { expect, it } from 'vitest'
import { floats, floatToBfloat, floatToHalf, floatValues, halfToFloat, tensorOfFloats } from './dtype.ts'
import { random } from './random.ts'

it('every float16 goes to a number and back', () => {
  const wrong = Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => {
    const again = floatToHalf(halfToFloat(bits))
    return Number.isNaN(halfToFloat(bits)) ? !Number.isNaN(halfToFloat(again)) : again !== bits
  })
  expect(wrong).toEqual([])
})

it('rounds to the nearest float16 and bfloat16, ties to even', () => {
  const rng = random(1)
  const both = [
    [floatToHalf, halfToFloat],
    [
      floatToBfloat,
      (bits: number) =>
        floats({ name: '', dtype: 'bfloat16', dims: [], data: Uint8Array.of(bits & 255, bits >> 8) })[0],
    ],
  ] as const
  for (const [to, from] of both) {
    for (let i = 0; i < 3000; i++) {
      const value = Math.fround(rng.normal() * 10 ** (rng.next() * 12 - 8))
      const bits = to(value)
      const error = Math.abs(from(bits) - value)
      if (!Number.isFinite(from(bits))) continue
      for (const other of [bits - 1, bits + 1]) {
        const away = Math.abs(from(other) - value)
        if (Number.isFinite(away)) expect(error).toBeLessThanOrEqual(away)
        if (error === away) expect(bits % 2).toBe(0)
      }
    }
  }
  expect(halfToFloat(floatToHalf(65519))).toBe(65504)
  expect(halfToFloat(floatToHalf(65520))).toBe(Number.POSITIVE_INFINITY)
  expect(halfToFloat(floatToHalf(2 ** -25))).toBe(0)
  expect(halfToFloat(floatToHalf(-1.5 * 2 ** -25))).toBe(-(2 ** -24))
})

it('float tensors of every type read back what was rounded', () => {
  const values = Float32Array.of(0.1, -3, 1e-3, 70000)
  for (const dtype of ['float32', 'float64', 'bfloat16'] as const) {
    floats(tensorOfFloats('t', dtype, [4], values)).forEach((v, i) => void expect(v / values[i]).toBeCloseTo(1, 2))
  }
  expect(floatValues({ dtype: 'float16', data: Uint16Array.of(0x3c00, 0xc000) })).toEqual(Float32Array.of(1, -2))
  expect(floatValues({ dtype: 'int64', data: BigInt64Array.of(1n) })).toBeUndefined()
})
