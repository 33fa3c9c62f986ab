/** MFCC beside the definition written out, and what must not change them. */
import { expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { clipLength, mfcc } from './mfcc.ts'

const rng = random(5)
const noise = Float32Array.from({ length: clipLength }, () => 0.3 * rng.normal())
const tone = (hertz: number, length = clipLength): Float32Array =>
  Float32Array.from({ length }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / clipLength))

/** A coefficient of a frame by sums over all samples, bins and bands. */
function byDefinition(samples: Float32Array, frame: number, k: number): number {
  const largest = Math.max(...samples)
  const mel = (f: number): number => 1127 * Math.log(1 + f / 700)
  const edges = Array.from({ length: 42 }, (_, i) => mel(20) + ((mel(4000) - mel(20)) * i) / 41)
  const magnitudes = Array.from({ length: 257 }, (_, bin) => {
    let [re, im] = [0, 0]
    for (let i = 0; i < 480; i++) {
      const v = (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / 480)) * (samples[320 * frame + i] / largest)
      re += v * Math.cos((2 * Math.PI * bin * i) / 512)
      im -= v * Math.sin((2 * Math.PI * bin * i) / 512)
    }
    return Math.sqrt(re * re + im * im)
  })
  let sum = 0
  for (let band = 0; band < 40; band++) {
    let energy = 1e-6
    for (let bin = 1; bin < 257; bin++) {
      const at = mel((bin * 16000) / 512)
      const [a, b, c] = edges.slice(band, band + 3)
      if (at > a && at < c) energy += magnitudes[bin] * (at <= b ? (at - a) / (b - a) : (c - at) / (c - b))
    }
    sum += 2 * Math.log(energy) * Math.cos((Math.PI * k * (2 * band + 1)) / 80)
  }
  return sum / Math.sqrt(80)
}

it.each([
  ['noise', noise],
  ['a tone', tone(440)],
])('are those of the definition, of %s', (_, samples) => {
  const found = mfcc(samples)
  expect(found.length).toBe(490)
  for (const [frame, k] of [
    [0, 0],
    [0, 9],
    [17, 3],
    [48, 1],
  ])
    expect(found[10 * frame + k]).toBeCloseTo(byDefinition(samples, frame, k), 3)
})

it('do not depend on how loud a clip is', () => {
  const quiet = mfcc(noise.map((v) => v / 8))
  for (const [i, v] of mfcc(noise).entries()) expect(quiet[i]).toBeCloseTo(v, 3)
})

it('take a shorter clip as followed by silence, and silence itself', () => {
  const short = tone(440, 8000)
  const long = new Float32Array(clipLength)
  long.set(short)
  expect(mfcc(short)).toEqual(mfcc(long))
  expect(mfcc(new Float32Array(0)).every(Number.isFinite)).toBe(true)
})
