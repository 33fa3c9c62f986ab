/**
 * A model as text, for tests, diffs and people. `parseModel` (parse-text.ts) reads it back.
 *
 *     ir 8
 *     opset 17
 *     graph net {
 *       in x: float32[N, 3, 8, 8]
 *       out y: float32[N, 4]
 *       w: float32[4, 192] = {0.5, 1, ...}
 *       big: float32[64, 3, 3, 3] #1f3a09bc
 *       s: sparse [2, 3] int64[1] {4} float32[1] {0.5}
 *       f = Flatten(x) {axis: 1} @flatten
 *       y = Gemm(f, w) {alpha: 1.0, transB: 1}
 *     }
 *
 * Everything that computes is in it. Left out: documentation strings, metadata but the model's, training and fields that this version does not know.
 * Names are bare where they are words, else quoted as in JSON; "" is an input that is left out. Floats have a point.
 */
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
  Tensor,
  ValueInfo,
} from '../model.ts'
import { dataTypes, floats, integers } from '../tensor/dtype.ts'

export interface PrintOptions {
  /** Tensors of more elements are printed as a hash of their bytes; default 8. Infinity prints all, for `parseModel`. */
  readonly values?: number
}

/** The model as text. The same model gives the same text. */
export function printModel(model: Model, options: PrintOptions = {}): string {
  const values = options.values ?? 8
  const lines = [`ir ${model.irVersion}`]
  lines.push(...model.opsets.map(opsetText))
  if (model.producerName || model.producerVersion)
    lines.push(`producer ${JSON.stringify(model.producerName ?? '')} ${JSON.stringify(model.producerVersion ?? '')}`)
  if (model.domain) lines.push(`domain ${JSON.stringify(model.domain)}`)
  if (model.modelVersion) lines.push(`version ${model.modelVersion}`)
  for (const { key, value } of model.metadata ?? [])
    lines.push(`metadata ${JSON.stringify(key)} ${JSON.stringify(value)}`)
  lines.push(printGraph(model.graph, values, ''))
  for (const fn of model.functions ?? []) lines.push(printFunction(fn, values))
  return `${lines.join('\n')}\n`
}

/** Words that begin a line of their own kind. */
const keywords = new Set(['in', 'out', 'value', 'opset', 'attributes'])

function name(text: string): string {
  return /^[A-Za-z0-9_./]+$/.test(text) ? text : JSON.stringify(text)
}

/** A name at the beginning of a line. */
function first(text: string): string {
  return keywords.has(text) ? JSON.stringify(text) : name(text)
}

function names(list: readonly string[]): string {
  return list.map(name).join(', ')
}

function printGraph(graph: Graph, values: number, indent: string): string {
  const lines = [
    ...graph.inputs.map((i) => `in ${typed(i)}`),
    ...graph.outputs.map((o) => `out ${typed(o)}`),
    ...[...graph.initializers.values()].map((t) => `${first(t.name)}: ${tensorText(t, values, ' = ')}`),
    ...(graph.sparseInitializers ?? []).map((t) => `${first(t.values.name)}: ${sparseText(t, values)}`),
    ...graph.nodes.map((n) => nodeText(n, values, `${indent}  `)),
    ...(graph.valueInfo ?? []).map((v) => `value ${typed(v)}`),
  ]
  return block(`graph ${name(graph.name)}`, lines, indent)
}

function printFunction(fn: FunctionDef, values: number): string {
  const title = `function ${operator(fn.domain, fn.name, fn.overload)}(${names(fn.inputs)}) -> (${names(fn.outputs)})`
  const lines = [
    ...(fn.attributes?.length ? [`attributes ${names(fn.attributes)}`] : []),
    ...fn.opsets.map(opsetText),
    ...fn.nodes.map((n) => nodeText(n, values, '  ')),
    ...(fn.valueInfo ?? []).map((v) => `value ${typed(v)}`),
  ]
  return block(title, lines, '')
}

function block(title: string, lines: readonly string[], indent: string): string {
  return [`${title} {`, ...lines.map((line) => `${indent}  ${line}`), `${indent}}`].join('\n')
}

function opsetText({ domain, version }: OpsetId): string {
  return domain ? `opset ${JSON.stringify(domain)} ${version}` : `opset ${version}`
}

function operator(domain: string | undefined, op: string, overload: string | undefined): string {
  return `${domain ? `${name(domain)}::` : ''}${name(op)}${overload ? `<${name(overload)}>` : ''}`
}

function typed(info: ValueInfo): string {
  if (info.opaqueType) return `${name(info.name)}: opaque ${hex(info.opaqueType)}`
  return `${name(info.name)}: ${info.dtype ?? '?'}${info.shape ? dims(info.shape) : ''}`
}

function dims(shape: readonly Dim[]): string {
  return `[${shape.map((d) => (d === undefined ? '?' : typeof d === 'number' ? d : symbol(d))).join(', ')}]`
}

