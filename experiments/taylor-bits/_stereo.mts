/**
 * Stereo pairs with known depth, drawn from a seed, and a small network that finds the disparity of each pixel.
 *
 * A scene is a textured wall and up to five textured rectangles and ellipses in front of it. A surface of disparity d that the left
 * camera sees at column x is at x - d in the right image; what is nearer hides what is behind. Disparities are 0 to 8 pixels.
 */
import type { Dataset } from '../../src/data/dataset.ts'
import { model as makeModel, node, valueInfo } from '../../src/graph/build.ts'
import type { Model, Node, Tensor } from '../../src/model.ts'
import { floatTensor, integerTensor } from '../../src/tensor/dtype.ts'
import { type Random, random } from '../../src/tensor/random.ts'

export const [height, width, largest] = [24, 48, 8]

interface Surface {
  readonly disparity: number
  /** Whether the left camera sees it at (x, y), if nothing hides it. */
  covers(x: number, y: number): boolean
  brightness(x: number, y: number): number
}

/** Waves of random directions, lengths and phases: smooth, and different everywhere. */
function texture(rng: Random): Surface['brightness'] {
  const waves = Array.from({ length: 6 }, () => {
    const [angle, length] = [2 * Math.PI * rng.next(), 3 + 9 * rng.next()]
    const turns = (2 * Math.PI) / length
    return { x: turns * Math.cos(angle), y: turns * Math.sin(angle), phase: 2 * Math.PI * rng.next() }
  })
  const mean = 0.3 + 0.4 * rng.next()
  return (x, y) => mean + waves.reduce((sum, w) => sum + Math.sin(w.x * x + w.y * y + w.phase), 0) / 14
}

function drawScene(rng: Random): Surface[] {
  const wall: Surface = { disparity: 2 * rng.next(), covers: () => true, brightness: texture(rng) }
  const objects = Array.from({ length: 2 + rng.below(4) }, (): Surface => {
    const [cx, cy, rx, ry] = [width * rng.next(), height * rng.next(), 3 + 8 * rng.next(), 3 + 6 * rng.next()]
    const round = rng.next() < 0.5
    const covers = (x: number, y: number): boolean => {
      const [dx, dy] = [(x - cx) / rx, (y - cy) / ry]
      return round ? dx * dx + dy * dy <= 1 : Math.max(Math.abs(dx), Math.abs(dy)) <= 1
    }
    return { disparity: 2 + (largest - 2) * rng.next(), covers, brightness: texture(rng) }
  })
  // The nearest first.
  return [...objects, wall].sort((a, b) => b.disparity - a.disparity)
}

export function stereoScenes(count: number, seed: number, id: string): Dataset {
  const rng = random(seed)
  const size = height * width
  const pair = new Float32Array(2 * size * count)
  const disparity = new Float32Array(size * count)
  for (let i = 0; i < count; i++) {
    const surfaces = drawScene(rng)
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const left = surfaces.find((s) => s.covers(x, y)) as Surface
        const right = surfaces.find((s) => s.covers(x + s.disparity, y)) as Surface
        const at = y * width + x
        pair[2 * size * i + at] = left.brightness(x, y) - 0.5
        pair[2 * size * i + size + at] = right.brightness(x + right.disparity, y) - 0.5
        disparity[size * i + at] = left.disparity
      }
    }
  }
  return {
    id,
    length: count,
    fields: { pair: { shape: [2, height, width], data: pair, kind: 'values' } },
    targets: { shape: [1, height, width], data: disparity, kind: 'values' },
  }
}

/** Differences of the left image and the right one moved by 0 to 8 pixels, then five convolutions of 3x3. */
export function stereoNet(seed: number, channels = 24): Model {
  const rng = random(seed)
  const initializers = new Map<string, Tensor>()
  const nodes: Node[] = []
  const ints = (name: string, values: readonly number[]): string => {
    initializers.set(name, integerTensor(name, 'int64', [values.length], values))
    return name
  }
  const slice = (from: string, [start, end, axis]: readonly [number, number, number], to: string): string => {
    const bounds = [start, end, axis].map((v, i) => ints(`${to}_${i}`, [v]))
    nodes.push(node('Slice', [from, ...bounds], [to]))
    return to
  }
  const left = slice('pair', [0, 1, 1], 'left')
  const right = slice('pair', [1, 2, 1], 'right')
  const volume = Array.from({ length: largest + 1 }, (_, d) => {
    // Moved to the right by d; columns without a partner are 0.
    nodes.push(node('Pad', [right, ints(`pads${d}`, [0, 0, 0, d, 0, 0, 0, 0])], [`padded${d}`]))
    const moved = slice(`padded${d}`, [0, width, 3], `moved${d}`)
    nodes.push(node('Sub', [left, moved], [`apart${d}`]), node('Abs', [`apart${d}`], [`cost${d}`]))
    return `cost${d}`
  })
  nodes.push(node('Concat', [...volume, left], ['volume'], { axis: 1 }))
  let [x, from] = ['volume', largest + 2]
  const sizes = [channels, channels, channels, channels, 1]
  for (const [i, to] of sizes.entries()) {
    const [w, b] = [`conv${i}.weight`, `conv${i}.bias`]
    const bound = Math.sqrt(6 / (9 * from))
    const values = Float32Array.from({ length: to * from * 9 }, () => bound * (2 * rng.next() - 1))
    initializers.set(w, floatTensor(w, [to, from, 3, 3], values))
    initializers.set(b, floatTensor(b, [to], new Float32Array(to).fill(to === 1 ? 3 : 0)))
    nodes.push(
      node('Conv', [x, w, b], [`conv${i}`], { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }, { name: `conv${i}` }),
    )
    if (to > 1) nodes.push(node('Relu', [`conv${i}`], [`relu${i}`]))
    ;[x, from] = [`relu${i}`, to]
  }
  return makeModel({
    nodes,
    initializers,
    inputs: [valueInfo('pair', 'float32', ['N', 2, height, width])],
    outputs: [valueInfo('conv4', 'float32', ['N', 1, height, width])],
  })
}
