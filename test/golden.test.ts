/** The golden corpus: every decoder gives what the files are known to hold, and refuses hostile ones in the same words. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { openCop } from '../src/formats/cop-file.ts'
import { openMatrix } from '../src/formats/matrix/open.ts'
import { unpackOnnx } from '../src/formats/unpack-onnx.ts'
import type { Corpus } from '../tools/golden.mts'
import { unpackBySpec } from './spec-integers.ts'

const folder = new URL('./golden/', import.meta.url)
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, folder)))
const { good, hostile, matrices } = JSON.parse(new TextDecoder().decode(read('corpus.json'))) as Corpus
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const streamOf = (bytes: Uint8Array): ReadableStream<Uint8Array> => new Blob([new Uint8Array(bytes)]).stream()

it('lists every file of its folder', () => {
  const listed = [...good, ...hostile, ...matrices].map((f) => f.file)
  expect(readdirSync(folder).sort()).toEqual([...listed, 'corpus.json'].sort())
})

it.each(['models', 'records'])('the packed networks in %s/ are of the version that is read', async (name) => {
  const networks = new URL(`../${name}/`, import.meta.url)
  const files = readdirSync(networks).filter((f) => f.endsWith('.cop'))
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) {
    const { tensors } = await openCop(new Uint8Array(readFileSync(new URL(file, networks))))
    expect(tensors.length).toBeGreaterThan(5)
  }
})

describe('good files', () => {
  it.each(good)('$file', async ({ file, byteLength, sha256: sum, tensors }) => {
    const bytes = read(file)
    const whole = unpackOnnx(bytes)
    expect([whole.length, sha256(whole)]).toEqual([byteLength, sum])
    expect(sha256(await (await openCop(streamOf(bytes))).onnx())).toBe(sum)
    const opened = await openCop(bytes)
    const found = await Promise.all(
      opened.tensors.map(async ({ name, dtype, dims }, i) => ({
        name,
        dtype,
        dims,
        sha256: sha256(await opened.tensor(i)),
      })),
    )
    expect(found).toEqual(tensors.map(({ coding: _, ...rest }) => rest))
  })

  it.each(good)('$file, by the second decoder', ({ file, sha256: sum, tensors }) => {
    const { tensors: found, onnx } = unpackBySpec(read(file))
    expect(
      found.map(({ name, dtype, dims, coding, data }) => ({
        name,
        dtype,
        dims,
        coding,
        sha256: sha256(data as Uint8Array),
      })),
    ).toEqual(tensors)
    expect(sha256(onnx)).toBe(sum)
  })

  it('use every coding and mode', () => {
    const codings = new Set(good.flatMap((g) => g.tensors.map((t) => t.coding)))
    expect([...codings].sort()).toEqual(
      ['raw', 'inline', 'constant', 'integers', 'grid', 'codebook', 'floats', 'copy', 'runs', 'beside', 'bytes'].sort(),
    )
    expect(new Set(good.map((g) => g.mode)).size).toBe(3)
  })
})

describe('hostile files', () => {
  it.each(hostile)('$file: $error', async ({ file, error }) => {
    const bytes = read(file)
    expect(() => unpackOnnx(bytes)).toThrow(new Error(error))
    // While it streams, damage may be met in another order, but met it is.
    await expect(openCop(streamOf(bytes)).then((f) => f.onnx())).rejects.toThrow(/^(cop|integers): .+; .+/)
  })
})

describe('matrices', () => {
  it.each(matrices)('$file', ({ file, format, rows, columns, sha256: sum }) => {
    const bytes = read(file)
    for (const kernel of ['auto', 'typescript'] as const) {
      const open = openMatrix(bytes, { kernel })
      const { values } = open.decode()
      expect([open.format, open.rows, open.columns]).toEqual([format, rows, columns])
      expect(sha256(new Uint8Array(values.buffer))).toBe(sum)
    }
    const flipped = bytes.slice()
    flipped[bytes.length >> 1] ^= 1
    expect(() => openMatrix(flipped)).toThrow(`${format}: the checksum does not fit`)
  })
})