/** A symbol that looks like a number is quoted. */
function symbol(text: string): string {
  return /^\d/.test(text) ? JSON.stringify(text) : name(text)
}

function nodeText(node: Node, values: number, indent: string): string {
  const entries = Object.entries(node.attributes)
  const attributes = entries.map(([key, a]) => `${name(key)}: ${attributeText(a, values, indent)}`).join(', ')
  const outputs = [first(node.outputs[0] ?? ''), ...node.outputs.slice(1).map(name)].join(', ')
  const call = `${operator(node.domain, node.op, node.overload)}(${names(node.inputs)})`
  return `${outputs} = ${call}${attributes && ` {${attributes}}`}${node.name ? ` @${name(node.name)}` : ''}`
}

function attributeText(a: Attribute, values: number, indent: string): string {
  switch (a.type) {
    case 'float':
      return pointed(a.value)
    case 'int':
      return String(a.value)
    case 'string':
      return text(a.value)
    case 'tensor':
      return tensorText(a.value, values, ' ')
    case 'graph':
      return printGraph(a.value, values, indent)
    case 'floats':
      return a.value.length > 0 ? `[${a.value.map(pointed).join(', ')}]` : 'floats []'
    case 'ints':
      return a.value.length > 0 ? `[${a.value.map((v: Int) => String(v)).join(', ')}]` : 'ints []'
    case 'strings':
      return a.value.length > 0 ? `[${a.value.map(text).join(', ')}]` : 'strings []'
    case 'tensors':
      return `tensors [${a.value.map((t) => tensorText(t, values, ' ')).join(', ')}]`
    case 'graphs':
      return `graphs [${a.value.map((g) => printGraph(g, values, indent)).join(', ')}]`
    case 'sparse-tensor':
      return sparseText(a.value, values)
    case 'sparse-tensors':
      return `sparses [${a.value.map((t) => sparseText(t, values)).join(', ')}]`
    case 'reference':
      return `$${name(a.value)} ${a.attributeType}`
    case 'opaque':
      return `opaque ${hex(a.value)}`
  }
}

function text(value: string | Uint8Array): string {
  return typeof value === 'string' ? JSON.stringify(value) : hex(value)
}

function hex(bytes: Uint8Array): string {
  return `0x${Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')}`
}

/** A float that cannot be taken for an int. */
function pointed(value: number): string {
  const shortest = float32Text(value)
  return /^-?\d+$/.test(shortest) ? `${shortest}.0` : shortest
}

/** The shortest decimal that is this float32. */
function float32Text(value: number): string {
  if (!Number.isFinite(value)) return special(value)
  if (value === 0) return decimal(value)
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits))
    if (Math.fround(candidate) === value) return decimal(candidate)
  }
  return decimal(value)
}

function special(value: number): string {
  return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'
}

function decimal(value: number): string {
  return Object.is(value, -0) ? '-0' : Number.isFinite(value) ? String(value) : special(value)
}

/** `float32[2, 2] = {1, 2, 3, 4}`; a float of another width as its bytes. An attribute's tensor may have a name, too. */
function tensorText(tensor: Tensor, values: number, separator: ' ' | ' = '): string {
  const own = separator === ' ' && tensor.name ? `@${name(tensor.name)} ` : ''
  const type = `${own}${tensor.dtype}${dims(tensor.dims)}`
  const count = tensor.dims.reduce((a, b) => a * b, 1)
  if (count > values) return `${type} #${hash(tensor)}`
  return `${type}${separator}{${elements(tensor).join(', ')}}`
}

/** `sparse [2, 3] int64[1] {4} float32[1] {0.5}`: shape, places, values. */
function sparseText({ values, indices, dims: shape }: SparseTensor, most: number): string {
  return `sparse ${dims(shape)} ${tensorText(indices, most, ' ')} ${tensorText({ ...values, name: '' }, most, ' ')}`
}

function elements(tensor: Tensor): string[] {
  const { data, dtype } = tensor
  if (tensor.strings) return tensor.strings.map(hex)
  if (data.byteLength === 0) return []
  if (dtype === 'float32') return Array.from(floats(tensor), float32Text)
  if (dtype === 'float64') return Array.from(new Float64Array(new Uint8Array(data).buffer), decimal)
  if (dtype === 'int64') return Array.from(new BigInt64Array(new Uint8Array(data).buffer), String)
  if (dtype === 'uint64') return Array.from(new BigUint64Array(new Uint8Array(data).buffer), String)
  const { kind } = dataTypes[dtype]
  if (kind === 'int' || kind === 'uint' || kind === 'bool') return Array.from(integers(tensor), String)
  return [hex(data)]
}

/** FNV-1a over the bytes, 32 bits. */
function hash(tensor: Tensor): string {
  let h = 0x811c9dc5
  for (const bytes of [tensor.data, ...(tensor.strings ?? [])]) {
    for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i], 0x01000193)
  }
  return (h >>> 0).toString(16).padStart(8, '0')
}
