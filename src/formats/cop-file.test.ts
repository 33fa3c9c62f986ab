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
import { unpackModel } from './unpack.ts'
import { unpackOnnx } from './unpack-onnx.ts'

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
const modelOf = (list: readonly Tensor[]): Model => ({
  irVersion: 8,
  opsets: [{ domain: '', version: 17 }],
  graph: {
    name: 'g',
    nodes: [nodeOf('Relu', ['x'], ['y'])],
    initializers: new Map(list.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', [1])],
    outputs: [valueInfo('y', 'float32', [1])],
  },
})
const model = modelOf(tensors)
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
  // A decoder that blocks this thread for long must not find its connection closed.
  server.keepAliveTimeout = 0
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

describe('a file of another version', () => {
  it.each([packed[3] - 1, packed[3] + 1, 255])(
    'is refused by every reader, which says what reads it: %i',
    async (version) => {
      const other = packed.slice()
      other[3] = version
      const source: ByteSource = {
        byteLength: other.length,
        read: async (at, length) => other.subarray(at, at + length),
      }
      const sentence = `cop: the file is of version ${version}; expected ${packed[3]}; unpack it with the coppice that packed it`
      expect(() => unpackOnnx(other)).toThrow(sentence)
      expect(() => unpackModel(other)).toThrow(sentence)
      for (const from of [other, source, new Blob([other]).stream()])
        await expect(openCop(from)).rejects.toThrow(sentence)
    },
  )
})

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
    await expect(open('/none.cop')).rejects.toThrow(/none.cop answered with status 404; expected a packed model$/)
    await expect(open('/short.cop')).rejects.toThrow('the file ends too soon')
    const file = await open('/ranges.cop')
    etag = '"2"'
    await expect(file.tensor('second')).rejects.toThrow(
      /answered with a part of another file; .* of the one that was opened$/,
    )
    etag = '"1"'
  })
})

/** A server without a network: what it was asked for, and whether anybody told it that no more is wanted. */
function serverOf(answer: (from: number, to: number) => Response | undefined, body = small) {
  const asked: string[] = []
  let cancelled = 0
  const fetch = async (_url: string, init?: RequestInit): Promise<Response> => {
    const range = new Headers(init?.headers).get('range')
    asked.push(range ?? 'all')
    const [, from, to] = /(\d+)-(\d+)/.exec(range ?? '') ?? []
    const stream = streamOf(body, 7001, () => cancelled++)
    return (range && answer(Number(from), Math.min(body.length, Number(to) + 1))) || new Response(stream)
  }
  return { fetch, asked, cancelled: () => cancelled }
}

const small = packModel(modelOf([tensors[3], tensors[4], integerTensor('ints', 'int8', [900], ints(900, 30))]))
const smallOnnx = unpackOnnx(small)

/** Bytes of `small` as an answer says that they are. */
const part = (from: number, to: number, said = `${from}-${to - 1}/${small.length}`, headers = {}): Response =>
  new Response(new Uint8Array(small.subarray(from, to)), {
    status: 206,
    headers: { 'content-range': `bytes ${said}`, ...headers },
  })

describe('servers of all kinds', () => {
  const cases: Record<string, [(from: number, to: number) => Response | undefined, number]> = {
    'that send less than they are asked for': [(from, to) => part(from, Math.min(to, from + 200)), 0],
    'that send a byte at first': [(from, to) => part(from, from === 0 ? 1 : to), 0],
    'that send more than they are asked for': [(from, to) => part(from, from === 0 ? 200 : to + 50), 0],
    'that begin elsewhere': [(from, to) => part(0, to - from), 0],
    'that begin elsewhere later on': [(from) => part(0, from === 0 ? 200 : 100), 1],
    'that send nothing later on': [(from, to) => (from === 0 ? part(0, 200) : part(to, to, `${from}-${to}/*`)), 1],
    'that know ranges at first alone': [(from) => (from === 0 ? part(0, 200) : undefined), 1],
    'that say a wrong length': [(from, to) => part(from, to, `${from}-${to - 1}/10`), 1],
  }
  it.each(Object.entries(cases))('%s', async (_, [answer, wholes]) => {
    const { fetch, asked } = serverOf(answer)
    const file = await openCop('http://host/a.cop', { fetch })
    expect(same(await file.onnx(), smallOnnx)).toBe(true)
    expect(same(await file.tensor('third'), tensors[4].data)).toBe(true)
    expect(asked.filter((range) => range === 'all').length).toBeLessThanOrEqual(wholes)
  })

  it('that cannot be reached, or break off: one sentence with the address', async () => {
    const fetch = async (): Promise<Response> => {
      throw new TypeError('fetch failed')
    }
    await expect(openCop('http://host/a.cop', { fetch })).rejects.toThrow(
      new Error('cop: http://host/a.cop could not be read (fetch failed); expected a packed model'),
    )
    const broken = new ReadableStream({ pull: (controller) => controller.error(new TypeError('terminated')) })
    const half = async (): Promise<Response> => new Response(broken)
    await expect(openCop('http://host/a.cop', { fetch: half })).rejects.toThrow(
      new Error('cop: http://host/a.cop could not be read (terminated); expected a packed model'),
    )
  })

  it('that fail once: the next read asks again', async () => {
    let fails = false
    const { fetch } = serverOf((from) => (fails ? new Response('', { status: 503 }) : part(from, from + 200)))
    const file = await openCop('http://host/a.cop', { fetch })
    fails = true
    await expect(file.tensor('ints')).rejects.toThrow(
      'http://host/a.cop answered with status 503; expected a packed model',
    )
    fails = false
    expect(same(await file.onnx(), smallOnnx)).toBe(true)
  })
})

