import { readdirSync } from 'node:fs'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { f, model, node, valueInfo } from '../graph/build.ts'
import type { Dim, Model } from '../model.ts'
import { brotli11, gzip9 } from '../node/compress.ts'
import { loadData } from '../node/data.ts'
import { openModel } from '../node/files.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { openSession, type Session, withSession } from '../runtime/session.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { evaluateAccuracy } from './accuracy.ts'
import { findRandomInputs } from './random-inputs.ts'
import { measureSizes } from './size.ts'

/** y = x + bias, on [batch, 6]. */
function adds(bias: readonly number[], batch: Dim = 'N', output = 'y'): Model {
  return model({
    nodes: [node('Add', ['x', 'b'], [output])],
    initializers: new Map([['b', floatTensor('b', [6], bias)]]),
    inputs: [valueInfo('x', 'float32', [batch, 6])],
    outputs: [valueInfo(output, 'float32', [batch, 6])],
  })
}

const zero = [0, 0, 0, 0, 0, 0]
/** Seven samples whose scores put class 2 first, class 0 last. */
const ranked: Dataset = {
  id: 'ranked',
  length: 7,
  fields: {
    x: { shape: [6], data: Float32Array.from({ length: 42 }, (_, i) => [0, 4, 9, 3, 2, 1][i % 6]), kind: 'values' },
  },
  labels: Int32Array.of(2, 2, 2, 0, 0, 5, 1),
  classes: 6,
}

function withNet<T>(net: Model, run: (session: Session) => Promise<T>): Promise<T> {
  return withSession(() => openSession(net, { threads: 1 }), run)
}

const accuracy = (net: Model, dataset = ranked, batchSize = 3) =>
  withNet(net, (session) => {
    const inputs = requiredInputs(net)
    return evaluateAccuracy(session, batcherFor(inputs, dataset, guessPreprocess(inputs, dataset)), dataset, {
      batchSize,
      keepLogits: true,
    })
  })

describe('evaluateAccuracy', () => {
  it.each([['N'], [1], [4]])('counts top-1 and top-5 over the whole set, for batch %s', async (batch) => {
    const result = await accuracy(adds(zero, batch))
    expect(result).toMatchObject({ top1: 3 / 7, top5: 5 / 7, correct: 3, count: 7 })
    expect([...result.logits!]).toEqual([...ranked.fields.x.data])
  })

  it('gives ties to the first class, and counts scores that are no numbers as wrong', async () => {
    const flat = { ...ranked, fields: { x: { ...ranked.fields.x, data: new Float32Array(42) } } }
    expect((await accuracy(adds(zero), flat)).correct).toBe(2)
    expect((await accuracy(adds([0, 0, 0, 0, 0, Number.NaN]))).correct).toBe(0)
  })

  it('says what is missing', async () => {
    const { labels: _, ...unlabelled } = ranked
    await expect(accuracy(adds(zero), unlabelled)).rejects.toThrow('ranked: it has no labels')
    await expect(accuracy(adds(zero), { ...ranked, classes: 9 })).rejects.toThrow('at least 9 classes')
  })

  const { COPPICE_MODELS, COPPICE_DATA } = process.env
  it.skipIf(!COPPICE_MODELS || !COPPICE_DATA)(
    'finds the known accuracy of mnist-8 (needs COPPICE_MODELS, COPPICE_DATA)',
    async () => {
      const net = openModel(`${COPPICE_MODELS}/mnist-8.onnx`)
      const { test } = await loadData(`mnist:${COPPICE_DATA}/mnist`, { seed: 0 })
      const result = await withNet(net, (session) => {
        const inputs = requiredInputs(net)
        return evaluateAccuracy(
          session,
          batcherFor(inputs, test, guessPreprocess(inputs, test, { range: [0, 255] })),
          test,
        )
      })
      expect(result.correct).toBe(9891)
    },
  )
})

describe('measureSizes', () => {
  it('is what zlib gives back', async () => {
    const bytes = new TextEncoder().encode('coppice '.repeat(500))
    const [gzip, brotli] = [await gzip9(bytes), await brotli11(bytes)]
    expect(gunzipSync(gzip).length).toBe(brotliDecompressSync(brotli).length)
    const pack = () => new Uint8Array(7)
    expect(await measureSizes(bytes, { gzip: gzip9, brotli: brotli11, pack })).toEqual({
      rawBytes: 4000,
      gzipBytes: gzip.length,
      brotliBytes: brotli.length,
      packedBytes: 7,
    })
    expect(await measureSizes(bytes)).toEqual({ rawBytes: 4000 })
  })
})

