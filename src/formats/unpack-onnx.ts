/**
 * A packed file to ONNX bytes, tensor by tensor. Damaged input gives an error of one sentence, whatever the damage.
 * The head gives all of the ONNX file but its tensors' data, and how long each is; so the file can be given out in order
 * while one tensor after another is decoded, and nothing but the head, one group and one tensor need be in memory.
 */
import { ModelProto } from '../onnx/schema.ts'
import { encode, type Message } from '../onnx/wire.ts'
import { bitReader } from './bits.ts'
import { type BitReader, damaged, type TensorInfo } from './coding/coding.ts'
import { copy, permuted } from './coding/copy.ts'
import { fromStream } from './coding/stream-form.ts'
import {
  type Contents,
  checkEnd,
  maxGraphBytes,
  maxGraphExpansion,
  maxItemsIn,
  readContents,
  readGroup,
} from './container.ts'
import { beginDecoding, type IntegerDecoder } from './entropy/integer-coder.ts'
import { BinaryCoder } from './entropy/range-coder.ts'
import { decodeMessage, primedMixer } from './graph-coder.ts'
import { withMemory } from './memory.ts'
import { type CodedTensor, infoOf, maxIntegers, splitIntoGroups, tensorCoder } from './tensor-coder.ts'

export interface UnpackOptions {
  /** The most bytes of ONNX that may come out, and elements of a tensor, for files that are not trusted; 2 GiB unless said. */
  readonly maxBytes?: number
}

/** A tensor as the head describes it. */
export interface PackedTensor extends CodedTensor {
  /** '' where it has none (constants of nodes). */
  readonly name: string
  readonly byteLength: number
  /** The group that its data is in; undefined where the head has it, or the tensor is a copy. */
  readonly group: number | undefined
  /** The tensor that this one is a copy of. */
  readonly source: PackedTensor | undefined
}

export interface Head {
  readonly contents: Contents
  /** In the order of the ONNX file. */
  readonly tensors: readonly PackedTensor[]
  /** The tensors of each group. */
  readonly groups: readonly (readonly PackedTensor[])[]
  /** The ONNX file, with tensors in place of their data. */
  readonly chunks: readonly (Uint8Array | PackedTensor)[]
}

/** The ONNX bytes of the model in a packed file. */
export function unpackOnnx(bytes: Uint8Array, options?: UnpackOptions): Uint8Array {
  const contents = readContents(bytes)
  checkEnd(contents, bytes.length)
  // Every checksum first: damage is told before any time is spent on decoding.
  for (const index of contents.groups.keys()) readGroup(contents, index, groupBytes(contents, index, bytes))
  const head = readHead(contents, options)
  const out = onnxArray(contents)
  const decode = tensorDecoder(head)
  let at = 0
  for (const chunk of head.chunks) {
    const data = chunk instanceof Uint8Array ? chunk : decode(chunk, (group) => groupBytes(contents, group, bytes))
    out.set(data, at)
    at += data.length
  }
  return out
}

/** Room for what comes out. */
export function onnxArray({ byteLength }: Contents): Uint8Array {
  return withMemory(`${byteLength} bytes of ONNX`, () => new Uint8Array(byteLength))
}

/** The bytes of one tensor, by its name, as ONNX's raw_data holds them: only the head and the tensor's group are decoded. */
export function unpackTensorData(bytes: Uint8Array, name: string): Uint8Array {
  const contents = readContents(bytes)
  const head = readHead(contents)
  const tensor = tensorNamed(head, name)
  return decodeOne(head, tensor, (group) => groupBytes(contents, group, bytes))
}

function groupBytes({ groups }: Contents, index: number, file: Uint8Array): Uint8Array {
  const { at, integersLength, rawLength } = groups[index]
  return file.subarray(at, at + integersLength + rawLength)
}

export function tensorNamed({ tensors }: Head, name: string): PackedTensor {
  const found = tensors.find((t) => t.name === name)
  if (!found) throw new Error(`cop: no tensor is named "${name}"; expected one of the model's ${tensors.length}`)
  return found
}

/** One tensor's data. Of its group, those before it are decoded on the way. `load` is asked for the group, if there is one. */
export function decodeOne(head: Head, tensor: PackedTensor, load: (group: number) => Uint8Array): Uint8Array {
  if (tensor.source)
    return permuted(decodeOne(head, tensor.source, load), tensor.source.info, tensor.coded.parameters[1])
  const wanted = tensor
  if (wanted.group === undefined) return decodeFromHead(wanted)
  const group = openGroup(head, wanted.group, load(wanted.group))
  for (const member of head.groups[wanted.group]) {
    const data = group(member)
    if (member === wanted) return data
  }
  throw damaged('a tensor outside its group')
}

/** Decodes all tensors, in their order; `load` is asked for each group when its first tensor's turn comes. */
export function tensorDecoder(head: Head): (tensor: PackedTensor, load: (group: number) => Uint8Array) => Uint8Array {
  /** Copies that are still to come of a tensor, and the data of those that have some. */
  const copies = new Map<PackedTensor, number>()
  const kept = new Map<PackedTensor, Uint8Array>()
  for (const { source } of head.tensors) if (source) copies.set(source, (copies.get(source) ?? 0) + 1)
  let group: ((tensor: PackedTensor) => Uint8Array) | undefined
  let current: number | undefined
  return (tensor, load) => {
    const { source } = tensor
    if (source) {
      const data = permuted(kept.get(source) as Uint8Array, source.info, tensor.coded.parameters[1])
      const left = (copies.get(source) as number) - 1
      copies.set(source, left)
      if (left === 0) kept.delete(source)
      return data
    }
    if (tensor.group !== undefined && tensor.group !== current) {
      group = openGroup(head, tensor.group, load(tensor.group))
      current = tensor.group
    }
    const data = tensor.group === undefined || !group ? decodeFromHead(tensor) : group(tensor)
    if (copies.has(tensor)) kept.set(tensor, data)
    return data
  }
}

