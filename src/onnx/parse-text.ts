/** Reads the text form that text.ts prints: a recursive descent over its tokens. For tests and small models by hand. */
import type {
  Attribute,
  Dim,
  FunctionDef,
  Graph,
  Int,
  Model,
  Node,
  OpsetId,
  SparseTensor,
  StringEntry,
  Tensor,
  ValueInfo,
} from '../model.ts'
import { bytesOf, checkSize, type DataType, dataTypes, sizeOf } from '../tensor/dtype.ts'
import { liftType } from './read.ts'

const token = /\s*("(?:[^"\\]|\\.)*"|->|::|-?\d[\d.]*e[+-]\d+|-?[\w./]+|[{}()[\],=:@$#<>?])/y

interface Reader {
  readonly tokens: readonly string[]
  readonly lines: readonly number[]
  at: number
}

/** Reads a model's text. Throws one sentence with the line where it does not fit; tensors printed as `#hash` do not. */
export function parseModel(text: string): Model {
  const reader = tokenize(text)
  const model = {
    irVersion: 0,
    opsets: [] as OpsetId[],
    metadata: [] as StringEntry[],
    functions: [] as FunctionDef[],
    graph: undefined as Graph | undefined,
  }
  const rest: { -readonly [K in 'producerName' | 'producerVersion' | 'domain']?: string } & { modelVersion?: Int } = {}
  while (reader.at < reader.tokens.length) {
    const word = next(reader)
    if (word === 'ir') model.irVersion = Number(next(reader))
    else if (word === 'opset') model.opsets.push(opset(reader))
    else if (word === 'producer') {
      const [producer, version] = [name(reader), name(reader)]
      if (producer) rest.producerName = producer
      if (version) rest.producerVersion = version
    } else if (word === 'domain') rest.domain = name(reader)
    else if (word === 'version') rest.modelVersion = int(reader)
    else if (word === 'metadata') model.metadata.push({ key: name(reader), value: name(reader) })
    else if (word === 'graph') model.graph = graph(reader)
    else if (word === 'function') model.functions.push(localFunction(reader))
    else throw wrong(reader, `"${word}"`, 'ir, opset, producer, domain, version, metadata, graph or function')
  }
  if (!model.graph) throw new Error('text: no graph in it')
  const { metadata, functions, ...core } = model
  return {
    ...core,
    ...rest,
    graph: model.graph,
    ...(metadata.length > 0 ? { metadata } : {}),
    ...(functions.length > 0 ? { functions } : {}),
  }
}

function tokenize(text: string): Reader {
  const tokens: string[] = []
  const lines: number[] = []
  let line = 1
  token.lastIndex = 0
  const end = text.trimEnd().length
  for (let at = 0; at < end; at = token.lastIndex) {
    token.lastIndex = at
    const match = token.exec(text)
    line += (text.slice(at, token.lastIndex).match(/\n/g) ?? []).length
    if (!match)
      throw new Error(
        `text: cannot read ${JSON.stringify(text.slice(at, at + 20).trim())}; expected a name, a number, a string or a sign; in line ${line}`,
      )
    tokens.push(match[1])
    lines.push(line)
  }
  return { tokens, lines, at: 0 }
}

function wrong(reader: Reader, got: string, wanted: string): Error {
  return new Error(
    `text: ${got}; expected ${wanted}; in line ${reader.lines[reader.at - 1] ?? reader.lines.at(-1) ?? 1}`,
  )
}

function next(reader: Reader): string {
  if (reader.at >= reader.tokens.length) throw wrong(reader, 'it ends here', 'more')
  return reader.tokens[reader.at++]
}

function peek(reader: Reader): string | undefined {
  return reader.tokens[reader.at]
}

function take(reader: Reader, what: string): boolean {
  if (peek(reader) !== what) return false
  reader.at++
  return true
}