describe('nothing comes that nobody wants', () => {
  const damaged = packed.slice()
  damaged[readContents(packed).groups[0].at] ^= 1

  it('after an error', async () => {
    for (const body of [damaged, new TextEncoder().encode('<!doctype html>'.repeat(10_000))]) {
      const { fetch, cancelled } = serverOf(() => undefined, body)
      await expect(openCop('http://host/a.cop', { fetch }).then((f) => f.onnx())).rejects.toThrow(/^cop: /)
      let told = 0
      const stream = streamOf(body, 7001, () => told++)
      await expect(
        openCop(stream).then(async (f) => {
          for await (const _ of f.chunks());
        }),
      ).rejects.toThrow(/^cop: /)
      expect([cancelled(), told]).toEqual([1, 1])
    }
    const { fetch, cancelled } = serverOf(() => undefined, packed)
    await expect(openCop('http://host/a.cop', { fetch, maxBytes: 100 })).rejects.toThrow('expected at most 100')
    expect(cancelled()).toBe(1)
  })

  it('after close', async () => {
    const { fetch, cancelled } = serverOf(() => undefined, packed)
    const file = await openCop('http://host/a.cop', { fetch })
    expect(same(await file.tensor('zeros'), tensors[5].data)).toBe(true)
    await file.close()
    expect(cancelled()).toBe(1)
    await expect(file.tensor('second')).rejects.toThrow(
      'cop: http://host/a.cop was closed; expected it open for as long as it is read',
    )
    await (await openCop(packed)).close()
  })
})

/** The bytes in pieces of uneven sizes. */
function streamOf(bytes: Uint8Array, piece = 7001, cancel = () => {}): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close()
      else controller.enqueue(bytes.slice(at, (at += piece)))
    },
    cancel,
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

  it('gives right data where tensors are asked for meanwhile, though sources use their memory again', async () => {
    const list = [
      floatTensor(
        'a',
        [2000],
        Float32Array.from({ length: 2000 }, () => rng.normal()),
      ),
      integerTensor('b', 'int8', [2 ** 20], ints(2 ** 20, 9)),
      integerTensor('c', 'int8', [50, 50], ints(2500, 9)),
    ]
    const bytes = packModel(modelOf(list), { mode: 'fast' })
    const whole = unpackOnnx(bytes)
    const memory = Buffer.alloc(bytes.length)
    const again: ByteSource = {
      async read(at, length) {
        memory.fill(7).set(bytes.subarray(at, at + length))
        return memory.subarray(0, Math.min(length, bytes.length - at))
      },
    }
    for (const source of [again, streamOf(bytes, 65536), bytes]) {
      const file = await openCop(source)
      const chunks: Uint8Array[] = []
      for await (const chunk of file.chunks()) {
        chunks.push(chunk)
        if (chunk.length === 8000) expect(same(await file.tensor('c'), list[2].data)).toBe(true)
      }
      expect(same(Buffer.concat(chunks), whole)).toBe(true)
    }
    // At the same time, too: one read has its bytes before the next begins.
    const file = await openCop(again)
    const found = await Promise.all(list.map((t) => file.tensor(t.name)))
    for (const [i, data] of found.entries()) expect(same(data, list[i].data)).toBe(true)
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
    await expect(openCop(longer).then((f) => f.onnx())).rejects.toThrow(
      'cop: 1 bytes follow the end of the packed model',
    )
  })

  it('holds to the most bytes that may come out', async () => {
    await expect(openCop(packed, { maxBytes: onnx.length - 1 })).rejects.toThrow(
      `cop: the model inside is ${onnx.length} bytes long; expected at most ${onnx.length - 1}`,
    )
    expect(same(await (await openCop(packed, { maxBytes: onnx.length })).onnx(), onnx)).toBe(true)
  })
})
