/**
 * Drawn digits: a data set that needs no download, for demos and tests. Each digit is a few strokes on a unit square,
 * drawn with a random pen, slant, rotation, size, place and wobble, blur and noise, as 28x28 grey pixels.
 */
import { type Random, random } from '../tensor/random.ts'
import type { Dataset } from './dataset.ts'

const side = 28

type Point = readonly [x: number, y: number]

/** An elliptic arc around (x, y); angles in turns, clockwise on screen from the right. */
function arc(x: number, y: number, rx: number, ry: number, from: number, to: number): Point[] {
  const steps = Math.max(4, Math.ceil(Math.abs(to - from) * 16))
  return Array.from({ length: steps + 1 }, (_, i) => {
    const angle = 2 * Math.PI * (from + ((to - from) * i) / steps)
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)]
  })
}

/** The ways to write each digit: strokes of points, x right and y down, within 0..1. */
const shapes: readonly (readonly (readonly Point[])[])[][] = [
  [[arc(0.5, 0.5, 0.28, 0.42, 0, 1)], [arc(0.5, 0.5, 0.36, 0.4, -0.2, 0.85)]],
  [
    [
      [
        [0.5, 0.08],
        [0.5, 0.92],
      ],
    ],
    [
      [
        [0.32, 0.28],
        [0.52, 0.08],
        [0.52, 0.92],
      ],
    ],
    [
      [
        [0.32, 0.26],
        [0.52, 0.08],
        [0.52, 0.92],
      ],
      [
        [0.34, 0.92],
        [0.7, 0.92],
      ],
    ],
  ],
  [
    [[...arc(0.5, 0.32, 0.26, 0.24, -0.48, 0.08), [0.24, 0.92], [0.78, 0.9]]],
    [[...arc(0.5, 0.3, 0.26, 0.22, -0.45, 0.15), ...arc(0.36, 0.8, 0.12, 0.1, -0.3, -0.95), [0.8, 0.9]]],
  ],
  [
    [[...arc(0.46, 0.3, 0.26, 0.21, -0.42, 0.22), ...arc(0.46, 0.7, 0.3, 0.22, -0.22, 0.42)]],
    [[[0.24, 0.1], [0.74, 0.1], [0.48, 0.42], ...arc(0.46, 0.68, 0.28, 0.25, -0.22, 0.42)]],
  ],
  [
    [
      [
        [0.62, 0.92],
        [0.62, 0.08],
        [0.2, 0.64],
        [0.82, 0.64],
      ],
    ],
    [
      [
        [0.28, 0.08],
        [0.24, 0.52],
        [0.72, 0.52],
      ],
      [
        [0.7, 0.12],
        [0.66, 0.92],
      ],
    ],
  ],
  [
    [[[0.74, 0.1], [0.32, 0.1], [0.28, 0.46], ...arc(0.48, 0.66, 0.28, 0.25, -0.3, 0.42)]],
    [
      [[0.32, 0.12], [0.3, 0.44], ...arc(0.46, 0.66, 0.28, 0.24, -0.28, 0.4)],
      [
        [0.32, 0.12],
        [0.78, 0.1],
      ],
    ],
  ],
  [
    [[[0.64, 0.08], [0.34, 0.42], ...arc(0.5, 0.68, 0.25, 0.24, -0.5, 0.5)]],
    [[...arc(0.62, 0.5, 0.36, 0.42, -0.27, -0.56), ...arc(0.5, 0.7, 0.24, 0.21, -0.5, 0.48)]],
  ],
  [
    [
      [
        [0.22, 0.1],
        [0.78, 0.1],
        [0.42, 0.92],
      ],
    ],
    [
      [
        [0.22, 0.12],
        [0.78, 0.1],
        [0.44, 0.92],
      ],
      [
        [0.36, 0.5],
        [0.72, 0.5],
      ],
    ],
    [
      [
        [0.24, 0.24],
        [0.24, 0.1],
        [0.76, 0.1],
        [0.5, 0.92],
      ],
    ],
  ],
  [
    [arc(0.5, 0.29, 0.21, 0.2, 0.25, 1.25), arc(0.5, 0.7, 0.26, 0.22, -0.25, 0.75)],
    [[...arc(0.5, 0.3, 0.22, 0.2, -0.1, -0.75), ...arc(0.5, 0.7, 0.25, 0.22, -0.25, 0.75), [0.68, 0.2]]],
  ],
  [
    [[...arc(0.48, 0.32, 0.24, 0.23, 0, 1), [0.7, 0.6], [0.62, 0.92]]],
    [[...arc(0.48, 0.32, 0.24, 0.22, -0.06, 0.98), ...arc(0.4, 0.55, 0.33, 0.38, -0.08, 0.3)]],
  ],
]

