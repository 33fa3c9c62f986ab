/**
 * A model to a packed file. Nothing is lost: unpacking gives every tensor bit for bit and the same graph; what comes out
 * is, byte for byte, what `writeModel` makes of the model.
 */
import type { Model } from '../model.ts'
import { ModelProto } from '../onnx/schema.ts'
import { decode, type Message } from '../onnx/wire.ts'
import { writeModel } from '../onnx/write.ts'
import { bitWriter } from './bits.ts'
import { type ChosenCoding, chooser } from './choose-coding.ts'
import { writeTensor } from './coding/write-stream.ts'
import { type Group, maxGraphBytes, maxGraphExpansion, maxItemsIn, writeContainer } from './container.ts'
import { beginEncoding, type Mode } from './entropy/integer-coder.ts'
import { BinaryCoder } from './entropy/range-coder.ts'
import { codeMessage, primedMixer } from './graph-coder.ts'
import { infoOf, splitIntoGroups, tensorCoder } from './tensor-coder.ts'

export interface PackOptions {
  /** `fast` decodes several times faster, `max` is smallest and slowest. */
  readonly mode?: Mode
  /** Called with the share done, 0 to 1. */
  readonly progress?: (share: number) => void
}

interface Job extends ChosenCoding {
  readonly data: Uint8Array
}

/** Packs a model. Throws where ONNX could not hold it (over 2 GiB). */
export function packModel(model: Model, options: PackOptions = {}): Uint8Array {
  return packOnnx(writeModel(model), options)
}

/** Packs the bytes that `writeModel` made. */
export function packOnnx(onnx: Uint8Array, { mode = 'default', progress }: PackOptions = {}): Uint8Array {
  const coder = new BinaryCoder()
  const mixer = primedMixer(coder)
  const describe = tensorCoder(mixer)
  const choose = chooser()
  const jobs: Job[] = []
  let tensorBytes = 0
  let items = 0
  codeMessage(mixer, ModelProto, decode(ModelProto, onnx), {
    check: (more) => {
      items += more
    },
    codeTensor: (message: Message, data) => {
      const info = infoOf(message)
      if (data?.length !== info.byteLength)
        throw new Error(`pack: tensor "${message.name}" has ${data?.length} bytes; expected ${info.byteLength}`)
      const tensor = choose(info, data)
      describe.code(tensor, info)
      jobs.push({ ...tensor, data })
      tensorBytes += info.byteLength
      progress?.((0.5 * tensorBytes) / onnx.length)
    },
  })
  const graphByteLength = onnx.length - tensorBytes
  // What decoders refuse is not written.
  if (graphByteLength > maxGraphBytes)
    throw new Error(`pack: ${graphByteLength} bytes beside tensors' data; expected at most ${maxGraphBytes}`)
  if (items > maxItemsIn(graphByteLength))
    throw new Error(`pack: ${items} items in ${graphByteLength} bytes of graph; expected at most 4 a byte`)
  const head = padded(coder.finish(), graphByteLength)
  const groups = encodeGroups(jobs, mode, (share) => progress?.(0.5 + 0.5 * share))
  progress?.(1)
  return writeContainer({ mode, byteLength: onnx.length, graphByteLength, head, groups })
}

/** The head with zeros that the decoder ignores, where a graph packs so well that the decoder would take it for a bomb. */
function padded(head: Uint8Array, graphByteLength: number): Uint8Array {
  const out = new Uint8Array(Math.max(head.length, Math.ceil(graphByteLength / maxGraphExpansion)))
  out.set(head)
  return out
}

function encodeGroups(jobs: readonly Job[], mode: Mode, progress: (share: number) => void): Group[] {
  const groups: Group[] = []
  for (const members of splitIntoGroups(jobs)) {
    const integers = beginEncoding({ mode })
    const bits = bitWriter()
    for (const member of members) writeTensor(member, integers, bits)
    groups.push({ integers: integers.finish(), raw: bits.finish() })
    progress((jobs.indexOf(members[members.length - 1]) + 1) / jobs.length)
  }
  return groups
}
