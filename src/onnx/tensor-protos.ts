/** Finding tensors in a message. */
import { TensorProto } from './schema.ts'
import type { Message, Schema } from './wire.ts'

/** Every TensorProto in a message that has rawData, in the order of their data in the encoded bytes. */
export function* tensorsWithData(schema: Schema, message: Message): Generator<Message> {
  if (schema === TensorProto && message.rawData !== undefined) yield message
  for (const { name, kind, repeated } of Object.values(schema.fields())) {
    const value = message[name]
    if (typeof kind !== 'object' || value === undefined) continue
    for (const inner of (repeated ? value : [value]) as Message[]) yield* tensorsWithData(kind, inner)
  }
}
