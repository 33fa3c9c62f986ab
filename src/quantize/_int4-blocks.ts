/** Rows of numbers rounded to 4 bits in blocks: w = scale · (level - zero), with the scale that rounds its block best. */

export interface Rows {
  readonly count: number
  readonly length: number
  /** Row by row. */
  readonly values: Float32Array
}

export interface Blocks {
  readonly rows: number
  /** Blocks per row; the last may reach beyond its end, with levels that stand for 0. */
  readonly perRow: number
  readonly size: number
  /** -8..7, [rows, perRow, size]. */
  readonly levels: Int8Array
  /** [rows, perRow] */
  readonly scales: Float32Array
  /** 0..15, [rows, perRow]: the level + 8 that is 0. Undefined where it is 8 throughout. */
  readonly zeros?: Uint8Array
}

export function roundBlocks(
  { count, length, values }: Rows,
  { size, symmetric }: { readonly size: number; readonly symmetric: boolean },
): Blocks {
  const perRow = Math.ceil(length / size)
  const levels = new Int8Array(count * perRow * size)
  const scales = new Float32Array(count * perRow)
  const zeros = symmetric ? undefined : new Uint8Array(count * perRow)
  for (let block = 0; block < scales.length; block++) {
    const row = Math.floor(block / perRow)
    const start = row * length + (block % perRow) * size
    const end = Math.min(start + size, (row + 1) * length)
    const { scale, zero } = bestGrid(values.subarray(start, end), symmetric)
    scales[block] = scale
    if (zeros) zeros[block] = zero
    const at = block * size
    levels.fill(zero - 8, at, at + size)
    for (let i = start; i < end; i++) levels[at + i - start] = levelOf(values[i], scale, zero) - 8
  }
  return { rows: count, perRow, size, levels, scales, ...(zeros ? { zeros } : {}) }
}

interface Grid {
  readonly scale: number
  /** 0..15 */
  readonly zero: number
}

/** 0..15 */
function levelOf(value: number, scale: number, zero: number): number {
  return scale === 0 ? zero : Math.max(0, Math.min(15, Math.round(value / scale) + zero))
}

/** Shares of a block's range that a grid may cover: clipping the few largest rounds the rest finer. */
const shares = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7]

function bestGrid(values: Float32Array, symmetric: boolean): Grid {
  let best: Grid = { scale: 0, zero: 8 }
  let least = squaredError(values, best)
  for (const grid of symmetric ? middleGrids(values) : rangeGrids(values)) {
    const error = squaredError(values, grid)
    if (error < least) [least, best] = [error, grid]
  }
  return best
}

/** Zero in the middle: the number that is largest in size lies at level 0, 8 steps from zero; or both ends lie 7 steps away. */
function middleGrids(values: Float32Array): Grid[] {
  let largest = 0
  for (const v of values) if (Math.abs(v) > Math.abs(largest)) largest = v
  return shares.flatMap((share) => [-8, 7].map((steps) => ({ scale: Math.fround((share * largest) / steps), zero: 8 })))
}

/** From the smallest to the largest number, zero included, at 16 levels. */
function rangeGrids(values: Float32Array): Grid[] {
  let [low, high] = [0, 0]
  for (const v of values) {
    low = Math.min(low, v)
    high = Math.max(high, v)
  }
  return shares.map((share) => {
    const scale = Math.fround((share * (high - low)) / 15)
    return { scale, zero: scale === 0 ? 8 : Math.max(0, Math.min(15, Math.round((-share * low) / scale))) }
  })
}

function squaredError(values: Float32Array, { scale, zero }: Grid): number {
  let sum = 0
  for (const v of values) sum += (v - scale * (levelOf(v, scale, zero) - zero)) ** 2
  return sum
}
