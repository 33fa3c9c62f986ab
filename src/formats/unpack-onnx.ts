/**
 * A packed file to ONNX bytes, tensor by tensor. Damaged input gives an error of one sentence, whatever the damage.
 * The head gives all of the ONNX file but its tensors' data, and how long each is; so the file can be given out in order
 * while one tensor after another is decoded, and nothing but the head, one group and one tensor need be in memory.
 */
import { ModelProto } from '../onnx/schema.ts'
import { concat, encode, type Message } from '../onnx/wire.ts'
import { dataTypes } from '../tensor/dtype.ts'
import { addElements, beside } from './coding/beside.ts'
import { damaged, type TensorInfo } from './coding/coding.ts'
import { codings } from './coding/codings.ts'
import { copy, permuted } from './coding/copy.ts'
import { fillRuns, type Run, readRuns, runs } from './coding/runs.ts'
import {
  type Contents,
  checkEnd,
  maxGraphBytes,
  maxGraphExpansion,
  maxItemsIn,
  maxBytes as mostBytes,
  readContents,
  readGroup,
} from './container.ts'
import { BinaryDecoder } from './entropy/range-coder.ts'
import { decodeMessage, primedMixer } from './graph-coder.ts'
import { decodeGroup, type GroupToDecode } from './group-decoder.ts'
import { withMemory } from './memory.ts'
import { partsOf } from './parts.ts'
import { type CodedTensor, infoOf, maxIntegers, plainInfo, splitIntoGroups, tensorCoder } from './tensor-coder.ts'

export interface UnpackOptions {
  /** The most bytes of ONNX that may come out, and elements of a tensor, for files that are not trusted; 2 GiB unless said. */
  readonly maxBytes?: number
}

/** A part of a tensor (most have but one) as the head describes it. */
export interface PackedPart extends CodedTensor {
  /** The group that its data is in; undefined where the head has it, or it is a copy. */
  readonly group: number | undefined
  /** Its place in the group. */
  readonly place: number
  /** The parts that this one takes data from: of copies and differences the one, of runs those of all of them. */
  readonly sources: readonly PackedPart[]
}

/** A tensor as the head describes it. */
export interface PackedTensor {
  /** '' where it has none (constants of nodes). */
  readonly name: string
  readonly info: TensorInfo
  readonly byteLength: number
  readonly parts: readonly PackedPart[]
}

export interface Head {
  readonly contents: Contents
  /** In the order of the ONNX file. */
  readonly tensors: readonly PackedTensor[]
  /** The parts of each group. */
  readonly groups: readonly (readonly PackedPart[])[]
  /** The ONNX file as a message, with tensors in place of their data. */
  readonly message: Message
  /** The ONNX file, with parts of tensors in place of their data. */
  readonly chunks: readonly (Uint8Array | PackedPart)[]
}

/** The ONNX bytes of the model in a packed file. */
export function unpackOnnx(bytes: Uint8Array, options?: UnpackOptions): Uint8Array {
  const contents = readContents(bytes)
  checkEnd(contents, bytes.length)
  // Every checksum first: damage is reported before any time is spent on decoding.
  for (const index of contents.groups.keys()) readGroup(contents, index, groupBytes(contents, index, bytes))
  const head = readHead(contents, options)
  const out = onnxArray(contents)
  const dataOf = partDecoder(head)
  let group: { readonly index: number; readonly data: readonly Uint8Array[] } | undefined
  const load = (index: number): readonly Uint8Array[] => {
    if (group?.index !== index) {
      group = undefined
      group = { index, data: decodeGroup(groupToDecode(head, index, groupBytes(contents, index, bytes))) }
    }
    return group.data
  }
  let at = 0
  for (const chunk of head.chunks) {
    const data = chunk instanceof Uint8Array ? chunk : dataOf(chunk, load)
    out.set(data, at)
    at += data.length
  }
  return out
}

/** Protobuf's limit. */
const mostInOneFile = 2 ** 31 - 1

function tooLong(byteLength: number, most: number): Error {
  return new Error(`cop: the model inside is ${byteLength} bytes long; expected at most ${most}`)
}

