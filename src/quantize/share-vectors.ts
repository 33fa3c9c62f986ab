/**
 * Vector quantisation: pieces of a few weights that lie one after another are looked up in a codebook of pieces. Product
 * quantisation has a codebook for each place in a row, residual quantisation adds further codebooks for what is left of each
 * piece. Gong, Liu, Yang, Bourdev 2014, arXiv:1412.6115, sections 3.3 and 3.4; Jégou et al. 2011.
 *
 * Stored are the codebooks and one code per piece, of 8 bits up to 256 codes and of 16 beyond; nodes before the layer look
 * the weight up (Gather), which runtimes compute once, when they load the model. `finetune` trains the codebooks as they are.
 */
import { node } from '../graph/build.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import type { Node, Tensor } from '../model.ts'
import type { OptionsOf } from '../options.ts'
import { computeConstants, type Form } from '../simplify/compute-constants.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'
import { vectorKmeans } from '../tensor/vector-kmeans.ts'

const options = {
  length: {
    type: 'number',
    default: 4,
    min: 2,
    max: 64,
    integer: true,
    help: 'weights per piece, at most: the largest divisor of the row length that is not longer',
  },
  vectors: { type: 'number', default: 256, min: 2, max: 65536, integer: true, help: 'pieces per codebook' },
  books: {
    type: 'choice',
    of: ['tensor', 'place'],
    default: 'tensor',
    help: 'what has a codebook: each tensor, or each place in the rows of a tensor (product quantisation)',
  },
  residuals: {
    type: 'number',
    default: 0,
    min: 0,
    max: 7,
    integer: true,
    help: 'further codebooks, each for what the ones before leave (residual quantisation)',
  },
  minElements: {
    type: 'number',
    default: 4096,
    min: 1,
    integer: true,
    help: 'tensors with fewer elements are left alone',
  },
  exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
} as const

type Options = OptionsOf<typeof options>

export const shareVectors = defineMethod({
  id: 'share-vectors',
  help: 'lets pieces of a few weights share a few vectors (product and residual quantisation); zeros are not kept',
  options,
  run(model, settings, { seed = 0, warn }) {
    const { minElements, exclude } = settings
    const rng = random(seed)
    const forms = new Map<Tensor, Form>()
    const larger: string[] = []
    for (const weight of weightTensors(model)) {
      const { tensor, name } = weight
      if (exclude.includes(name) || sizeOf(tensor.dims) < minElements || tensor.dtype !== 'float32') continue
      const books = booksOf(weight, settings, rng)
      if (books && bytesOfBooks(books) < tensor.data.length) forms.set(tensor, formOf(tensor, books))
      else larger.push(name)
    }
    if (larger.length > 0)
      warn?.(`share-vectors: ${larger.map((n) => `"${n}"`).join(', ')}: codebooks would be no smaller; left as it is`)
    return computeConstants(model, forms)
  },
})

/** One level of codebooks: the first, or a residual one. */
interface Book {
  /** [places · vectors, length], or [vectors, length] for all places. */
  readonly centres: Float32Array
  /** [rows, places] */
  readonly codes: Uint16Array
}

interface Books {
  readonly length: number
  readonly rows: number
  readonly places: number
  /** Codes per codebook. */
  readonly count: number
  readonly perPlace: boolean
  readonly levels: readonly Book[]
}

function bytesOfBooks({ levels, count }: Books): number {
  return levels.reduce((sum, { centres, codes }) => sum + 4 * centres.length + (count > 256 ? 2 : 1) * codes.length, 0)
}

/** Undefined where no piece of two or more fits a row, or a codebook would hold every piece. */
function booksOf(
  { tensor }: WeightTensor,
  { length: most, vectors, books, residuals }: Options,
  rng: Random,
): Books | undefined {
  const rows = tensor.dims[0]
  const left = floats(tensor).slice()
  if (!left.every(Number.isFinite))
    throw new Error(`share-vectors: weight "${tensor.name}" is not finite throughout; expected finite numbers`)
  const rowLength = left.length / rows
  let length = Math.min(most, rowLength)
  while (length > 1 && rowLength % length !== 0) length--
  const places = rowLength / length
  const perPlace = books === 'place' && places > 1
  const pieces = perPlace ? rows : rows * places
  if (length < 2 || vectors >= pieces) return undefined
  const levels = Array.from({ length: residuals + 1 }, (): Book => {
    const book = perPlace
      ? bookPerPlace(left, { rows, places, length, vectors }, rng)
      : vectorKmeans(left, length, vectors, rng)
    for (let i = 0; i < rows * places; i++) {
      const at = ((perPlace ? (i % places) * vectors : 0) + book.codes[i]) * length
      for (let d = 0; d < length; d++) left[i * length + d] -= book.centres[at + d]
    }
    return { centres: book.centres, codes: book.codes }
  })
  return { length, rows, places, count: vectors, perPlace, levels }
}

function bookPerPlace(
  values: Float32Array,
  { rows, places, length, vectors }: { rows: number; places: number; length: number; vectors: number },
  rng: Random,
): Book {
  const centres = new Float32Array(places * vectors * length)
  const codes = new Uint16Array(rows * places)
  for (let p = 0; p < places; p++) {
    const column = new Float32Array(rows * length)
    for (let r = 0; r < rows; r++)
      column.set(values.subarray((r * places + p) * length, (r * places + p + 1) * length), r * length)
    const found = vectorKmeans(column, length, vectors, rng)
    centres.set(found.centres, p * vectors * length)
    found.codes.forEach((code, r) => {
      codes[r * places + p] = code
    })
  }
  return { centres, codes }
}

/** Codebooks, codes, and the nodes that look the weight up. */
function formOf({ dims }: Tensor, { length, rows, places, count, perPlace, levels }: Books): Form {
  return (name, fresh) => {
    const tensors: Tensor[] = []
    const nodes: Node[] = []
    const stored = (tensor: Tensor): string => {
      tensors.push(tensor)
      return tensor.name
    }
    const value = (
      op: string,
      inputs: string[],
      attributes = {},
      output = fresh(`${name}_${op.toLowerCase()}`),
    ): string => {
      nodes.push(node(op, inputs, [output], attributes))
      return output
    }
    // A code counts within the codebook of its place.
    const offsets = (): string =>
      stored(
        integerTensor(
          fresh(`${name}_offsets`),
          'int32',
          [places],
          Array.from({ length: places }, (_, p) => p * count),
        ),
      )
    let begin: string | undefined
    const looked = levels.map(({ centres, codes }) => {
      const code = stored(
        integerTensor(fresh(`${name}_codes`), count > 256 ? 'uint16' : 'uint8', [rows, places], codes),
      )
      const book = stored(floatTensor(fresh(`${name}_vectors`), [centres.length / length, length], centres))
      const index = value('Cast', [code], { to: 6 })
      if (!perPlace) return value('Gather', [book, index])
      begin ??= offsets()
      return value('Gather', [book, value('Add', [index, begin])])
    })
    const sum = looked.reduce((a, b) => value('Add', [a, b]))
    const shape = stored(integerTensor(fresh(`${name}_shape`), 'int64', [dims.length], dims))
    value('Reshape', [sum, shape], {}, name)
    return { tensors, nodes }
  }
}