function expect(reader: Reader, what: string): void {
  const got = next(reader)
  if (got !== what) throw wrong(reader, `"${got}"`, `"${what}"`)
}

function name(reader: Reader): string {
  const got = next(reader)
  if (got.startsWith('"')) return unquoted(reader, got)
  if (!/^[\w./]+$/.test(got)) throw wrong(reader, `"${got}"`, 'a name')
  return got
}

function unquoted(reader: Reader, word: string): string {
  try {
    return JSON.parse(word)
  } catch {
    throw wrong(reader, `the string ${JSON.stringify(word)}`, "one with JSON's escapes")
  }
}

/** Items between brackets, with commas. */
function list<T>(reader: Reader, open: string, close: string, item: () => T): T[] {
  expect(reader, open)
  const items: T[] = []
  while (!take(reader, close)) {
    if (items.length > 0) expect(reader, ',')
    items.push(item())
  }
  return items
}

function opset(reader: Reader): OpsetId {
  const domain = peek(reader)?.startsWith('"') ? name(reader) : ''
  return { domain, version: Number(next(reader)) }
}

function graph(reader: Reader): Graph {
  const graphName = name(reader)
  const inputs: ValueInfo[] = []
  const outputs: ValueInfo[] = []
  const valueInfo: ValueInfo[] = []
  const nodes: Node[] = []
  const initializers = new Map<string, Tensor>()
  const sparse: SparseTensor[] = []
  expect(reader, '{')
  while (!take(reader, '}')) {
    if (take(reader, 'in')) inputs.push(value(reader))
    else if (take(reader, 'out')) outputs.push(value(reader))
    else if (take(reader, 'value')) valueInfo.push(value(reader))
    else if (reader.tokens[reader.at + 1] === ':') {
      const tensorName = name(reader)
      expect(reader, ':')
      if (take(reader, 'sparse')) sparse.push(sparseTensor(reader, tensorName))
      else initializers.set(tensorName, tensor(reader, tensorName))
    } else nodes.push(node(reader))
  }
  return {
    name: graphName,
    nodes,
    initializers,
    inputs,
    outputs,
    ...(valueInfo.length > 0 ? { valueInfo } : {}),
    ...(sparse.length > 0 ? { sparseInitializers: sparse } : {}),
  }
}

function localFunction(reader: Reader): FunctionDef {
  const { op, domain, overload } = operator(reader)
  const inputs = list(reader, '(', ')', () => name(reader))
  expect(reader, '->')
  const outputs = list(reader, '(', ')', () => name(reader))
  const fn = { nodes: [] as Node[], opsets: [] as OpsetId[], valueInfo: [] as ValueInfo[], attributes: [] as string[] }
  expect(reader, '{')
  while (!take(reader, '}')) {
    if (take(reader, 'attributes')) {
      do fn.attributes.push(name(reader))
      while (take(reader, ','))
    } else if (take(reader, 'opset')) fn.opsets.push(opset(reader))
    else if (take(reader, 'value')) fn.valueInfo.push(value(reader))
    else fn.nodes.push(node(reader))
  }
  return { name: op, domain: domain ?? '', ...(overload ? { overload } : {}), inputs, outputs, ...fn }
}

function operator(reader: Reader): { op: string; domain?: string; overload?: string } {
  const first = name(reader)
  const rest = take(reader, '::') ? { op: name(reader), domain: first } : { op: first }
  if (!take(reader, '<')) return rest
  const overload = name(reader)
  expect(reader, '>')
  return { ...rest, overload }
}

function node(reader: Reader): Node {
  const outputs = [name(reader)]
  while (take(reader, ',')) outputs.push(name(reader))
  expect(reader, '=')
  const called = operator(reader)
  const inputs = list(reader, '(', ')', () => name(reader))
  const attributes = peek(reader) === '{' ? list(reader, '{', '}', () => entry(reader)) : []
  const label = take(reader, '@') ? { name: name(reader) } : {}
  return { ...called, inputs, outputs, attributes: Object.fromEntries(attributes), ...label }
}

