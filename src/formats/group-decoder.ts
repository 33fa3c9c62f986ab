/** Decoding a group: the task of unpacking that other threads can do. */
import { bitReader } from './bits.ts'
import { type Coded, damaged, type TensorInfo } from './coding/coding.ts'
import { codings } from './coding/codings.ts'
import { fromStream } from './coding/stream-form.ts'
import type { Group } from './container.ts'
import { beginDecoding, type Mode } from './entropy/integer-coder.ts'
import { withMemory } from './memory.ts'

/** A group as plain data. */
export interface GroupToDecode extends Group {
  readonly mode: Mode
  /** Its place in the file, for messages. */
  readonly index: number
  readonly parts: readonly {
    readonly info: TensorInfo
    /** Its place in `codings`. */
    readonly coding: number
    readonly coded: Coded
  }[]
  /** How many parts are wanted; all unless said. */
  readonly until?: number
}

/** The data of a group's parts. */
export function decodeGroup({ index, mode, integers, raw, parts, until = parts.length }: GroupToDecode): Uint8Array[] {
  const hasIntegers = parts.some((p) => codings[p.coding].hasIntegers)
  const decoder = hasIntegers ? beginDecoding(integers, { mode }) : undefined
  const bits = bitReader(raw)
  const data: Uint8Array[] = []
  for (const { info, coding: which, coded } of parts.slice(0, until)) {
    const coding = codings[which]
    const earlier = (distance: number) => data[data.length - distance]
    const decoded = withMemory(`${info.byteLength} bytes of a tensor`, () => {
      const values = coding.hasIntegers ? decoder?.decodeTensor(info.dims) : undefined
      if (values && coded.form) fromStream(values, coded.form, bits)
      return sized(coding.decode(info, { ...coded, integers: values }, bits, earlier), info)
    })
    data.push(decoded)
  }
  if (until === parts.length && !bits.atEnd()) throw damaged(`group ${index} has raw bits to spare`)
  return data
}

/** The data, if it is as long as it should be. */
function sized(data: Uint8Array, { byteLength }: TensorInfo): Uint8Array {
  if (data.length !== byteLength) throw damaged(`a tensor came out ${data.length} bytes long, not ${byteLength}`)
  return data
}