/** `length` digits, as many of each class as can be, in random order. The same seed gives the same bytes. */
export function drawDigits(length: number, seed: number, id = `digits:${length}`): Dataset {
  if (!(Number.isInteger(length) && length > 0 && length <= 1_000_000)) {
    throw new Error(`digits: the number of images must be a whole number from 1 to 1000000, got ${length}`)
  }
  const rng = random(seed)
  const data = new Uint8Array(length * side * side)
  const labels = new Int32Array(length)
  const order: number[] = []
  const ink = new Float32Array(side * side)
  for (let i = 0; i < length; i++) {
    if (order.length === 0) order.push(...shuffledClasses(rng))
    labels[i] = order.pop()!
    drawDigit(labels[i], rng, ink)
    const strength = 170 + 85 * rng.next()
    const noise = 4 + 22 * rng.next() ** 2
    for (let p = 0; p < ink.length; p++) {
      const value = strength * ink[p] + noise * rng.normal()
      data[i * ink.length + p] = Math.min(255, Math.max(0, Math.round(value)))
    }
  }
  return { id, length, fields: { image: { shape: [1, side, side], data, kind: 'image' } }, labels, classes: 10 }
}

function shuffledClasses(rng: Random): number[] {
  const classes = Array.from({ length: 10 }, (_, i) => i)
  for (let i = 9; i > 0; i--) {
    const j = rng.below(i + 1)
    ;[classes[i], classes[j]] = [classes[j], classes[i]]
  }
  return classes
}

/** One digit's coverage, 0..1 a pixel. */
function drawDigit(digit: number, rng: Random, ink: Float32Array): void {
  const forms = shapes[digit]
  const place = randomPlace(rng)
  const radius = 0.7 + 1.1 * rng.next() // of the pen, in pixels
  const soft = 0.6 + 0.7 * rng.next()
  ink.fill(0)
  for (const stroke of forms[rng.below(forms.length)]) {
    const points = stroke.map(place)
    for (let i = 1; i < points.length; i++) drawSegment(points[i - 1], points[i], { radius, soft }, ink)
  }
}

/** Unit square to pixels: scale, slant, rotation, shift, and a smooth wobble that bends the strokes. */
function randomPlace(rng: Random): (p: Point) => Point {
  const spread = (width: number): number => (2 * rng.next() - 1) * width
  const angle = spread(0.26)
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)]
  const slant = spread(0.3)
  const scaleX = 20 * (0.85 + spread(0.25))
  const scaleY = 22 * (0.9 + spread(0.17))
  const shift: Point = [side / 2 + spread(2.5), side / 2 + spread(2.5)]
  const bend = [spread(0.06), spread(0.06), rng.next() * 6.3, rng.next() * 6.3]
  return ([px, py]) => {
    const x = (px - 0.5 + bend[0] * Math.sin(6 * py + bend[2]) + slant * (0.5 - py)) * scaleX
    const y = (py - 0.5 + bend[1] * Math.sin(6 * px + bend[3])) * scaleY
    return [cos * x - sin * y + shift[0], sin * x + cos * y + shift[1]]
  }
}

/** Adds a thick line: 1 within the pen's radius, falling to 0 over `soft` pixels. */
function drawSegment(
  [ax, ay]: Point,
  [bx, by]: Point,
  { radius, soft }: { readonly radius: number; readonly soft: number },
  ink: Float32Array,
): void {
  const reach = radius + soft
  const [dx, dy] = [bx - ax, by - ay]
  const squared = dx * dx + dy * dy || 1
  const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach))
  const right = Math.min(side - 1, Math.ceil(Math.max(ax, bx) + reach))
  const top = Math.max(0, Math.floor(Math.min(ay, by) - reach))
  const bottom = Math.min(side - 1, Math.ceil(Math.max(ay, by) + reach))
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / squared))
      const distance = Math.sqrt((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2)
      const cover = Math.min(1, Math.max(0, (reach - distance) / soft))
      if (cover > ink[y * side + x]) ink[y * side + x] = cover
    }
  }
}
