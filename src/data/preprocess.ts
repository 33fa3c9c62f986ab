/**
 * How stored pixels (0..255) become a model's input: x/255 stretched to a range, then (x - mean) / std per channel.
 * The layout is read off the model's input shape where only one fits; whatever was assumed is put in words.
 */
import type { ValueInfo } from '../model.ts'
import type { Dataset, Preprocess } from './dataset.ts'

export interface PreprocessOptions {
  /** What 0..255 is mapped to; default [0, 1]. */
  readonly range?: readonly [number, number]
  /** Subtracted after the range, one number or one per channel. */
  readonly mean?: readonly number[]
  /** Divided by after that. */
  readonly std?: readonly number[]
  readonly channels?: Preprocess['channels']
  readonly layout?: Preprocess['layout']
  /** Brings images to the size that the model takes; default: they must have it. */
  readonly resize?: boolean
}

export interface ImageSize {
  /** 1 (grey) or 3 (RGB). */
  readonly channels: number
  readonly height: number
  readonly width: number
}

export interface GuessedPreprocess extends Preprocess {
  /** Sentences for the user: what was assumed, and which option changes it. */
  readonly notes: readonly string[]
}

/** Fills in what the options leave open from the model's inputs (initialisers left out) and the data set. */
export function guessPreprocess(
  inputs: readonly ValueInfo[],
  dataset: Dataset,
  options: PreprocessOptions = {},
): GuessedPreprocess {
  const notes: string[] = []
  const images = Object.values(dataset.fields).filter((field) => field.kind === 'image')
  const [image] = images
  const { mean, std, channels } = options
  for (const { shape } of images) checkChannels(shape[0], { mean, std })
  if (image && !options.range) {
    const then = mean || std ? ', then mean and std' : ''
    notes.push(`pixels are mapped to 0..1${then} (the default; --input-range changes it)`)
  }
  const layout =
    options.layout ?? (image ? guessLayout(inputs, options.resize ? [image.shape[0]] : image.shape, notes) : 'NCHW')
  return {
    range: options.range ?? [0, 1],
    ...(mean ? { mean } : {}),
    ...(std ? { std } : {}),
    ...(channels ? { channels } : {}),
    layout,
    ...(image && options.resize ? { size: sizeTaken(inputs, layout) } : {}),
    notes,
  }
}

/** The picture size of the model's image input. */
function sizeTaken(inputs: readonly ValueInfo[], layout: Preprocess['layout']): readonly [number, number] {
  const shape = inputs.find((i) => i.shape?.length === 4)?.shape
  const [height, width] = layout === 'NHWC' ? (shape?.slice(1, 3) ?? []) : (shape?.slice(2) ?? [])
  if (typeof height !== 'number' || typeof width !== 'number')
    throw new Error('resize: the model does not say what size of image it takes; expected an input of fixed size')
  return [height, width]
}

function checkChannels(channels: number, given: { mean?: readonly number[]; std?: readonly number[] }): void {
  for (const [name, values] of Object.entries(given)) {
    if (values && values.length !== 1 && values.length !== channels) {
      const expected = channels === 1 ? '1' : `1 or ${channels}, one per channel`
      throw new Error(`preprocessing: ${name} has ${values.length} values; expected ${expected}`)
    }
    if (values?.some((v) => !Number.isFinite(v) || (name === 'std' && v === 0))) {
      throw new Error(
        `preprocessing: ${name} must be finite${name === 'std' ? ' and not 0' : ''}, got ${values.join(', ')}`,
      )
    }
  }
}

/** Height and width are left out where any will do. */
function guessLayout(
  inputs: readonly ValueInfo[],
  [channels, height, width]: readonly (number | undefined)[],
  notes: string[],
): Preprocess['layout'] {
  if (channels === 1)
    return inputs.some((i) => fits(i, [height, width, 1]) && !fits(i, [1, height, width])) ? 'NHWC' : 'NCHW'
  const input = inputs.find((i) => i.shape?.length === 4)
  if (!input) return 'NCHW'
  const planar = fits(input, [channels, height, width])
  const interleaved = fits(input, [height, width, channels])
  const shape = `"${input.name}" [${input.shape!.map((d) => d ?? '?').join(',')}]`
  if (interleaved && !planar) {
    notes.push(`input ${shape} is read as batch, height, width, channels (--layout NCHW changes it)`)
    return 'NHWC'
  }
  if (interleaved && planar) {
    notes.push(
      `input ${shape} does not show its layout; batch, channels, height, width is assumed (--layout NHWC changes it)`,
    )
  }
  return 'NCHW'
}

/** Whether an input takes samples of the shape, as far as its dimensions are known. */
function fits(input: ValueInfo, sample: readonly (number | undefined)[]): boolean {
  const dims = input.shape
  return (
    dims?.length === 4 &&
    sample.every((s, i) => s === undefined || typeof dims[i + 1] !== 'number' || dims[i + 1] === s)
  )
}

/** The size of picture that the model's first four-dimensional input takes, where it says. */
export function imageSizeOf(inputs: readonly ValueInfo[]): ImageSize | undefined {
  const shape = inputs.find((i) => i.shape?.length === 4)?.shape
  if (!shape) return undefined
  const planar = shape[1] === 1 || shape[1] === 3
  const [channels, height, width] = planar ? shape.slice(1) : [shape[3], shape[1], shape[2]]
  return typeof height === 'number' && typeof width === 'number' && typeof channels === 'number'
    ? { height, width, channels }
    : undefined
}

/** Preprocessing in full, as options that a recipe holds. */
export function spelledOut(
  { range, layout, mean, std, channels }: Preprocess,
  { resize }: Pick<PreprocessOptions, 'resize'>,
): PreprocessOptions & Pick<Preprocess, 'range' | 'layout'> {
  return {
    range,
    layout,
    ...(mean ? { mean } : {}),
    ...(std ? { std } : {}),
    ...(channels ? { channels } : {}),
    ...(resize ? { resize: true } : {}),
  }
}
