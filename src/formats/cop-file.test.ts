/** Opening packed files where they lie: over HTTP with and without ranges, from streams and memory; one tensor, or all in order. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { node as nodeOf, valueInfo } from '../graph/build.ts'
import type { Model, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { readContents } from './container.ts'
import { type ByteSource, openCop } from './cop-file.ts'
import { packModel } from './pack.ts'

const rng = random(1)
const ints = (n: number, scale: number): Int8Array =>
  Int8Array.from({ length: n }, () => Math.round(rng.normal() * scale))
// Three groups: a group ends after 2^20 elements.
const shared = floatTensor(
  'first',
  [1024, 1024],
  Float32Array.from(ints(2 ** 20, 2), (v) => v * 0.5),
)
const tensors: Tensor[] = [
  shared,
  integerTensor('second', 'int8', [1024, 1024], ints(2 ** 20, 1)),
  { ...shared, name: 'again' },
  integerTensor('shape', 'int64', [2], [1, -1]),
  floatTensor(
    'third',
    [100],
    Float32Array.from({ length: 100 }, () => rng.normal()),
  ),
  floatTensor('zeros', [5000], new Float32Array(5000)),
]
const model: Model = {
  irVersion: 8,
  opsets: [{ domain: '', version: 17 }],
  graph: {
    name: 'g',
    nodes: [nodeOf('Relu', ['x'], ['y'])],
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', [1])],
    outputs: [valueInfo('y', 'float32', [1])],
  },
}
const onnx = writeModel(model)
const packed = packModel(model, { mode: 'fast' })

/** What a server was asked for, and how much it sent. */
interface Log {
  requests: string[]
  bytes: number
}

let server: Server
let origin: string
const log: Log = { requests: [], bytes: 0 }
let etag = '"1"'

