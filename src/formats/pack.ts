/**
 * A model to a packed file. Nothing is lost: unpacking gives every tensor bit for bit and the same graph; what comes out
 * is, byte for byte, what `writeModel` makes of the model.
 *
 * Two passes: the first chooses how each tensor is coded, which the head says; the second codes their data, a group at a
 * time. Both read tensors when their turn comes, so that a model whose data is read from a disk need not fit in memory, and
 * both are tasks that other threads can do.
 */
import type { Model, Tensor } from '../model.ts'
import { ModelProto } from '../onnx/schema.ts'
import { tensorsWithData } from '../onnx/tensor-protos.ts'
import { concat, decode, encode, type Message } from '../onnx/wire.ts'
import { lowerModel, writeModel } from '../onnx/write.ts'
import { Outlook, sharesDone } from '../progress.ts'
import { byteLengthOf, sizeOf } from '../tensor/dtype.ts'
import { runHere, runOn, type Steps, stage, type Workers } from '../workers.ts'
import type { TensorData } from './coding/coding.ts'
import { codings } from './coding/codings.ts'
import {
  type GroupSizes,
  maxBytes,
  maxGraphBytes,
  maxGraphExpansion,
  maxItemsIn,
  sizesOf,
  writeBeginning,
} from './container.ts'
import type { Mode } from './entropy/integer-coder.ts'
import { BinaryEncoder } from './entropy/range-coder.ts'
import { type Described, findShared, type Part } from './find-shared.ts'
import { codeMessage, primedMixer } from './graph-coder.ts'
import { chooseCodings, type Description, type EncodedGroup, encodeGroup } from './group-encoder.ts'
import { msToChoose, msToCode, msToFindShared, msToWarmUp } from './pack-costs.ts'
import { partsOf } from './parts.ts'
import { bytesWithoutRepeats } from './repeats.ts'
import { type CodedTensor, infoOf, plainInfo, splitIntoGroups, tensorCoder } from './tensor-coder.ts'

export interface PackOptions {
  /** `fast` decodes several times faster, `max` is smallest and slowest. */
  readonly mode?: Mode
  /** Called with the share of the time that is over, 0 to 1, at last 1. An estimate: it may fall. */
  readonly progress?: (share: number) => void
  /**
   * Told about how many bytes of the packed file each tensor of the model takes: of one whose equal came before, next to none.
   * Where the bytes of the ONNX file take less, it is told what tensors would take; where decoders would refuse the graph, nothing.
   */
  readonly onTensor?: (tensor: Tensor, bytes: number) => void
}

/** Where coded groups wait until the head, which comes before them, is written. */
export interface GroupStore {
  add(chunks: readonly Uint8Array[]): void | Promise<void>
  /** Forgets what was added. */
  clear(): void
}

/** Packs a model. */
export function packModel(model: Model, options: PackOptions = {}): Uint8Array {
  const stored = new GroupsInMemory()
  const { beginning, groups } = runHere(packing(model, options, stored))
  return concat([...beginning, ...stored.chunks, ...groups])
}

class GroupsInMemory implements GroupStore {
  readonly chunks: Uint8Array[] = []

  add(chunks: readonly Uint8Array[]): void {
    this.chunks.push(...chunks)
  }

  clear(): void {
    this.chunks.length = 0
  }
}

export interface PackOnOptions extends PackOptions {
  /** Threads to work on; this one alone where there are none. The bytes are the same. */
  readonly workers?: Workers
}

/** Packs a model, on several threads where there are some. */
export async function packModelOn(model: Model, options: PackOnOptions): Promise<Uint8Array> {
  const groups = new GroupsInMemory()
  const beginning = await packModelInto(model, options, groups)
  return concat([...beginning, ...groups.chunks])
}