/** Room for what comes out. */
export function onnxArray({ byteLength }: Contents): Uint8Array {
  if (byteLength > mostInOneFile) throw tooLong(byteLength, mostInOneFile)
  return withMemory(`${byteLength} bytes of ONNX`, () => new Uint8Array(byteLength))
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

/** One tensor's data. Of its groups, what comes before it is decoded on the way. `load` is asked for each group. */
export function decodeOne(head: Head, tensor: PackedTensor, load: (group: number) => Uint8Array): Uint8Array {
  return concat(
    tensor.parts.map((part) => {
      const data = (wanted: PackedPart): Uint8Array => {
        if (wanted.group === undefined) return decodeFromHead(wanted)
        const until = wanted.place + 1
        return decodeGroup({ ...groupToDecode(head, wanted.group, load(wanted.group)), until })[until - 1]
      }
      return withSources(part, () => data(part), part.sources.map(data))
    }),
  )
}

/** Gives the data of parts, in their order; `load` is asked for the data of the group that a part is in. */
export function partDecoder(
  head: Head,
): (part: PackedPart, load: (group: number) => readonly Uint8Array[]) => Uint8Array {
  /** Parts that are still to come with a part as a source, and the data of those that have some. */
  const copies = new Map<PackedPart, number>()
  const kept = new Map<PackedPart, Uint8Array>()
  const parts = head.tensors.flatMap((t) => t.parts)
  for (const { sources } of parts) for (const source of sources) copies.set(source, (copies.get(source) ?? 0) + 1)
  return (part, load) => {
    const { sources, group } = part
    const own = (): Uint8Array => (group === undefined ? decodeFromHead(part) : load(group)[part.place])
    const from = sources.map((source) => kept.get(source) as Uint8Array)
    const data = withSources(part, own, from)
    for (const source of sources) {
      const left = (copies.get(source) as number) - 1
      copies.set(source, left)
      if (left === 0) kept.delete(source)
    }
    if (copies.has(part)) kept.set(part, data)
    return data
  }
}

/** A part's data: its own, and what it takes from its sources. */
function withSources(part: PackedPart, own: () => Uint8Array, from: readonly Uint8Array[]): Uint8Array {
  const { info, coding, coded, sources } = part
  if (coding === copy) return permuted(from[0], sources[0].info, coded.parameters[1])
  const data = own()
  if (coding === beside) addElements(data, from[0], dataTypes[info.dtype].bits / 8)
  if (coding !== runs) return data
  const all = readRuns(coded.table, info)
  const distances = distancesOf(all)
  fillRuns(data, info, all, (distance) => from[distances.indexOf(distance)])
  return data
}

function distancesOf(all: readonly Run[]): number[] {
  return [...new Set(all.map((r) => r.distance))]
}

/** Of a part that has nothing outside the head. */
function decodeFromHead(part: PackedPart): Uint8Array {
  const nothing = new Uint8Array(0)
  return decodeGroup({ index: 0, mode: 'fast', integers: nothing, raw: nothing, parts: [plain(part)] })[0]
}

/** A group's bytes, checked, and what they are, as plain data. */
export function groupToDecode({ contents, groups }: Head, index: number, bytes: Uint8Array): GroupToDecode {
  return { ...readGroup(contents, index, bytes), index, parts: groups[index].map(plain) }
}

function plain({ info, coding, coded }: PackedPart): GroupToDecode['parts'][number] {
  return { info, coding: codings.indexOf(coding), coded }
}

const utf8 = new TextDecoder()

/** The graph, and how each of its tensors is coded. */
export function readHead(contents: Contents, options: UnpackOptions = {}): Head {
  return withMemory('the graph', () => decodeHead(contents, options))
}

function decodeHead(contents: Contents, { maxBytes = mostInOneFile }: UnpackOptions): Head {
  const coder = new BinaryDecoder(contents.head)
  const mixer = primedMixer(coder)
  const { byteLength, graphByteLength } = contents
  let graphBudget = maxItemsIn(graphByteLength)
  let tensorBudget = byteLength - graphByteLength
  if (byteLength >= mostBytes || graphByteLength > maxGraphExpansion * contents.head.length || tensorBudget < 0) {
    throw damaged(
      `a head of ${contents.head.length} bytes cannot hold a model of ${byteLength} bytes, ${graphByteLength} of them graph`,
    )
  }
  if (graphByteLength > maxGraphBytes)
    throw new Error(`cop: the graph inside is ${graphByteLength} bytes long; expected at most ${maxGraphBytes}`)
  if (byteLength > maxBytes) throw tooLong(byteLength, maxBytes)
  const tooMuch = () => damaged('the head says more than its sizes allow')
  const describe = tensorCoder(mixer)
  const found: { readonly proto: Message; readonly info: TensorInfo; readonly parts: readonly CodedTensor[] }[] = []
  const check = (items: number): void => {
    if ((graphBudget -= items) < 0 || coder.overrun > 12) throw tooMuch()
  }
  const find = (info: TensorInfo, proto: Message): void => {
    if ((tensorBudget -= info.byteLength) < 0) throw tooMuch()
    // Integers are decoded as 4 bytes each, of however few bits they will be.
    const most = Math.min(maxBytes, maxIntegers)
    const parts = partsOf(info).map((part) => {
      const coded = describe.code(undefined, part)
      if (coded.coding.hasIntegers && part.size > most)
        throw new Error(`cop: a tensor has ${part.size} integers; expected at most ${most}`)
      check(0)
      return coded
    })
    found.push({ proto, info, parts })
  }
  const isPlain = graphByteLength === 0
  const message: Message = isPlain
    ? {}
    : decodeMessage(mixer, ModelProto, { check, codeTensor: (parent) => find(infoOf(parent), parent) })
  if (isPlain) find(plainInfo(byteLength), message)
  const split = splitIntoGroups(found.flatMap((t) => t.parts))
  if (split.length !== contents.groups.length) {
    throw damaged(`it has ${contents.groups.length} groups of tensors, its graph ${split.length}`)
  }
  const placeOf = new Map(split.flatMap((members, group) => members.map((t, place) => [t, { group, place }] as const)))
  const before: PackedPart[] = []
  const tensors = found.map(({ proto, info, parts }): PackedTensor => {
    const packed = parts.map((part): PackedPart => {
      const sources = sourcesOf(before, part)
      const { group, place = 0 } = placeOf.get(part) ?? {}
      before.push({ ...part, group, place, sources })
      return before[before.length - 1]
    })
    const name = utf8.decode((proto.name ?? new Uint8Array(0)) as Uint8Array)
    const tensor = { name, info, byteLength: info.byteLength, parts: packed }
    proto.rawData = tensor
    return tensor
  })
  const encoded = isPlain ? { chunks: tensors, byteLength } : encode<PackedTensor>(ModelProto, message)
  if (encoded.byteLength !== byteLength)
    throw damaged(`the model came out ${encoded.byteLength} bytes long, not ${byteLength}`)
  const groups: PackedPart[][] = split.map(() => [])
  for (const part of before) if (part.group !== undefined) groups[part.group].push(part)
  return { contents, tensors, groups, message, chunks: withParts(encoded.chunks) }
}

/** Chunks with tensors as their parts. */
export function withParts(chunks: readonly (Uint8Array | PackedTensor)[]): (Uint8Array | PackedPart)[] {
  return chunks.flatMap<Uint8Array | PackedPart>((c) => (c instanceof Uint8Array ? [c] : c.parts))
}

/** The parts that a copy, differences or runs take data from: earlier ones of the same type that have no sources themselves. */
function sourcesOf(before: readonly PackedPart[], { info, coding, coded }: CodedTensor): PackedPart[] {
  const isWhole = coding === copy || coding === beside
  if (!isWhole && coding !== runs) return []
  const distances = isWhole ? [coded.parameters[0]] : distancesOf(readRuns(coded.table, info))
  return distances.map((distance) => {
    const source = before[before.length - distance]
    if (
      !source ||
      distance < 1 ||
      source.sources.length > 0 ||
      source.info.dtype !== info.dtype ||
      (isWhole && source.info.byteLength !== info.byteLength)
    )
      throw damaged('a tensor takes data from one that is not there')
    return source
  })
}
