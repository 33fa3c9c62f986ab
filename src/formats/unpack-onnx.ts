/** A packed file to ONNX bytes. Damaged input gives an error of one sentence, whatever the damage. */
import { ModelProto } from '../onnx/schema.ts'
import { concat, encode, type Message } from '../onnx/wire.ts'
import { bitReader } from './bits.ts'
import { damaged } from './coding/coding.ts'
import { copy } from './coding/copy.ts'
import { type Container, checkGroup, readContainer } from './container.ts'
import { ContextMixer } from './entropy/context-mixer.ts'
import { beginDecoding } from './entropy/integer-coder.ts'
import { BinaryCoder } from './entropy/range-coder.ts'
import { codeMessage } from './graph-coder.ts'
import { type CodedTensor, infoOf, splitIntoGroups, tensorCoder } from './tensor-coder.ts'

/** The ONNX bytes of the model in a packed file. */
export function unpackOnnx(bytes: Uint8Array): Uint8Array {
  const container = readContainer(bytes)
  const { message, tensors } = readHead(container)
  const groups = splitIntoGroups(tensors)
  if (groups.length !== container.groups.length)
    throw damaged(`${container.groups.length} groups; expected ${groups.length}`)
  const none = bitReader(new Uint8Array(0))
  for (const tensor of tensors) {
    const { coding, coded, info } = tensor
    if (!coding.hasIntegers && !coding.writeRaw && coding !== copy)
      tensor.message.rawData = coding.decode(info, coded, none)
  }
  groups.forEach((members, index) => {
    const { integers, raw } = checkGroup(container, index)
    const decoder = beginDecoding(integers, { mode: container.mode })
    const bits = bitReader(raw)
    for (const { coding, coded, info, message } of members) {
      const values = coding.hasIntegers ? decoder.decodeTensor(info.dims) : undefined
      const { lowBits = 0 } = coded
      if (values && lowBits > 0)
        for (let i = 0; i < values.length; i++) values[i] = (values[i] << lowBits) | bits.read(lowBits)
      message.rawData = coding.decode(info, { ...coded, integers: values }, bits)
    }
  })
  tensors.forEach(({ coding, coded, info, message }, index) => {
    if (coding !== copy) return
    const source = tensors[index - coded.parameters[0]]
    const data = source?.message.rawData as Uint8Array | undefined
    if (!data || source.info.dtype !== info.dtype || data.length !== info.byteLength)
      throw damaged('a copy of no tensor')
    message.rawData = data
  })
  const { chunks, byteLength } = encode(ModelProto, message)
  if (byteLength !== container.byteLength)
    throw damaged(`${byteLength} bytes of ONNX came out; expected ${container.byteLength}`)
  return concat(chunks)
}

interface HeadTensor extends CodedTensor {
  readonly message: Message
}

/** The graph, and how each of its tensors is coded; their data is not decoded yet. */
function readHead(container: Container): { message: Message; tensors: HeadTensor[] } {
  const coder = new BinaryCoder(container.head)
  const mixer = new ContextMixer(coder)
  const { byteLength, graphByteLength } = container
  let graphBudget = 4 * graphByteLength + 1024
  let tensorBudget = byteLength - graphByteLength
  if (byteLength >= 2 ** 31 || graphByteLength > 4096 * (container.head.length + 16) || tensorBudget < 0) {
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
  return { message, tensors }
}
