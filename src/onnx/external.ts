/** The layout of a file with tensors' data beside a model. */
import type { Encoded, Message } from './wire.ts'

/** Data goes to the file in the order of `place`, which gives the fields of TensorProto that say where it is. */
export function externalFile<Data extends { readonly byteLength: number }>(
  location: string,
): { place(data: Data): Message; readonly written: Encoded<Data> } {
  const chunks: (Uint8Array | Data)[] = []
  let byteLength = 0
  return {
    place(data) {
      const padding = (4096 - (byteLength % 4096)) % 4096 // page-aligned, so that a runtime can map it
      if (padding > 0) chunks.push(new Uint8Array(padding))
      const offset = byteLength + padding
      chunks.push(data)
      byteLength = offset + data.byteLength
      return placeIn(location, { offset, length: data.byteLength })
    },
    get written() {
      return { chunks, byteLength }
    },
  }
}

/** The fields of TensorProto that say where a tensor's elements are, in bytes. */
export function placeIn(location: string, { offset, length }: { offset: number; length: number }): Message {
  return {
    dataLocation: 1,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(length) },
    ],
  }
}
