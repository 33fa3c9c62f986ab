/**
 * Damaged and hostile bytes: a clear error or a valid model, never a hang, a crash or memory out of proportion.
 * The bound: a reader makes at most 8 bytes of data for a byte of the file (varints), beside the graph's own objects.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import { expect, test } from 'vitest'
import { inspectModel } from '../inspect/inspect.ts'
import type { Model } from '../model.ts'
import { densified } from '../simplify/densify.ts'
import { upgradeOpset } from '../simplify/upgrade.ts'
import { type Random, random } from '../tensor/random.ts'
import { randomModel } from '../testing/random-model.ts'
import { parseModel } from './parse-text.ts'
import { readModel } from './read.ts'
import { printModel } from './text.ts'
import { writeModel } from './write.ts'

const small = parseModel(`ir 8
opset 6
graph net {
  in x: float32[N, 2, 8, 8]
  out y: float32[N, 3]
  w: float32[3, 2, 3, 3] = {${new Array(54).fill('0.5').join(', ')}}
  s: int64[2] = {0, -1}
  z: sparse [3, 3] int64[2] {1, 5} float32[2] {1, 2}
  u = Add(x, s2) {broadcast: 1, axis: 1}
  s2: float32[2] = {1, 2}
  c = Conv(u, w) {strides: [2, 2], pads: [1, 1, 1, 1]}
  r = Reshape(c, s)
  k = Constant() {value: float32[48, 3] {${new Array(144).fill('1').join(', ')}}}
  b = Constant() {value: bool[] {1}}
  y = If(b) {then_branch: graph t {
    out p: float32
    p = MatMul(r, k)
  }, else_branch: graph e {
    out q: float32
    q = Gemm(r, k)
  }}
}
`)

/** Bytes become an error of one sentence or a model that can be inspected, printed and written again. */
function survives(bytes: Uint8Array, what: string): 'model' | 'error' {
  const start = performance.now()
  let outcome: 'model' | 'error' = 'model'
  let again = ['', '']
  try {
    const m = readModel(bytes)
    const inspection = inspectModel(m)
    JSON.stringify(inspection)
    for (const work of [densified, (old: Model) => upgradeOpset(old, 8)]) workedOrRefused(m, work, what)
    again = [printModel(readModel(writeModel(m))), printModel(m)]
  } catch (error) {
    outcome = 'error'
    expect(error, what).toBeInstanceOf(Error)
    const { message, name, stack } = error as Error
    expect(['Error', 'UnsupportedError'], `${what}: ${stack}`).toContain(name)
    expect(message, what).toMatch(/^(onnx: |tensor "|[\w.]+ ".*": attribute )/s)
  }
  expect(again[0], what).toBe(again[1])
  expect(performance.now() - start, what).toBeLessThan(2000)
  return outcome
}

/** What is done to a model next gives a model or a sentence, too. */
function workedOrRefused(m: Model, work: (m: Model) => Model, what: string): void {
  try {
    writeModel(work(m))
  } catch (error) {
    expect(['Error', 'UnsupportedError'], `${what}: ${(error as Error).stack}`).toContain((error as Error).name)
    expect((error as Error).message, what).toMatch(/^(sparse tensor "|tensor "|.* ".*": |onnx: )/s)
  }
}

function mutate(bytes: Uint8Array, rng: Random): Uint8Array {
  const out = bytes.slice()
  switch (rng.below(5)) {
    case 0:
      return out.subarray(0, rng.below(out.length))
    case 1:
      for (let n = 1 + rng.below(4); n > 0; n--) out[rng.below(out.length)] ^= 1 << rng.below(8)
      return out
    case 2:
      for (let n = 1 + rng.below(8), at = rng.below(out.length); n > 0; n--) out[(at + n) % out.length] = rng.below(256)
      return out
    case 3: {
      // A length or number made huge.
      const at = rng.below(out.length)
      return Uint8Array.of(...out.subarray(0, at), 0xff, 0xff, 0xff, 0xff, rng.below(256), ...out.subarray(at + 1))
    }
    default: {
      const [from, to] = [rng.below(out.length), rng.below(out.length)]
      return Uint8Array.of(...out.subarray(0, from), ...out.subarray(to))
    }
  }
}

test('6000 seeded mutations of models', () => {
  const rng = random(2024)
  const originals = [writeModel(small), ...[3, 4, 5, 6].map((seed) => writeModel(randomModel(seed)))]
  const outcomes = { model: 0, error: 0 }
  for (let i = 0; i < 6000; i++) {
    let bytes = originals[i % originals.length]
    for (let n = 1 + Number(rng.below(4) === 0); n > 0 && bytes.length > 0; n--) bytes = mutate(bytes, rng)
    outcomes[survives(bytes, `mutation ${i}`)]++
  }
  // Both happen often, or this test would prove little.
  expect(outcomes.model).toBeGreaterThan(500)
  expect(outcomes.error).toBeGreaterThan(2000)
})

test('3000 strings of random bytes, and every truncation of a model', () => {
  const rng = random(7)
  for (let i = 0; i < 3000; i++)
    survives(
      Uint8Array.from({ length: rng.below(200) }, () => rng.below(256)),
      `random ${i}`,
    )
  const whole = writeModel(small)
  for (let n = 0; n < whole.length; n++) survives(whole.subarray(0, n), `first ${n} bytes`)
})

const field = (no: number, wireType: number): number => (no << 3) | wireType
const wrap = (no: number, bytes: Uint8Array): Uint8Array =>
  new BinaryWriter().uint32(field(no, 2)).bytes(bytes).finish()
const opset17 = wrap(8, new BinaryWriter().uint32(field(2, 0)).int64(17).finish())
const modelOf = (graph: Uint8Array): Uint8Array => Uint8Array.of(...wrap(7, graph), ...opset17)

test('nesting far too deep is an error, not a stack overflow', () => {
  let graph = new Uint8Array(0) as Uint8Array
  for (let i = 0; i < 2000; i++) {
    const attribute = new BinaryWriter().uint32(field(20, 0)).int32(5).uint32(field(6, 2)).bytes(graph).finish()
    graph = wrap(1, wrap(5, attribute))
  }
  expect(() => readModel(modelOf(graph))).toThrow(/nested more than 100 deep/)
})

test('tensors that claim more than the file holds', () => {
  const tensor = (dims: bigint[], extra: (w: BinaryWriter) => BinaryWriter): Uint8Array => {
    const w = new BinaryWriter()
    for (const d of dims) w.uint32(field(1, 0)).int64(d)
    return modelOf(wrap(5, extra(w.uint32(field(2, 0)).int32(1).uint32(field(8, 2)).string('t')).finish()))
  }
  const same = (w: BinaryWriter): BinaryWriter => w
  expect(() => readModel(tensor([2n ** 40n], same))).toThrow(/0 bytes of data; expected 4398046511104 for float32/)
  expect(() => readModel(tensor([2n ** 62n, 4n], same))).toThrow(/is not possible/)
  expect(() => readModel(tensor([2n ** 31n, 2n ** 31n], same))).toThrow(/is not possible/)
  expect(() => readModel(tensor([-1n], same))).toThrow(/shape \[-1\] is not possible/)
  expect(() => readModel(tensor(new Array(1000).fill(1n), same))).toThrow(/1000 dimensions; expected at most 255/)
  const lengths = (w: BinaryWriter): BinaryWriter => w.uint32(field(9, 2)).uint32(0xffffffff)
  expect(() => readModel(tensor([2n], lengths))).toThrow(/"rawData" wants 4294967295 bytes, 0 are left/)
})

test('varints take at most 8 bytes for each byte of the file', () => {
  const count = 4_000_000
  const t = new BinaryWriter().uint32(field(1, 0)).int64(count).uint32(field(2, 0)).int32(7)
  const bytes = modelOfLarge(t.uint32(field(7, 2)).bytes(new Uint8Array(count)).finish())
  const before = process.memoryUsage()
  const m = readModel(bytes)
  const after = process.memoryUsage()
  expect(m.graph.initializers.get('')?.data.byteLength).toBe(8 * count)
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThanOrEqual(8.1 * bytes.length)
})

function modelOfLarge(tensor: Uint8Array): Uint8Array {
  return Buffer.concat([wrap(7, wrap(5, tensor)), opset17])
}

test('names that JavaScript gives a meaning are names', () => {
  const odd = parseModel(`ir 8
opset 17
graph g {
  in __proto__: float32[2]
  out y: float32[2]
  constructor = Relu(__proto__) {__proto__: 1, toString: "x", hasOwnProperty: [1, 2]}
  h = constructor(constructor)
  y = toString::valueOf(h)
}
`)
  const again = readModel(writeModel(odd))
  expect(printModel(again)).toBe(printModel(odd))
  expect(Object.keys(again.graph.nodes[0].attributes)).toEqual(['__proto__', 'toString', 'hasOwnProperty'])
  expect(inspectModel(again).unsupported.map((u) => u.op)).toEqual(['constructor', 'toString.valueOf'])
})
