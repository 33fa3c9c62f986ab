/** What people hand over in place of a model: each is named in one sentence, and no model is taken for any of it. */
import { deflateRawSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { packModel } from '../formats/pack.ts'
import { randomModel } from '../testing/random-model.ts'
import { fileKindOf } from './file-kind.ts'
import { readModel } from './read.ts'
import { writeModel } from './write.ts'

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)
const bytes = (...parts: (number[] | string)[]): Uint8Array =>
  Buffer.concat(parts.map((p) => (typeof p === 'string' ? Buffer.from(p, 'latin1') : Buffer.from(p))))

/** A ZIP archive's first entry, which is all that is looked at. */
function zipOf(name: string, content = 'x'): Uint8Array {
  const data = deflateRawSync(content)
  const head = Buffer.alloc(30)
  head.write('PK\x03\x04', 'latin1')
  head.writeUInt16LE(8, 8)
  head.writeUInt32LE(data.length, 18)
  head.writeUInt32LE(content.length, 22)
  head.writeUInt16LE(name.length, 26)
  return Buffer.concat([head, Buffer.from(name), data])
}

const header = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'

describe('what is no ONNX model', () => {
  test.each<[string, Uint8Array]>([
    ['a text file', ascii('hello world\n')],
    ['a text file', ascii('Grüße, 模型\n')],
    ['a JSON', ascii('{"a": 1}')],
    ['a web page', ascii('\n<!DOCTYPE html><html><body>404</body></html>')],
    ['an XML file', ascii('<?xml version="1.0"?><a/>')],
    ['an OpenVINO model', ascii('<?xml version="1.0"?>\n<net name="x" version="11"></net>')],
    ['a pointer of Git LFS', ascii('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n')],
    ['a PNG image', bytes([0x89], 'PNG\r\n\x1a\n', [0, 0, 0, 13])],
    ['a JPEG image', bytes([0xff, 0xd8, 0xff, 0xe0, 0, 16])],
    ['a PyTorch checkpoint', zipOf('archive/data.pkl')],
    ['an archive of NumPy arrays', zipOf('x.npy')],
    ['expected the .onnx in it', zipOf('model.onnx')],
    ['a ZIP archive', zipOf('readme.txt')],
    ['a Python pickle', bytes([0x80, 2], '}q\x00X\x01\x00\x00\x00aq\x01K\x01s.')],
    ['a safetensors file', bytes([header.length, 0, 0, 0, 0, 0, 0, 0], header, [0, 0, 0, 0])],
    ['a TensorFlow Lite model', bytes([0x1c, 0, 0, 0], 'TFL3', [0, 0])],
    ["ONNX Runtime's own format", bytes([0x1c, 0, 0, 0], 'ORTM', [0, 0])],
    ['a GGUF model', bytes('GGUF', [3, 0, 0, 0])],
    ['an HDF5 file', bytes([0x89], 'HDF\r\n\x1a\n')],
    ['a gzip archive', gzipSync('model')],
    ['a packed file', packModel(randomModel(1))],
    ['an empty file', new Uint8Array(0)],
  ])('%s', (what, file) => {
    expect(fileKindOf(file)).toContain(what)
    expect(() => readModel(file)).toThrow(/^onnx: it is not an ONNX model but [^\n]+$/)
    expect(() => readModel(file)).toThrow(what)
  })

  test('bytes of no known kind, and packed files whose first bytes are damaged, are neither', () => {
    const neither = 'onnx: it is neither an ONNX model nor a packed file (.cop), or its first bytes are damaged'
    expect(() => readModel(Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919 + 13) % 251))).toThrow(neither)
    for (const at of [0, 1, 2])
      for (const bit of [1, 128]) {
        const packed = packModel(randomModel(1)).slice()
        packed[at] ^= bit
        expect(() => readModel(packed), `${at} ${bit}`).toThrow(neither)
      }
  })

  test('a model that is damaged farther in is told where', () => {
    const half = writeModel(randomModel(1)).subarray(0, 200)
    expect(() => readModel(half)).toThrow(/^onnx: .*not an ONNX file, or a damaged one; in \w+ at byte \d+$/)
  })
})

test('a cut model is not taken for something else', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const whole = writeModel(randomModel(seed))
    expect(fileKindOf(whole)).toBeUndefined()
    expect(fileKindOf(whole.subarray(0, 20))).toBeUndefined()
  }
})

describe('any ONNX file is read, whatever sets it names', () => {
  const model = randomModel(2)
  test.each([
    ['none', []],
    ['set 1', [{ domain: '', version: 1 }]],
    ['a set of tomorrow', [{ domain: '', version: 999 }]],
    ['ai.onnx.ml alone', [{ domain: 'ai.onnx.ml', version: 1 }]],
    ['a domain of its own', [{ domain: 'org.example', version: 7 }]],
  ])('%s', (_, opsets) => {
    for (const irVersion of [0, 1, 3, 14, 99]) {
      const file = writeModel({ ...model, irVersion, opsets })
      expect(readModel(file)).toMatchObject({ irVersion, opsets })
      expect(Buffer.compare(writeModel(readModel(file)), file)).toBe(0)
    }
  })
})
