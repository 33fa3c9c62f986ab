/**
 * Random changes of training images: a crop out of the zero-padded image, and a horizontal flip. He et al. 2015
 * (arXiv:1512.03385, 4.2) pad CIFAR images by 4. Drawn from the caller's generator, so that a seed repeats them.
 */
import type { Random } from '../tensor/random.ts'
import { subset } from './batches.ts'
import { type Dataset, type Field, hasImages } from './dataset.ts'

export interface AugmentOptions {
  /** Pixels of zero padding on each side before the crop; default 0, no crop. */
  readonly crop?: number
  /** Flips left and right with probability 1/2. */
  readonly flip?: boolean
}

/**
 * The samples `indices`, changed at random, as a small data set of its own. `values` fields stay as they are; throws
 * where there is nothing but them to change.
 */
export function augment(
  dataset: Dataset,
  indices: ArrayLike<number>,
  options: AugmentOptions & { readonly rng: Random },
): Dataset {
  const { crop = 0, flip = false, rng } = options
  if (!(Number.isInteger(crop) && crop >= 0)) {
    throw new Error(`augment: crop must be a whole number of pixels from 0, got ${crop}`)
  }
  if ((crop > 0 || flip) && !hasImages(dataset))
    throw new Error(`augment: ${dataset.id} has no images; expected images to crop (--crop) or flip (--flip)`)
  const batch = subset(dataset, indices)
  const changes = Array.from({ length: batch.length }, () => ({
    down: crop ? rng.below(2 * crop + 1) - crop : 0,
    right: crop ? rng.below(2 * crop + 1) - crop : 0,
    mirrored: flip && rng.next() < 0.5,
  }))
  const fields: Record<string, Field> = {}
  for (const [name, field] of Object.entries(batch.fields)) {
    fields[name] = field.kind === 'image' ? { ...field, data: changeImages(field, changes) } : field
  }
  return { ...batch, fields }
}

interface Change {
  readonly down: number
  readonly right: number
  readonly mirrored: boolean
}

function changeImages({ shape, data }: Field, changes: readonly Change[]): Field['data'] {
  const [channels, height, width] = shape
  const out = new (data.constructor as new (length: number) => Field['data'])(data.length)
  changes.forEach(({ down, right, mirrored }, sample) => {
    for (let c = 0; c < channels; c++) {
      const plane = (sample * channels + c) * height * width
      for (let y = Math.max(0, -down); y < Math.min(height, height - down); y++) {
        const from = plane + (y + down) * width
        for (let x = Math.max(0, -right); x < Math.min(width, width - right); x++) {
          out[plane + y * width + (mirrored ? width - 1 - x : x)] = data[from + x + right]
        }
      }
    }
  })
  return out
}
