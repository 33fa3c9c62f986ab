/** Shapes to try for inputs whose sizes the model leaves open, likeliest first. */
import { axisOf, type BatchSize, isOpen } from '../data/batch-axis.ts'
import type { Dim, ValueInfo } from '../model.ts'

/** The shapes of all inputs, in order. */
export type Shapes = readonly (readonly number[])[]

interface Size {
  /** Of images. */
  readonly side: number
  /** Of anything else. */
  readonly length: number
}

/** What the sizes left open are set to, in the order they are tried. */
const sizeLadder: readonly Size[] = [
  { side: 224, length: 512 },
  { side: 32, length: 128 },
  { side: 512, length: 224 },
  { side: 256, length: 256 },
  { side: 128, length: 64 },
  { side: 64, length: 32 },
  { side: 16, length: 16 },
  { side: 1, length: 1 },
  { side: 1024, length: 1024 },
]
const channelLadder = [3, 1]

/** Sequences of an open length are also drawn this long: errors of what looks at all of them depend on how many there are. */
export const shortLength = 16

/**
 * Shapes for all inputs. The same symbol has the same size everywhere. In the last ones all that is open is one size: sizes
 * that must agree may have no symbol, or one each.
 */
export function* candidateShapes(
  inputs: readonly ValueInfo[],
  batch: BatchSize,
  batchSize: number,
): Generator<number[][]> {
  const seen = new Set<string>()
  for (const size of [...sizeLadder, { side: batchSize, length: batchSize }]) {
    for (const channels of channelLadder) {
      const shapes = inputs.map((input) => shapeWith(input, { size, channels, batch, batchSize }))
      const key = JSON.stringify(shapes)
      if (seen.has(key)) continue
      seen.add(key)
      yield shapes
    }
  }
}

/** The shapes with short sequences; undefined where the model leaves no length open. */
export function shortShapes(
  {
    inputs,
    shapes,
    batch,
  }: { readonly inputs: readonly ValueInfo[]; readonly shapes: Shapes; readonly batch: BatchSize },
  batchSize: number,
): Shapes | undefined {
  const [channels] = channelLadder
  const size = { side: 0, length: shortLength }
  const short = inputs.map((input, i) =>
    shapeWith(input, { size, channels, batch, batchSize }).map((d, axis) => {
      // Of floats, and of whole numbers of 16 bits, the last axis is no sequence but a sound, whose first instants say nothing, or features.
      const isSound = axis === shapes[i].length - 1 && /^(float|u?int16)/.test(input.dtype ?? 'float32')
      const isLength = d === shortLength && isOpen(input.shape?.[axis]) && !isSound
      return isLength ? Math.min(d, shapes[i][axis]) : shapes[i][axis]
    }),
  )
  const isShorter = short.some((dims, i) => dims.some((d, axis) => d !== shapes[i][axis]))
  return isShorter ? short : undefined
}

interface Sizes {
  readonly size: Size
  readonly channels: number
  readonly batch: BatchSize
  readonly batchSize: number
}

function shapeWith(input: ValueInfo, { size, channels, batch, batchSize }: Sizes): number[] {
  const dims = input.shape ?? [undefined, undefined, undefined, undefined] // of unknown rank: perhaps an image
  const samples = axisOf({ ...input, shape: dims }, batch)
  return dims.map((dim, axis) => {
    if (typeof dim === 'number' && !isLeftOpen(dim)) return dim
    if (axis === samples || (typeof dim === 'string' && /batch/i.test(dim))) return batchSize
    if (dims.length === 4 && axis === 1) return channels
    return dims.length === 4 ? size.side : size.length
  })
}

/** Whether the runtime takes any size there. To it 0 is a size, of nothing. */
export function isLeftOpen(dim: Dim): boolean {
  return isOpen(dim) && dim !== 0
}