beforeAll(async () => {
  server = createServer((request, response) => {
    const [, , from, to] = /^(bytes=(\d+)-(\d+))?$/.exec(request.headers.range ?? '') ?? []
    log.requests.push(request.headers.range ?? 'all')
    const body = request.url === '/short.cop' ? packed.subarray(0, -1) : packed
    if (request.url === '/none.cop') response.writeHead(404).end('no')
    else if (request.url === '/plain.cop' || from === undefined) {
      log.bytes += body.length
      response.writeHead(200).end(body)
    } else {
      const part = body.subarray(Number(from), Number(to) + 1)
      log.bytes += part.length
      const range = `bytes ${from}-${Number(from) + part.length - 1}/${body.length}`
      response.writeHead(206, { etag, ...(request.url === '/hidden.cop' ? {} : { 'content-range': range }) }).end(part)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

async function open(path: string): ReturnType<typeof openCop> {
  log.requests = []
  log.bytes = 0
  return openCop(origin + path)
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

describe('over HTTP', () => {
  it('with ranges: contents, one tensor, and a copy of it, without the rest of the file', async () => {
    const file = await open('/ranges.cop')
    expect(log.requests).toEqual(['bytes=0-65535'])
    expect(file.byteLength).toBe(onnx.length)
    expect(file.tensors.map((t) => [t.name, t.dtype, [...t.dims], t.byteLength])).toEqual(
      tensors.map((t) => [t.name, t.dtype, [...t.dims], t.data.byteLength]),
    )
    expect(same(await file.tensor('second'), tensors[1].data)).toBe(true)
    const { range } = file.tensors[1]
    expect(log.requests.slice(1)).toEqual([`bytes=${range!.at}-${range!.at + range!.length - 1}`])
    expect(log.bytes).toBeLessThan(packed.length * 0.6)
    expect(same(await file.tensor('again'), shared.data)).toBe(true)
    expect(file.tensors[2].range).toEqual(file.tensors[0].range)
    const before = log.requests.length
    expect(same(await file.tensor('zeros'), tensors[5].data)).toBe(true)
    expect(log.requests.length).toBe(before)
    await expect(file.tensor('other')).rejects.toThrow('no tensor is named "other"')
  })

  it.each(['/ranges.cop', '/plain.cop', '/hidden.cop'])('%s: every tensor, then the whole file', async (path) => {
    const file = await open(path)
    const found = await Promise.all(tensors.map((t) => file.tensor(t.name)))
    for (const [i, data] of found.entries()) expect(same(data, tensors[i].data), tensors[i].name).toBe(true)
    expect(same(await file.onnx(), onnx)).toBe(true)
    if (path !== '/ranges.cop') expect(log.requests.length).toBeLessThanOrEqual(2)
  })

  it('says what is wrong: not there, cut short, changed meanwhile', async () => {
    await expect(open('/none.cop')).rejects.toThrow(/none.cop answered 404; expected a packed model$/)
    await expect(open('/short.cop')).rejects.toThrow('the file ends too soon')
    const file = await open('/ranges.cop')
    etag = '"2"'
    await expect(file.tensor('second')).rejects.toThrow(/answered 206 .* of the file opened$/)
    etag = '"1"'
  })
})

/** The bytes in pieces of uneven sizes. */
function streamOf(bytes: Uint8Array, piece = 7001): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close()
      else controller.enqueue(bytes.subarray(at, (at += piece)))
    },
  })
}

describe('from streams and memory', () => {
  it('gives the file tensor by tensor, asking for a group when its turn comes, and keeps nothing', async () => {
    const reads: [number, number][] = []
    const source: ByteSource = {
      async read(at, length) {
        reads.push([at, length])
        return packed.subarray(at, at + length)
      },
    }
    const file = await openCop(source)
    const groups = readContents(packed).groups
    expect(groups.length).toBe(3)
    const readsAt: number[] = []
    let largest = 0
    let length = 0
    for await (const chunk of file.chunks()) {
      readsAt.push(reads.length)
      largest = Math.max(largest, chunk.length)
      expect(same(chunk, onnx.subarray(length, length + chunk.length))).toBe(true)
      length += chunk.length
    }
    expect(length).toBe(onnx.length)
    expect(largest).toBe(4 * 2 ** 20)
    // One group after another, not all at the start; the last read is past the end.
    expect(reads.slice(1)).toEqual([...groups.map((g) => [g.at, g.integersLength + g.rawLength]), [packed.length, 1]])
    expect(new Set(readsAt).size).toBe(4)
  })

  it('decodes a stream while it comes', async () => {
    expect(same(await (await openCop(streamOf(packed))).onnx(), onnx)).toBe(true)
    expect(same(await (await openCop(streamOf(packed, 1))).onnx(), onnx)).toBe(true)
    const file = await openCop(streamOf(packed))
    await file.onnx()
    await expect(file.tensor('first')).rejects.toThrow('the stream has passed this part of the file')
  })

  it('a stream cut anywhere, or too long, is an error', async () => {
    const cuts = [0, 1, 3, 8, 20, 200, packed.length >> 1, packed.length - 1]
    for (const n of cuts) {
      const run = async (): Promise<unknown> => (await openCop(streamOf(packed.subarray(0, n)))).onnx()
      await expect(run(), `${n} bytes`).rejects.toThrow(/^cop: .*; .+/)
    }
    const longer = streamOf(Buffer.concat([packed, Buffer.of(0)]))
    await expect(openCop(longer).then((f) => f.onnx())).rejects.toThrow('cop: 1 bytes too many')
  })

  it('holds to the most bytes that may come out', async () => {
    await expect(openCop(packed, { maxBytes: onnx.length - 1 })).rejects.toThrow(
      `cop: ${onnx.length} bytes of ONNX; expected at most ${onnx.length - 1}`,
    )
    expect(same(await (await openCop(packed, { maxBytes: onnx.length })).onnx(), onnx)).toBe(true)
  })
})