function entry(reader: Reader): [string, Attribute] {
  const key = name(reader)
  expect(reader, ':')
  return [key, attribute(reader)]
}

function attribute(reader: Reader): Attribute {
  const word = peek(reader) ?? ''
  if (take(reader, '$')) return { type: 'reference', value: name(reader), attributeType: Number(next(reader)) }
  if (take(reader, 'opaque')) return { type: 'opaque', value: unhex(reader) }
  if (take(reader, 'graph')) return { type: 'graph', value: graph(reader) }
  if (take(reader, 'graphs')) {
    const graphs = list(reader, '[', ']', () => {
      expect(reader, 'graph')
      return graph(reader)
    })
    return { type: 'graphs', value: graphs }
  }
  if (take(reader, 'sparse')) return { type: 'sparse-tensor', value: sparseTensor(reader, '') }
  if (take(reader, 'sparses')) {
    const tensors = list(reader, '[', ']', () => {
      expect(reader, 'sparse')
      return sparseTensor(reader, '')
    })
    return { type: 'sparse-tensors', value: tensors }
  }
  if (take(reader, 'tensors')) return { type: 'tensors', value: list(reader, '[', ']', () => attributeTensor(reader)) }
  for (const type of ['floats', 'ints', 'strings'] as const) {
    if (!take(reader, type)) continue
    list(reader, '[', ']', () => next(reader))
    return { type, value: [] }
  }
  if (word === '@' || Object.hasOwn(dataTypes, word)) return { type: 'tensor', value: attributeTensor(reader) }
  if (word === '[') return listAttribute(reader)
  return scalar(reader)
}

function scalar(reader: Reader): Extract<Attribute, { type: 'int' | 'float' | 'string' }> {
  const word = peek(reader) ?? ''
  if (word.startsWith('"')) return { type: 'string', value: name(reader) }
  if (word.startsWith('0x')) return { type: 'string', value: unhex(reader) }
  if (/^-?\d+$/.test(word)) return { type: 'int', value: int(reader) }
  return { type: 'float', value: Math.fround(number(reader)) }
}

function listAttribute(reader: Reader): Attribute {
  const items = list(reader, '[', ']', () => scalar(reader))
  const types = new Set(items.map((i) => i.type))
  if (types.size !== 1) throw wrong(reader, 'a list of mixed types', 'one type')
  if (types.has('int')) return { type: 'ints', value: items.map((i) => i.value as Int) }
  if (types.has('float')) return { type: 'floats', value: items.map((i) => i.value as number) }
  return { type: 'strings', value: items.map((i) => i.value as string | Uint8Array) }
}

function sparseTensor(reader: Reader, tensorName: string): SparseTensor {
  const dims = list(reader, '[', ']', () => Number(next(reader)))
  const indices = attributeTensor(reader)
  return { dims, indices, values: tensor(reader, tensorName) }
}

function attributeTensor(reader: Reader): Tensor {
  return tensor(reader, take(reader, '@') ? name(reader) : '')
}

function value(reader: Reader): ValueInfo {
  const valueName = name(reader)
  expect(reader, ':')
  if (take(reader, 'opaque')) return { name: valueName, ...liftType(unhex(reader)) }
  const dtype = take(reader, '?') ? undefined : dataType(reader)
  const shape = peek(reader) === '[' ? list(reader, '[', ']', () => dim(reader)) : undefined
  return { name: valueName, ...(dtype ? { dtype } : {}), ...(shape ? { shape } : {}) }
}

function dim(reader: Reader): Dim {
  if (take(reader, '?')) return undefined
  const word = peek(reader) ?? ''
  return /^-?\d+$/.test(word) ? Number(next(reader)) : name(reader)
}

