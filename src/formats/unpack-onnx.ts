/** A packed file to ONNX bytes. Damaged input gives an error of one sentence, whatever the damage. */
import { ModelProto } from '../onnx/schema.ts'
import { concat, encode, type Message } from '../onnx/wire.ts'
import { bitReader } from './bits.ts'
import { damaged } from './coding/coding.ts'
import { copy } from './coding/copy.ts'
import { type Container, checkGroup, maxGraphExpansion, readContainer } from './container.ts'
import { ContextMixer } from './entropy/context-mixer.ts'
import { beginDecoding } from './entropy/integer-coder.ts'
import { BinaryCoder } from './entropy/range-coder.ts'
import { codeMessage } from './graph-coder.ts'
import { type CodedTensor, hasPayload, infoOf, splitIntoGroups, tensorCoder } from './tensor-coder.ts'

/** The ONNX bytes of the model in a packed file. */
export function unpackOnnx(bytes: Uint8Array): Uint8Array {
  const container = readContainer(bytes)
  container.groups.forEach((_, index) => {
    checkGroup(container, index)
  })
  const { message, tensors, groups } = readHead(container)
  for (const tensor of tensors) if (!hasPayload(tensor)) decodeFromHead(tensor)
  groups.forEach((members, index) => {
    decodeGroup(container, members, index)
  })
  tensors.forEach((tensor, index) => {
    if (tensor.coding === copy) tensor.message.rawData = sourceOf(tensors, index).message.rawData
  })
  const { chunks, byteLength } = encode(ModelProto, message)
  if (byteLength !== container.byteLength)
    throw damaged(`${byteLength} bytes of ONNX came out; expected ${container.byteLength}`)
  return concat(chunks)
}

/** The bytes of one tensor, by its name, as ONNX's raw_data holds them: only the head and the tensor's group are decoded. */
export function unpackTensorData(bytes: Uint8Array, name: string): Uint8Array {
  const container = readContainer(bytes)
  const { tensors, groups } = readHead(container)
  const found = tensors.findIndex((t) => utf8.decode((t.message.name ?? new Uint8Array(0)) as Uint8Array) === name)
  if (found < 0) throw new Error(`cop: no tensor is named "${name}"; expected one of the model's ${tensors.length}`)
  const tensor = tensors[found].coding === copy ? sourceOf(tensors, found) : tensors[found]
  if (hasPayload(tensor)) {
    const index = groups.findIndex((members) => members.includes(tensor))
    decodeGroup(container, groups[index], index)
  } else decodeFromHead(tensor)
  return tensor.message.rawData as Uint8Array
}

const utf8 = new TextDecoder()

function decodeFromHead({ coding, coded, info, message }: HeadTensor): void {
  if (coding !== copy) message.rawData = coding.decode(info, coded, bitReader(new Uint8Array(0)))
}

function decodeGroup(container: ReturnType<typeof readContainer>, members: readonly HeadTensor[], index: number): void {
  const { integers, raw } = checkGroup(container, index)
  const decoder = beginDecoding(integers, { mode: container.mode })
  const bits = bitReader(raw)
  for (const { coding, coded, info, message } of members) {
    const values = coding.hasIntegers ? decoder.decodeTensor(info.dims) : undefined
    const { lowBits = 0 } = coded
    if (values && lowBits > 0) {
      for (let i = 0; i < values.length; i++) values[i] = (values[i] << lowBits) | bits.read(lowBits)
    }
    message.rawData = coding.decode(info, { ...coded, integers: values }, bits)
  }
  if (!bits.atEnd()) throw damaged(`group ${index} has raw bits to spare`)
}

/** The tensor that a copy copies: an earlier one of the same type and size. */
function sourceOf(tensors: readonly HeadTensor[], index: number): HeadTensor {
  const { info, coded } = tensors[index]
  const source = tensors[index - coded.parameters[0]]
  if (
    !source ||
    coded.parameters[0] < 1 ||
    source.coding === copy ||
    source.info.dtype !== info.dtype ||
    source.info.byteLength !== info.byteLength
  ) {
    throw damaged('a copy of no tensor')
  }
  return source
}

interface HeadTensor extends CodedTensor {
  readonly message: Message
}

/** The graph, and how each of its tensors is coded; their data is not decoded yet. */
function readHead(container: Container): { message: Message; tensors: HeadTensor[]; groups: HeadTensor[][] } {
  const coder = new BinaryCoder(container.head)
  const mixer = new ContextMixer(coder)
  const { byteLength, graphByteLength } = container
  let graphBudget = 4 * graphByteLength + 1024
  let tensorBudget = byteLength - graphByteLength
  if (byteLength >= 2 ** 31 || graphByteLength > maxGraphExpansion * container.head.length || tensorBudget < 0) {
    throw damaged(`${byteLength} bytes of ONNX, ${graphByteLength} of them graph, from ${container.head.length} bytes`)
  }
  const tooMuch = () => damaged('the head says more than its sizes allow')
  const describe = tensorCoder(mixer, (bytes) => {
    if (bytes > tensorBudget + graphBudget) throw tooMuch()
  })
  const tensors: HeadTensor[] = []
  const message = codeMessage(mixer, ModelProto, undefined, {
    check: (cost) => {
      if ((graphBudget -= cost) < 0 || coder.overrun > 12) throw tooMuch()
    },
    codeTensor: (parent) => {
      const info = infoOf(parent)
      if ((tensorBudget -= info.byteLength) < 0) throw tooMuch()
      tensors.push({ ...describe.code(undefined, info), message: parent })
    },
  })
  const groups = splitIntoGroups(tensors)
  if (groups.length !== container.groups.length) {
    throw damaged(`${container.groups.length} groups; expected ${groups.length}`)
  }
  return { message, tensors, groups }
}