/** How many bytes a model packs to. Needs no memory for the packed file. */
export async function packedSizeOn(model: Model, options: PackOnOptions): Promise<number> {
  let size = 0
  const beginning = await packModelInto(model, options, {
    add: (chunks) => {
      size += lengthOf(chunks)
    },
    clear: () => {
      size = 0
    },
  })
  return size + lengthOf(beginning)
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((n, { length }) => n + length, 0)
}

/** Packs a model, on several threads where there are some: all of the file but its groups, which went to the store. */
export async function packModelInto(
  model: Model,
  options: PackOnOptions,
  store: GroupStore,
): Promise<readonly Uint8Array[]> {
  const { beginning, groups } = await runOn(options.workers, packing(model, options, store))
  await store.add(groups)
  return beginning
}

interface Packed {
  /** All of the file before its groups. */
  readonly beginning: readonly Uint8Array[]
  /** Those groups that are not in the store. */
  readonly groups: readonly Uint8Array[]
}

/**
 * A model as its graph and tensors; where decoders would refuse the graph, or nothing is gained, as the bytes of its ONNX file, so
 * that no packed file is larger than that and a few bytes. A small one as whichever is smaller.
 */
function* packing(model: Model, options: PackOptions, store: GroupStore): Steps<Packed> {
  const structured = outline(model)
  const { byteLength } = structured
  if (byteLength >= maxBytes)
    throw new Error(`pack: the model is ${byteLength} bytes long; expected fewer than ${maxBytes}`)
  const held = byteLength <= mostAsBytes ? new GroupsInMemory() : undefined
  const beginning = yield* packingOutline(structured, options, held ?? store)
  if (beginning) {
    const packed = { beginning, groups: held?.chunks ?? [] }
    return held && options.mode !== 'fast'
      ? yield* smallerAsBytes(structured, writeModel(model), packed, options)
      : packed
  }
  // A file of more bytes than one array holds has a graph that is far smaller than its tensors.
  store.clear()
  return yield* packingBytes(writeModel(model), options)
}

/** Files of no more bytes are tried as bytes too, but where they are to decode fast: a few seconds at most. */
const mostAsBytes = 1 << 20
/** The same of files that are mostly text and graph, whatever repeats in them. */
const mostOfText = 1 << 18
/** Bytes give no tensor without all others, so they must be this much smaller. */
const worthwhile = 0.98

/**
 * What was packed, or the bytes of the ONNX file where those take less: what repeats between lists of attributes, texts, or tensors
 * of other types is found there alone. They are packed only where they look so.
 */
function* smallerAsBytes({ tensors }: Outline, onnx: Uint8Array, packed: Packed, options: PackOptions): Steps<Packed> {
  const length = lengthOf(packed.beginning) + lengthOf(packed.groups)
  const numbers = sumOf(tensors.map(({ info }) => info.byteLength))
  const isText = onnx.length <= mostOfText && 2 * numbers < onnx.length
  if (!isText && bytesWithoutRepeats(onnx) >= length) return packed
  const plain = yield* packingBytes(onnx, { mode: options.mode })
  return lengthOf(plain.beginning) + lengthOf(plain.groups) < worthwhile * length ? plain : packed
}

/** The bytes of a whole ONNX file. */
function* packingBytes(onnx: Uint8Array, options: PackOptions): Steps<Packed> {
  const held = new GroupsInMemory()
  const beginning = (yield* packingOutline(outlineOfBytes(onnx), options, held)) as Uint8Array[]
  return { beginning, groups: held.chunks }
}

