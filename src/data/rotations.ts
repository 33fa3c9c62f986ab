/**
 * Images turned by quarters, with the turn as the label: what a network can learn from without labels, since it has to see what is
 * in an image to tell how it is turned (Gidaris, Singh & Komodakis 2018, arXiv:1803.07728). Each image is turned once, by a turn
 * that the seed draws; the paper takes all four of each.
 */
import { sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import type { Dataset, Field } from './dataset.ts'

/** Label t: turned t times by 90° against the clock. Answers of the data set are left out. Throws where nothing in it is square. */
export function rotations(dataset: Dataset, seed: number): Dataset {
  const rng = random(seed)
  const labels = Int32Array.from({ length: dataset.length }, () => rng.below(4))
  const { targets: _, ...rest } = dataset
  const fields = Object.entries(dataset.fields).map(
    ([name, field]) => [name, squareOf(field) ? turned(field, labels) : field] as const,
  )
  if (!fields.some(([name, field]) => field !== dataset.fields[name]))
    throw new Error(`${dataset.id}: it has no square images to turn; expected some as high as wide`)
  return {
    ...rest,
    id: `${dataset.id}, turned`,
    fields: Object.fromEntries(fields),
    labels,
    classes: 4,
    classNames: ['0°', '90°', '180°', '270°'],
  }
}

interface Square {
  readonly side: number
  /** Images of one sample that lie one after another. */
  readonly planes: number
  /** Numbers of one place. */
  readonly depth: number
}

/** How the samples of a field are square images: [.., side, side], or [side, side, channels] of data that is fed as it is. */
function squareOf({ shape, strings, constant, kind }: Field): Square | undefined {
  if (strings || constant || shape.length < 2) return undefined
  const [height, width] = shape.slice(-2)
  if (height === width && width > 1) return { side: width, planes: sizeOf(shape.slice(0, -2)), depth: 1 }
  if (kind === 'values' && shape.length === 3 && shape[0] === shape[1] && width > 0)
    return { side: shape[0], planes: 1, depth: width }
  return undefined
}

function turned(field: Field, turns: Int32Array): Field {
  const { side, planes, depth } = squareOf(field) as Square
  const { data } = field
  const out = new (data.constructor as new (length: number) => Field['data'])(data.length)
  const plane = side * side * depth
  turns.forEach((turn, sample) => {
    for (let p = sample * planes; p < (sample + 1) * planes; p++) {
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const [fromY, fromX] = sourceOf(turn, { y, x, last: side - 1 })
          for (let c = 0; c < depth; c++)
            out[p * plane + (y * side + x) * depth + c] = data[p * plane + (fromY * side + fromX) * depth + c]
        }
      }
    }
  })
  return { ...field, data: out }
}

/** What comes to a place by turning against the clock. */
function sourceOf(turn: number, { y, x, last }: { readonly y: number; readonly x: number; readonly last: number }) {
  if (turn === 1) return [x, last - y]
  if (turn === 2) return [last - y, last - x]
  return turn === 3 ? [last - x, y] : [y, x]
}