describe('findRandomInputs', () => {
  it('draws by the seed, and says whether the batch size was taken', async () => {
    await withNet(adds(zero), async (session) => {
      const found = await findRandomInputs(adds(zero), session, { batchSize: 5 })
      expect([found.shapes, found.batchSizeTaken]).toEqual([{ x: [5, 6] }, true])
      expect(found.make(1)).toEqual(found.make(1))
      expect(found.make(1)).not.toEqual(found.make(2))
    })
    await withNet(adds(zero, 2), async (session) => {
      const found = await findRandomInputs(adds(zero, 2), session, { batchSize: 5 })
      expect([found.shapes, found.batchSizeTaken]).toEqual([{ x: [2, 6] }, false])
    })
  })

  it('reads integers off the graph: rows of a table, a constant that is compared with', async () => {
    const net = model({
      nodes: [
        node('Gather', ['table', 'ids'], ['rows']),
        node('Equal', ['rate', 'known'], ['same']),
        node('Where', ['same', 'rows', 'nan'], ['y']),
      ],
      initializers: new Map([
        ['table', floatTensor('table', [3, 2], [1, 2, 3, 4, 5, 6])],
        ['known', integerTensor('known', 'int64', [], [44100])],
        ['nan', floatTensor('nan', [], [Number.NaN])],
      ]),
      inputs: [valueInfo('ids', 'int64', ['N', 'length']), valueInfo('rate', 'int64', [])],
      outputs: [valueInfo('y', 'float32')],
    })
    await withNet(net, async (session) => {
      const { make, shapes } = await findRandomInputs(net, session)
      expect(shapes).toEqual({ ids: [1, 512], rate: [] })
      const y = (await session.run(make(3))).y.data as Float32Array
      expect([...new Set(y)].sort()).toEqual([1, 2, 3, 4, 5, 6])
    })
  })

  it('points with integers at rows that there are, of values as well as of tables, whatever hands them on', async () => {
    // Messages along edges: y[to] += x[from], for columns (from, to) of `edges`.
    const net = model({
      nodes: [
        node('Split', ['edges'], ['f', 't'], { axis: 0 }),
        node('Squeeze', ['f', 'first'], ['from']),
        node('Transpose', ['t'], ['to'], { perm: [1, 0] }),
        node('Gather', ['x', 'from'], ['messages']),
        node('Mul', ['x', 'none'], ['zeros']),
        node('ScatterND', ['zeros', 'to', 'messages'], ['y'], { reduction: 'add' }),
      ],
      initializers: new Map([
        ['first', integerTensor('first', 'int64', [1], [0])],
        ['none', floatTensor('none', [], [0])],
      ]),
      inputs: [valueInfo('x', 'float32', ['nodes', 4]), valueInfo('edges', 'int64', [2, 'E'])],
      outputs: [valueInfo('y', 'float32', ['nodes', 4])],
    })
    await withNet(net, async (session) => {
      const { make, shapes } = await findRandomInputs(net, session, { batchSize: 7 })
      expect(shapes).toEqual({ x: [7, 4], edges: [2, 512] })
      expect(new Set(make(1).edges.data as BigInt64Array)).toEqual(new Set([0n, 1n, 2n, 3n, 4n, 5n, 6n]))
    })
  })

  it('tries one size for all that is open, where sizes must agree and no symbol says so', async () => {
    const net = model({
      nodes: [node('MatMul', ['x', 'others'], ['y'])],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32', [5, undefined]), valueInfo('others', 'float32', [undefined, 3])],
      outputs: [valueInfo('y', 'float32', [5, 3])],
    })
    await withNet(net, async (session) => {
      const { shapes } = await findRandomInputs(net, session, { batchSize: 8 })
      expect(shapes).toEqual({ x: [5, 8], others: [8, 3] })
    })
  })

  it('keeps a size of 0, which the runtime takes for one', async () => {
    const net = model({
      nodes: [node('Concat', ['past', 'x'], ['y'], { axis: 1 })],
      initializers: new Map(),
      inputs: [valueInfo('past', 'float32', ['N', 0, 4]), valueInfo('x', 'float32', ['N', 3, 4])],
      outputs: [valueInfo('y', 'float32', ['N', 3, 4])],
    })
    await withNet(net, async (session) => {
      expect((await findRandomInputs(net, session)).shapes).toEqual({ past: [1, 0, 4], x: [1, 3, 4] })
    })
  })

  it('gives a tensor that may be left out, in the shape of its type, and says what cannot be drawn', async () => {
    const taking = (type: string, op: string): Model =>
      parseModel(`ir 8
opset 17
graph net {
  in x: float32[N, 6]
  in more: opaque ${type}
  out y: float32[N, 6]
  none: int64[] = {0}
  held = ${op}
  y = Add(x, held)
}
`)
    // optional(tensor(float32[N,6])) and sequence(tensor(float32)), as their bytes.
    const optional = taking('0x4a110a0f0a0d080112090a0312014e0a020806', 'OptionalGetElement(more)')
    await withNet(optional, async (session) => {
      const { shapes } = await findRandomInputs(optional, session, { batchSize: 3 })
      expect(shapes).toEqual({ x: [3, 6], more: [3, 6] })
    })
    const sequence = taking('0x22060a040a020801', 'SequenceAt(more, none)')
    await withNet(sequence, async (session) => {
      await expect(findRandomInputs(sequence, session)).rejects.toThrow(
        'random inputs: input "more" is no tensor, and only tensors can be drawn',
      )
    })
  })

  it('finds a size that a later layer forces, and gives up with the reason', async () => {
    const net = (reshape: readonly number[]) =>
      model({
        nodes: [node('Reshape', ['x', 'shape'], ['r']), node('Elu', ['r'], ['y'], { alpha: f(1) })],
        initializers: new Map([['shape', integerTensor('shape', 'int64', [reshape.length], reshape)]]),
        inputs: [valueInfo('x', 'float32', ['N', 3, 'h', 'w'])],
        outputs: [valueInfo('y', 'float32')],
      })
    await withNet(net([3 * 64 * 64]), async (session) => {
      expect((await findRandomInputs(net([3 * 64 * 64]), session)).shapes).toEqual({ x: [1, 3, 64, 64] })
    })
    await withNet(net([7]), async (session) => {
      await expect(findRandomInputs(net([7]), session)).rejects.toThrow(/^random inputs: no shape was found/)
    })
  })

  it('says what to tell it, and which told shape does not run', async () => {
    const known = (shape: readonly Dim[]): Model => ({
      ...adds(zero),
      graph: { ...adds(zero).graph, inputs: [valueInfo('x', 'float32', shape)] },
    })
    await withNet(adds(zero), async (session) => {
      await expect(findRandomInputs(known(['N', 5]), session)).rejects.toThrow(
        'expected --input-shape NAME=SIZES, or data',
      )
      await expect(findRandomInputs(known([1, 5]), session)).rejects.toThrow(
        'with inputs of its own shapes, "x" [1,5] (',
      )
    })
  })

  it('draws tokens that a table holds, and masks that leave something to attend to', async () => {
    const net = parseModel(`ir 8
opset 17
graph g {
  in ids: int64[N, S]
  in mask: int64[N, S]
  out y: float32[N, S, 2]
  table: float32[5, 2] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
  zero: int64[] = {0}
  last: int64[1] = {-1}
  padded = Equal(ids, zero)
  hidden = Equal(mask, zero)
  either = Or(padded, hidden)
  e = Gather(table, ids)
  wide = Unsqueeze(either, last)
  y = Where(wide, e, e)
}
`)
    await withNet(net, async (session) => {
      const { make } = await findRandomInputs(net, session, { batchSize: 40 })
      const { ids, mask } = make(1)
      expect(new Set(Array.from(ids.data as BigInt64Array, Number)).size).toBe(5)
      const rows = mask.dims[1]
      const bits = Array.from(mask.data as BigInt64Array, Number)
      for (let r = 0; r < 40; r++) {
        const row = bits.slice(r * rows, (r + 1) * rows).join('')
        expect(row).toMatch(/^1+0*$/)
        expect(row.lastIndexOf('1')).toBeGreaterThanOrEqual(rows / 2 - 1)
      }
      expect(bits).toContain(0)
    })
  })

  it('draws the texts that the graph knows', async () => {
    const net = parseModel(`ir 8
opset 17
opset "ai.onnx.ml" 2
graph g {
  in words: string[N]
  out y: int64[N]
  y = ai.onnx.ml::LabelEncoder(words) {default_int64: -1, keys_strings: ["no", "yes"], values_int64s: [0, 1]}
}
`)
    await withNet(net, async (session) => {
      const { make } = await findRandomInputs(net, session, { batchSize: 40 })
      expect(new Set(make(1).words.data as readonly string[])).toEqual(new Set(['no', 'yes']))
    })
  })

  const { COPPICE_MODELS } = process.env
  it.skipIf(!COPPICE_MODELS)('works for every real model (needs COPPICE_MODELS)', async () => {
    for (const file of readdirSync(COPPICE_MODELS!).filter((name) => name.endsWith('.onnx'))) {
      const net = openModel(`${COPPICE_MODELS}/${file}`)
      await withNet(net, async (session) => {
        const { make } = await findRandomInputs(net, session)
        const outputs = Object.values(await session.run(make(1)))
        for (const { data } of outputs) expect(Array.from(data as Float32Array).some(Number.isNaN), file).toBe(false)
      })
    }
  })
})