/** Undefined where decoders would refuse the graph, and where the packed file would be larger than its ONNX file. */
function* packingOutline(
  { message, byteLength, tensors }: Outline,
  { mode = 'default', progress, onTensor }: PackOptions,
  store: GroupStore,
): Steps<Uint8Array[] | undefined> {
  const parts = tensors.flatMap(partsOfTensor)
  const tensorBytes = parts.reduce((sum, { info }) => sum + info.byteLength, 0)
  const graphByteLength = byteLength - tensorBytes
  if (graphByteLength > maxGraphBytes) return undefined
  const finding = { kind: 'finding shared data', cost: sumOf(parts.map(({ info }) => msToFindShared(info))) }
  let msOfCoding = costOf(toCode)(parts)
  const behind = () => [finding, { kind: 'coding', cost: msOfCoding }]
  const batches = inBatches(parts)
  const msOfChoosing = batches.map((batch, i) => costOf(toChoose)(batch) + (i < 2 ? msToWarmUp : 0))
  const outlook = new Outlook([{ kind: 'choosing', cost: sumOf(msOfChoosing) }, ...behind()], (share) =>
    progress?.(share),
  )
  const descriptions: Description[] = []
  yield* stage({
    task: chooseCodings,
    inputs: batches.map((batch) => () => batch.map(withData)),
    done: sharesDone(msOfChoosing, outlook.begin('choosing')),
    take: (chosen) => {
      for (const description of chosen) {
        const part = parts[descriptions.length]
        const { coding, bits } = description
        msOfCoding += toCode({ ...part, coding: codings[coding], bits }) - toCode(part)
        descriptions.push(description)
      }
      outlook.expect(behind())
    },
  })
  const described = findShared(parts, descriptions, outlook.begin('finding shared data'))
  const head = encodeHead(message, described, {
    graphByteLength,
    counts: tensors.map(({ info }) => partsOf(info).length),
  })
  if (!head) return undefined

  const groups = splitIntoGroups(described)
  const costs = groups.map(costOf(toCode))
  const sizes: GroupSizes[] = []
  const taken = new Map(described.map((part) => [part, part.coded.table?.length ?? 0]))
  outlook.expect([{ kind: 'coding', cost: sumOf(costs) }])
  yield* stage({
    task: encodeGroup,
    inputs: groups.map((members) => () => ({
      mode,
      parts: members.map((m) => ({ ...withData(m), coding: codings.indexOf(m.coding), coded: m.coded })),
    })),
    done: sharesDone(costs, outlook.begin('coding')),
    take: (group: EncodedGroup) => {
      for (const [i, part] of groups[sizes.length].entries())
        taken.set(part, (taken.get(part) ?? 0) + group.partBytes[i])
      sizes.push(sizesOf(group))
      return store.add([group.integers, group.raw])
    },
  })
  progress?.(1)
  const beginning = writeBeginning({ mode, byteLength, graphByteLength, head, groups: sizes })
  const length = sizes.reduce((n, s) => n + s.integersLength + s.rawLength, 0)
  const isLarger = length + lengthOf(beginning) >= byteLength
  if (isLarger && message) return undefined
  if (onTensor) tellBytes(tensors, [...taken.values()], onTensor)
  return beginning
}

/** `partBytes`: of the tensors' parts, in their order. */
function tellBytes(
  tensors: readonly OutlinedTensor[],
  partBytes: readonly number[],
  tell: (tensor: Tensor, bytes: number) => void,
): void {
  let at = 0
  for (const { info, tensor } of tensors) {
    const from = at
    at += partsOf(info).length
    if (tensor) tell(tensor, Math.round(sumOf(partBytes.slice(from, at))))
  }
}

const toChoose = ({ info }: Part): number => msToChoose(info)
const toCode = ({ info, ...chosen }: Part | Omit<Described, 'coded'>): number =>
  msToCode(info, 'bits' in chosen ? chosen : undefined)

/** What work on some parts costs, by what it costs on one. */
function costOf<P>(ms: (part: P) => number): (parts: readonly P[]) => number {
  return (parts) => sumOf(parts.map(ms))
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0)
}

/** What stands for a tensor's data while lengths are counted. */
interface Later {
  readonly tensor: Tensor
  readonly byteLength: number
}