function dataType(reader: Reader): DataType {
  const word = next(reader)
  if (!Object.hasOwn(dataTypes, word)) throw wrong(reader, `"${word}"`, 'an element type, such as float32')
  return word as DataType
}

function tensor(reader: Reader, tensorName: string): Tensor {
  const dtype = dataType(reader)
  const dims = list(reader, '[', ']', () => Number(next(reader)))
  if (peek(reader) === '#') {
    throw new Error(
      `text: tensor "${tensorName}" is printed as a hash; expected its elements (print with values: Infinity)`,
    )
  }
  take(reader, '=')
  const kept = { name: tensorName, dtype, dims }
  const { kind, bits } = dataTypes[dtype]
  if (kind === 'string') {
    return { ...kept, data: new Uint8Array(0), strings: list(reader, '{', '}', () => textBytes(reader)) }
  }
  if (dtype !== 'float32' && dtype !== 'float64' && kind !== 'int' && kind !== 'uint' && kind !== 'bool') {
    return checkSize({ ...kept, data: list(reader, '{', '}', () => unhex(reader))[0] ?? new Uint8Array(0) })
  }
  const words = list(reader, '{', '}', () => next(reader))
  if (words.length !== sizeOf(dims))
    throw wrong(reader, `${words.length} elements`, `${sizeOf(dims)} for tensor "${tensorName}"`)
  const pattern = dtype === 'float32' || dtype === 'float64' ? /^(-?[\d.]+(e[+-]?\d+)?|-?inf|nan)$/ : /^-?\d+$/
  const bad = words.find((w) => !pattern.test(w))
  if (bad !== undefined) throw wrong(reader, JSON.stringify(bad), `a number of ${dtype}`)
  return checkSize({ ...kept, data: pack(words, dtype, bits) })
}

function pack(words: readonly string[], dtype: DataType, bits: number): Uint8Array {
  if (dtype === 'float32') return bytesOf(Float32Array.from(words, toNumber))
  if (dtype === 'float64') return bytesOf(Float64Array.from(words, toNumber))
  if (bits === 64) return bytesOf(BigInt64Array.from(words, (w) => BigInt.asIntN(64, BigInt(w))))
  if (bits === 32) return bytesOf(Int32Array.from(words, toNumber))
  if (bits === 16) return bytesOf(Int16Array.from(words, toNumber))
  if (bits === 8) return bytesOf(Uint8Array.from(words, toNumber))
  const out = new Uint8Array(Math.ceil((words.length * bits) / 8))
  const mask = (1 << bits) - 1
  for (const [i, w] of words.entries()) out[Math.floor((i * bits) / 8)] |= (toNumber(w) & mask) << ((i * bits) % 8)
  return out
}

function textBytes(reader: Reader): Uint8Array {
  return peek(reader)?.startsWith('"') ? new TextEncoder().encode(name(reader)) : unhex(reader)
}

function unhex(reader: Reader): Uint8Array {
  const word = next(reader)
  if (!/^0x(?:[0-9a-f]{2})*$/.test(word)) throw wrong(reader, `"${word}"`, 'bytes, such as 0x00ff')
  return Uint8Array.from({ length: word.length / 2 - 1 }, (_, i) =>
    Number.parseInt(word.slice(2 * i + 2, 2 * i + 4), 16),
  )
}

function int(reader: Reader): Int {
  const word = next(reader)
  if (!/^-?\d+$/.test(word)) throw wrong(reader, JSON.stringify(word), 'a whole number')
  const value = Number(word)
  return Number.isSafeInteger(value) ? value : BigInt(word)
}

function number(reader: Reader): number {
  const word = next(reader)
  const result = toNumber(word)
  if (Number.isNaN(result) && word !== 'nan') throw wrong(reader, `"${word}"`, 'a number')
  return result
}

function toNumber(word: string): number {
  if (word === 'inf') return Number.POSITIVE_INFINITY
  return word === '-inf' ? Number.NEGATIVE_INFINITY : Number(word)
}
