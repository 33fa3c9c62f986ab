/**
 * Images brought to another size by a triangle filter, a row and a column at a time: bilinear where it enlarges, and where it
 * shrinks as wide as the pixels that become one, so that nothing is skipped. Pixel centres lie at halves, borders
 * count once (the weights are normalised), as in Pillow's BILINEAR.
 */

/** For each pixel of a line of `to`, where its sources begin and their weights, of `count` each. */
interface Line {
  readonly starts: Int32Array
  readonly weights: Float32Array
  readonly count: number
}

function lineOf(from: number, to: number): Line {
  const scale = from / to
  const support = Math.max(1, scale)
  const count = Math.min(from, Math.ceil(2 * support) + 1)
  const starts = new Int32Array(to)
  const weights = new Float32Array(to * count)
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale
    const start = Math.max(0, Math.min(from - count, Math.floor(centre - support)))
    starts[i] = start
    let sum = 0
    for (let k = 0; k < count; k++) {
      const weight = Math.max(0, 1 - Math.abs(start + k + 0.5 - centre) / support)
      weights[i * count + k] = weight
      sum += weight
    }
    for (let k = 0; k < count; k++) weights[i * count + k] /= sum
  }
  return { starts, weights, count }
}

export type Size = readonly [height: number, width: number]

/** A function that gives the plane of `from` pixels at `offset` in `source` as one of `to` pixels, which it reuses. */
export function planeResizer(from: Size, to: Size): (source: ArrayLike<number>, offset: number) => Float32Array {
  const [height, width] = to
  const [down, across] = [lineOf(from[0], height), lineOf(from[1], width)]
  const wide = new Float32Array(from[0] * width)
  const out = new Float32Array(height * width)
  // Source by source rather than pixel by pixel: the inner loops are then short and plain, three times as quick.
  return (source, offset) => {
    wide.fill(0)
    for (let k = 0; k < across.count; k++) {
      for (let x = 0; x < width; x++) {
        const weight = across.weights[x * across.count + k]
        if (weight === 0) continue
        const column = offset + across.starts[x] + k
        for (let y = 0; y < from[0]; y++) wide[y * width + x] += weight * source[column + y * from[1]]
      }
    }
    out.fill(0)
    for (let y = 0; y < height; y++) {
      for (let k = 0; k < down.count; k++) {
        const weight = down.weights[y * down.count + k]
        if (weight === 0) continue
        const [row, at] = [(down.starts[y] + k) * width, y * width]
        for (let x = 0; x < width; x++) out[at + x] += weight * wide[row + x]
      }
    }
    return out
  }
}