interface Outline {
  /** The model's message without tensors' data, but with the bytes of an empty one where there is some. */
  readonly message?: Message
  /** The length of the whole as ONNX. */
  readonly byteLength: number
  /** In their order. */
  readonly tensors: readonly OutlinedTensor[]
}

interface OutlinedTensor extends Part {
  /** The model's, where it is one. */
  readonly tensor?: Tensor
}

/** A file without a message: all of it is one tensor. */
function outlineOfBytes(onnx: Uint8Array): Outline {
  return { byteLength: onnx.length, tensors: [{ info: plainInfo(onnx.length), read: () => onnx }] }
}

function outline(model: Model): Outline {
  const message = lowerModel(model, (tensor) => {
    const { dtype, dims } = tensor
    return { rawData: { tensor, byteLength: byteLengthOf(dtype, sizeOf(dims)) } satisfies Later }
  })
  const { byteLength } = encode<Later>(ModelProto, message)
  // Of a tensor that is read in parts, the data is held while its parts are read.
  let held: { of: Message; data: Uint8Array } | undefined
  const tensors: OutlinedTensor[] = []
  for (const proto of tensorsWithData(ModelProto, message)) {
    const from = proto.rawData as Uint8Array | Later
    const info = infoOf(proto)
    proto.rawData = new Uint8Array(0)
    const read = (): Uint8Array => {
      if (held?.of === proto) return held.data
      held = undefined
      const data = from instanceof Uint8Array ? from : from.tensor.data
      if (data.byteLength !== info.byteLength)
        throw new Error(
          `pack: tensor "${proto.name}" has ${data.byteLength} bytes; expected ${info.byteLength} for its type and shape`,
        )
      held = { of: proto, data }
      return data
    }
    tensors.push({ info, read, ...(from instanceof Uint8Array ? {} : { tensor: from.tensor }) })
  }
  return { message: decode(ModelProto, concat(encode(ModelProto, message).chunks)), byteLength, tensors }
}

function partsOfTensor({ info, read }: Part): Part[] {
  let at = 0
  return partsOf(info).map((part) => {
    const from = at
    at += part.byteLength
    return { info: part, read: () => read().subarray(from, from + part.byteLength) }
  })
}

function withData({ info, read }: Part): TensorData {
  return { info, data: read() }
}

/** Milliseconds of choosing that are worth sending to a thread: more would tell less often how far it is. */
const msOfBatch = 200

/** Small ones together. */
function inBatches(parts: readonly Part[]): Part[][] {
  const batches: Part[][] = []
  let ms = msOfBatch
  for (const part of parts) {
    if (ms >= msOfBatch) {
      batches.push([])
      ms = 0
    }
    batches[batches.length - 1].push(part)
    ms += toChoose(part)
  }
  return batches
}

function encodeHead(
  message: Message | undefined,
  described: readonly CodedTensor[],
  { graphByteLength, counts }: { readonly graphByteLength: number; readonly counts: readonly number[] },
): Uint8Array | undefined {
  const coder = new BinaryEncoder()
  const mixer = primedMixer(coder)
  const describe = tensorCoder(mixer)
  if (!message) {
    for (const part of described) describe.code(part, part.info)
    return coder.finish()
  }
  let items = 0
  let tensor = 0
  let part = 0
  codeMessage(mixer, ModelProto, message, {
    check: (more) => {
      items += more
    },
    codeTensor: () => {
      for (let i = counts[tensor++]; i > 0; i--, part++) describe.code(described[part], described[part].info)
    },
  })
  // What decoders refuse is not written.
  if (items > maxItemsIn(graphByteLength)) return undefined
  return padded(coder.finish(), graphByteLength)
}

/** The head with zeros that the decoder ignores, where a graph packs so well that the decoder would take it for a bomb. */
function padded(head: Uint8Array, graphByteLength: number): Uint8Array {
  const out = new Uint8Array(Math.max(head.length, Math.ceil(graphByteLength / maxGraphExpansion)))
  out.set(head)
  return out
}
