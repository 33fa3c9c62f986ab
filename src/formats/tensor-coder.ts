/** How a tensor is coded, in the head stream: which coding, its parameters and its table. */
import { byteLengthOf, dataTypeOf } from '../tensor/dtype.ts'
import { type Coded, type Coding, damaged, type TensorInfo } from './coding/coding.ts'
import { codings } from './coding/codings.ts'
import { plainForm, type StreamForm } from './coding/stream-form.ts'
import { groupSize } from './container.ts'
import { type ContextMixer, hash } from './entropy/context-mixer.ts'

/** Mixing weights 960 up are this file's. */
const sets = { coding: 960, parameter: 961, length: 962, form: 963, table: 968 } as const

/** Elements of a tensor that may be coded as integers: as many as 4 GiB hold. */
export const maxIntegers = 2 ** 30

export interface CodedTensor {
  readonly info: TensorInfo
  readonly coding: Coding
  readonly coded: Coded
}

/** Remembers what helps to predict the next tensor's description. */
export interface TensorCoder {
  code(tensor: CodedTensor | undefined, info: TensorInfo): CodedTensor
}

/** Shape and type of a TensorProto in the head. */
export function infoOf(message: { [field: string]: unknown }): TensorInfo {
  const dtype = dataTypeOf(Number(message.dataType ?? 0))
  if (!dtype) throw damaged(`element type ${message.dataType} does not exist`)
  const dims = ((message.dims ?? []) as (number | bigint)[]).map(Number)
  let size = 1
  for (const d of dims) {
    size *= d
    if (!(d >= 0) || !Number.isSafeInteger(size)) throw damaged(`a tensor cannot have the shape [${dims.join(', ')}]`)
  }
  return { dtype, dims, size, byteLength: byteLengthOf(dtype, size) }
}

/** A whole file as one tensor. */
export function plainInfo(byteLength: number): TensorInfo {
  return { dtype: 'uint8', dims: [byteLength], size: byteLength, byteLength }
}

export function tensorCoder(mixer: ContextMixer): TensorCoder {
  const tables = new Map<number, Uint8Array>()
  const lastCoding = new Map<number, number>()
  const lastParameter = new Map<number, number>()

  const codeTable = (table: Uint8Array | undefined, place: number, { byteLength }: TensorInfo): Uint8Array => {
    const before = tables.get(place)
    const length = mixer.number(table?.length ?? 0, [place, hash(place, before?.length ?? 0)], sets.length)
    // No coding has a table that is longer than the data, so that tables cost no more than the tensors they say.
    if (length > byteLength) throw damaged(`a tensor of ${byteLength} bytes has a table of ${length}`)
    const out = new Uint8Array(length)
    let whole = hash(place, length)
    for (let i = 0; i < length; i++) {
      const column = i & 3
      const up = i >= 4 ? out[i - 4] : 0
      const contexts = [
        hash(place, column),
        hash(whole, 1),
        hash(hash(column, 2), before && i < before.length ? before[i] : -1),
        hash(hash(column, 3), up | ((i > 0 ? out[i - 1] : 0) << 8)),
        hash(hash(column, 4), up | ((i >= 8 ? out[i - 8] : 0) << 8)),
        hash(hash(column, 5), i > 0 ? out[i - 1] : 0),
      ]
      out[i] = mixer.symbol(table?.[i] ?? 0, 8, contexts, sets.table + column)
      whole = hash(whole, out[i])
    }
    tables.set(place, out)
    return out
  }

  const codeForm = (known: StreamForm = plainForm, place: number, kind: number): StreamForm => {
    const code = (value: number, at: number) => mixer.number(value, [hash(place, at), hash(kind, at)], sets.form + at)
    const lowBits = code(known.lowBits, 0)
    if (lowBits > 31) throw damaged(`integers cannot have ${lowBits} low bits`)
    const predictor = code(known.predictor, 1)
    return { lowBits, predictor, offset: code(known.offset, 2) }
  }

  return {
    code(tensor, info) {
      const kind = hash(info.dtype.length * 31 + info.dtype.charCodeAt(info.dtype.length - 1), info.dims.length)
      const sized = hash(kind, Math.min(info.size, 64))
      const before = lastCoding.get(kind) ?? 0
      const choice = mixer.symbol(
        tensor ? codings.indexOf(tensor.coding) : 0,
        4,
        [kind, sized, hash(sized, before)],
        sets.coding,
      )
      lastCoding.set(kind, choice)
      const coding = codings[choice]
      if (!coding) throw damaged(`tensor coding ${choice} does not exist`)
      if (coding.hasIntegers && info.dtype === 'string') throw damaged('strings are coded as integers')
      const parameters: number[] = []
      for (let i = 0; i < (coding.parameterCount ?? 0); i++) {
        const place = hash(choice * 8 + i, kind)
        const contexts = [place, hash(place, lastParameter.get(place) ?? 0), hash(place, parameters[0] ?? 0)]
        const value = mixer.number(tensor?.coded.parameters[i] ?? 0, contexts, sets.parameter)
        lastParameter.set(place, value)
        parameters.push(value)
      }
      const form = coding.hasIntegers ? codeForm(tensor?.coded.form, hash(choice, 0x10b175), kind) : undefined
      const table = coding.hasTable
        ? codeTable(tensor?.coded.table, hash(choice, coding.name === 'inline' ? sized : kind), info)
        : undefined
      return { info, coding, coded: tensor?.coded ?? { parameters, table, form } }
    },
  }
}

/** Whether a tensor has integers or raw bits in a group. */
export function hasPayload({ coding }: CodedTensor): boolean {
  return (coding.hasIntegers ?? coding.hasRaw) !== undefined
}

/** Tensors that have a payload, in order, a new group after each `groupSize` elements. */
export function splitIntoGroups<T extends CodedTensor>(tensors: readonly T[]): T[][] {
  const groups: T[][] = []
  let size = groupSize
  for (const tensor of tensors) {
    if (!hasPayload(tensor)) continue
    if (size >= groupSize) {
      groups.push([])
      size = 0
    }
    groups[groups.length - 1].push(tensor)
    size += tensor.info.size
  }
  return groups
}
