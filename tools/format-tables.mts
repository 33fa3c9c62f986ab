/**
 * Writes docs/format/head.json: the tables of the packed format that are too long for docs/format.md, as any program can
 * read them. They are part of the format; a test holds them to the source, and decodes with them.
 * Run: npx tsx tools/format-tables.mts
 */
import { writeFileSync } from 'node:fs'
import { codings } from '../src/formats/coding/codings.ts'
import { fieldOrder, valueNames } from '../src/formats/graph-coder.ts'
import { primer } from '../src/formats/graph-primer.ts'
import { ModelProto, TypeProto } from '../src/onnx/schema.ts'
import type { Schema } from '../src/onnx/wire.ts'
import { dataTypes } from '../src/tensor/dtype.ts'

interface FieldRow {
  readonly name: string
  /** int, float, string, text, bytes, raw-varint, raw-32, raw-64, or the name of a message. */
  readonly kind: string
  readonly repeated?: true
  /** Written one by one in ONNX, not packed. */
  readonly unpacked?: true
}

export function headTables() {
  const messages: Record<
    string,
    { order: readonly number[]; names?: readonly string[]; fields: Record<string, FieldRow> }
  > = {}
  const add = (schema: Schema): void => {
    if (messages[schema.message]) return
    const fields: Record<string, FieldRow> = {}
    const order = fieldOrder.get(schema) ?? Object.keys(schema.fields()).map(Number)
    const names = valueNames.get(schema)
    messages[schema.message] = { order, ...(names ? { names } : {}), fields }
    for (const [number, { name, kind, repeated, unpacked }] of Object.entries(schema.fields())) {
      fields[number] = {
        name,
        kind: typeof kind === 'object' ? kind.message : kind,
        ...(repeated ? { repeated } : {}),
        ...(unpacked ? { unpacked } : {}),
      }
      if (typeof kind === 'object') add(kind)
    }
  }
  add(ModelProto)
  add(TypeProto)
  return {
    messages,
    types: Object.entries(dataTypes).map(([name, { code, bits }]) => ({ name, code, bits })),
    codings: codings.map(({ name, parameterCount = 0, hasTable = false, hasIntegers = false }) => ({
      name,
      parameterCount,
      hasTable,
      hasIntegers,
    })),
    primer: primer(),
  }
}

/** One line an entry of the lists, so that changes can be read. */
export function headTablesText(): string {
  const bytes = (_: string, value: unknown) => (value instanceof Uint8Array ? [] : value)
  const list = (items: readonly unknown[]): string =>
    `[\n${items.map((i) => `    ${JSON.stringify(i)}`).join(',\n')}\n  ]`
  const { messages, types, codings: rows, primer: model } = headTables()
  const messageText = Object.entries(messages).map(([name, { fields, ...rest }]) => {
    const lines = Object.entries(fields).map(([n, f]) => `        ${JSON.stringify(n)}: ${JSON.stringify(f)}`)
    const head = Object.entries(rest).map(([key, value]) => `      ${JSON.stringify(key)}: ${JSON.stringify(value)},\n`)
    return `    ${JSON.stringify(name)}: {\n${head.join('')}      "fields": {\n${lines.join(',\n')}\n      }\n    }`
  })
  const primerText = JSON.stringify(model, bytes, 1).replaceAll('\n', '\n  ')
  return `{\n  "messages": {\n${messageText.join(',\n')}\n  },\n  "types": ${list(types)},\n  "codings": ${list(rows)},\n  "primer": ${primerText}\n}\n`
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(new URL('../docs/format/head.json', import.meta.url), headTablesText())
}