function decodeFromHead({ name, coding, coded, info }: PackedTensor): Uint8Array {
  return withMemory(`tensor "${name}"`, () => sized(coding.decode(info, coded, bitReader(new Uint8Array(0))), info))
}

function sized(data: Uint8Array, { byteLength }: TensorInfo): Uint8Array {
  if (data.length !== byteLength) throw damaged(`${data.length} bytes of a tensor of ${byteLength}`)
  return data
}

/** Decodes a group's tensors, which must be asked for in order. */
function openGroup({ contents, groups }: Head, index: number, bytes: Uint8Array): (tensor: PackedTensor) => Uint8Array {
  const members = groups[index]
  const { integers, raw } = readGroup(contents, index, bytes)
  const decoder = members.some((t) => t.coding.hasIntegers) ? beginDecoding(integers, contents) : undefined
  const bits = bitReader(raw)
  return (tensor) => {
    const data = withMemory(`tensor "${tensor.name}"`, () => decodeTensor(tensor, decoder, bits))
    if (tensor === members[members.length - 1] && !bits.atEnd()) throw damaged(`group ${index} has raw bits to spare`)
    return data
  }
}

function decodeTensor({ coding, coded, info }: PackedTensor, decoder: IntegerDecoder | undefined, bits: BitReader) {
  const values = coding.hasIntegers ? decoder?.decodeTensor(info.dims) : undefined
  if (values && coded.form) fromStream(values, coded.form, bits)
  return sized(coding.decode(info, { ...coded, integers: values }, bits), info)
}

const utf8 = new TextDecoder()

/** The graph, and how each of its tensors is coded. */
export function readHead(contents: Contents, options: UnpackOptions = {}): Head {
  return withMemory('the graph', () => decodeHead(contents, options))
}

function decodeHead(contents: Contents, { maxBytes = 2 ** 31 - 1 }: UnpackOptions): Head {
  const coder = new BinaryCoder(contents.head)
  const mixer = primedMixer(coder)
  const { byteLength, graphByteLength } = contents
  let graphBudget = maxItemsIn(graphByteLength)
  let tensorBudget = byteLength - graphByteLength
  if (byteLength >= 2 ** 31 || graphByteLength > maxGraphExpansion * contents.head.length || tensorBudget < 0) {
    throw damaged(`${byteLength} bytes of ONNX, ${graphByteLength} of them graph, from ${contents.head.length} bytes`)
  }
  if (graphByteLength > maxGraphBytes)
    throw new Error(`cop: ${graphByteLength} bytes of graph; expected at most ${maxGraphBytes}`)
  if (byteLength > maxBytes) throw new Error(`cop: ${byteLength} bytes of ONNX; expected at most ${maxBytes}`)
  const tooMuch = () => damaged('the head says more than its sizes allow')
  const describe = tensorCoder(mixer)
  const found: (CodedTensor & { readonly message: Message })[] = []
  const message = decodeMessage(mixer, ModelProto, {
    check: (items) => {
      if ((graphBudget -= items) < 0 || coder.overrun > 12) throw tooMuch()
    },
    codeTensor: (parent) => {
      const info = infoOf(parent)
      if ((tensorBudget -= info.byteLength) < 0) throw tooMuch()
      const tensor = describe.code(undefined, info)
      // Integers are decoded as 4 bytes each, of however few bits they will be.
      const most = Math.min(maxBytes, maxIntegers)
      if (tensor.coding.hasIntegers && info.size > most)
        throw new Error(`cop: a tensor of ${info.size} integers; expected at most ${most}`)
      found.push({ ...tensor, message: parent })
    },
  })
  const split = splitIntoGroups(found)
  if (split.length !== contents.groups.length) {
    throw damaged(`${contents.groups.length} groups; expected ${split.length}`)
  }
  const groupOf = new Map(split.flatMap((members, index) => members.map((t) => [t, index] as const)))
  const tensors: PackedTensor[] = []
  for (const tensor of found) {
    const { message: parent, ...rest } = tensor
    const packed: PackedTensor = {
      ...rest,
      name: utf8.decode((parent.name ?? new Uint8Array(0)) as Uint8Array),
      byteLength: rest.info.byteLength,
      group: groupOf.get(tensor),
      source: rest.coding === copy ? sourceOf(tensors, rest) : undefined,
    }
    tensors.push(packed)
    parent.rawData = packed
  }
  const encoded = encode<PackedTensor>(ModelProto, message)
  if (encoded.byteLength !== byteLength)
    throw damaged(`${encoded.byteLength} bytes of ONNX came out; expected ${byteLength}`)
  const groups: PackedTensor[][] = split.map(() => [])
  for (const t of tensors) if (t.group !== undefined) groups[t.group].push(t)
  return { contents, tensors, groups, chunks: encoded.chunks }
}

/** The tensor that a copy copies: an earlier one of the same type and size, and no copy itself. */
function sourceOf(before: readonly PackedTensor[], { info, coded }: CodedTensor): PackedTensor {
  const distance = coded.parameters[0]
  const source = before[before.length - distance]
  if (
    !source ||
    distance < 1 ||
    source.source ||
    source.info.dtype !== info.dtype ||
    source.byteLength !== info.byteLength
  )
    throw damaged('a copy of no tensor')
  return source
}
