/**
 * CSV tables: one sample per row. A header names the columns; the label column is called label, class, target or y, or is
 * named by the caller. Quoting as in RFC 4180; cells are separated by commas, semicolons or tabs.
 */
import { didYouMean } from '../errors.ts'
import { type DataType, isFloat } from '../tensor/dtype.ts'
import { type Answers, answersOfTexts, type ReadOptions } from './answers.ts'
import type { Dataset, Field } from './dataset.ts'

const labelNames = new Set(['label', 'labels', 'class', 'target', 'y'])

/** The text of a table's file, which is UTF-8. */
export function textOf(bytes: Uint8Array, id: string): string {
  const expected = 'expected a table as text in UTF-8'
  const [first, second] = bytes
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw new Error(`${id}: it is text in UTF-16; ${expected}`)
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Said below: the decoder's own words are not a person's.
  }
  throw new Error(`${id}: it is not text in UTF-8; ${expected}`)
}

/** What separates the cells of a table, by its first line: the most frequent of comma, semicolon and tab outside quotes. */
function separatorOf(text: string): string {
  const [line] = text
    .slice(0, 1e6)
    .replace(/"[^"]*"/g, '')
    .split(/[\r\n]/, 1)
  const counts = [',', ';', '\t'].map((separator) => [line.split(separator).length, separator] as const)
  return counts.reduce((most, next) => (next[0] > most[0] ? next : most))[1]
}

/** The table's rows of cells. */
export function parseCsv(text: string, subject: string, separator = separatorOf(text)): string[][] {
  const cellEnd = new RegExp(`[${separator}\\r\\n]`, 'g')
  const rows: string[][] = []
  let row: string[] = []
  let at = text.startsWith('\uFEFF') ? 1 : 0
  while (at < text.length) {
    let cell: string
    if (text[at] === '"') {
      let end = at + 1
      while (text[end] !== '"' || text[end + 1] === '"') {
        end += text[end] === '"' ? 2 : 1
        if (end >= text.length) throw new Error(`${subject}: a quoted cell has no end (row ${rows.length + 1})`)
      }
      cell = text.slice(at + 1, end).replaceAll('""', '"')
      at = end + 1
    } else {
      cellEnd.lastIndex = at
      const end = cellEnd.exec(text)?.index ?? text.length
      cell = text.slice(at, end)
      at = end
    }
    row.push(cell.trim())
    if (text[at] === separator) {
      at++
      if (at === text.length) row.push('')
      continue
    }
    if (at < text.length && text[at] !== '\r' && text[at] !== '\n') {
      throw new Error(`${subject}: a quoted cell has text after its closing quote (row ${rows.length + 1})`)
    }
    at += text.startsWith('\r\n', at) ? 2 : 1
    if (row.length > 1 || row[0] !== '') rows.push(row)
    row = []
  }
  if (row.length > 0) rows.push(row)
  return rows
}

export interface CsvOptions extends ReadOptions {
  /** Whether the first row names the columns; default: whether it looks so (`looksLikeHeader`). */
  readonly header?: boolean
}

interface Column {
  readonly name: string
  readonly cells: readonly string[]
}

/**
 * The table as a data set: one field per input where the model has several, each named as a column is; else one field,
 * `values`, of all columns but the label's. Columns of text are for inputs that take strings.
 *
 * `label` is a column's name or its number: 1 is the first, -1 the last. What answers are, see `answersOfTexts`.
 */
export function csvDataset(text: string, id: string, options: CsvOptions = {}): Dataset {
  const rows = parseCsv(text, id)
  if (rows.length === 0) throw new Error(`${id}: it holds no rows`)
  const hasHeader = options.header ?? looksLikeHeader(rows)
  const body = hasHeader ? rows.slice(1) : rows
  if (body.length === 0) throw new Error(`${id}: it holds a header and no rows`)
  const width = rows[0].length
  const first = hasHeader ? 2 : 1
  body.forEach((row, i) => {
    if (row.length !== width) throw new Error(`${id}: row ${i + first} has ${row.length} cells; expected ${width}`)
  })
  const columns = rows[0].map(
    (cell, c): Column => ({ name: hasHeader ? cell : String(c + 1), cells: body.map((row) => row[c]) }),
  )
  const label = labelColumn(columns, hasHeader, id, options)
  const features = columns.filter((column, c) => c !== label && !(hasHeader && c === 0 && countsRows(column)))
  const fields = fieldsOf(features, { id, first, inputs: options.inputs ?? [] })
  const answers: Answers = label === undefined ? {} : answersOfTexts([columns[label].cells])[0]
  return { id, length: body.length, fields, ...answers }
}

/**
 * Whether the first row names the columns: all of it are words, a word stands over a number, or one is a label column's name.
 * Another word over a word says nothing where other cells are numbers: those may be the classes' names.
 */
function looksLikeHeader([first, second = []]: readonly (readonly string[])[]): boolean {
  const isWord = (cell = '') => !isMissing(cell) && !isNumber(cell)
  if (!first.some(isWord)) return false
  return (
    !first.some(isNumber) ||
    first.some((cell, c) => labelNames.has(cell.toLowerCase()) || (isWord(cell) && !isWord(second[c])))
  )
}

function isNumber(cell: string): boolean {
  return cell !== '' && !Number.isNaN(Number(cell))
}

function labelColumn(
  columns: readonly Column[],
  hasHeader: boolean,
  id: string,
  { label, inputs = [] }: CsvOptions,
): number | undefined {
  if (label === undefined) {
    if (!hasHeader) return undefined
    const at = columns.findIndex(
      ({ name }) => labelNames.has(name.toLowerCase()) && !inputs.some((input) => input.name === name),
    )
    return at < 0 ? undefined : at
  }
  const named = hasHeader ? columns.findIndex(({ name }) => name === label) : -1
  if (named >= 0) return named
  const number = Number(label)
  const at = number < 0 ? columns.length + number : number - 1
  if (Number.isInteger(number) && at >= 0 && at < columns.length) return at
  const known = columns.map((c) => c.name)
  const names = hasHeader
    ? `${didYouMean(label, known)}; expected one of ${known.slice(0, 20).join(', ')}, or`
    : '; expected'
  throw new Error(`${id}: it has no column "${label}"${names} a number from 1 to ${columns.length}`)
}

/** A column without a name that numbers the rows, as pandas writes it. */
function countsRows({ name, cells }: Column): boolean {
  return name === '' && cells.every((cell, i) => cell === String(i))
}

interface Where {
  readonly id: string
  /** Number of the first row of data, as an editor counts. */
  readonly first: number
  readonly inputs: NonNullable<ReadOptions['inputs']>
}

function fieldsOf(columns: readonly Column[], where: Where): Record<string, Field> {
  const { inputs } = where
  const columnOf = (input: string): Column | undefined =>
    columns.find(({ name }) => name === input) ?? columns.find(({ name }) => name.replace(/\W/g, '_') === input)
  // A column for each input, as exported pipelines over data frames take them.
  const own = inputs.map((input) => ({ input, column: columnOf(input.name) }))
  if (inputs.length > 1 && own.every(({ column }) => column)) {
    return Object.fromEntries(
      own.map(({ input, column }) => [
        input.name,
        input.dtype === 'string'
          ? textField([column!], [])
          : numberField([column!], [], { ...where, dtype: input.dtype }),
      ]),
    )
  }
  const shape = [columns.length]
  const dtype = inputs.length === 1 ? inputs[0].dtype : undefined
  return { values: dtype === 'string' ? textField(columns, shape) : numberField(columns, shape, { ...where, dtype }) }
}

function textField(columns: readonly Column[], shape: readonly number[]): Field {
  const strings = Array.from({ length: columns[0]?.cells.length ?? 0 }, (_, row) =>
    columns.map((c) => c.cells[row]),
  ).flat()
  return { shape, data: new Uint8Array(0), strings, kind: 'values' }
}

/** What tables hold where a number is missing: NaN, to a model that takes floats. */
const missing = new Set(['', 'nan', 'na', 'n/a', '#n/a', '<na>', 'null', 'none'])

function isMissing(cell: string): boolean {
  return missing.has(cell.toLowerCase())
}

function numberField(
  columns: readonly Column[],
  shape: readonly number[],
  { id, first, dtype = 'float32' }: Where & { readonly dtype?: DataType },
): Field {
  const length = columns[0]?.cells.length ?? 0
  // What float32 would round (identifiers, doubles) stays as exact as the input takes it.
  const data = new (dtype === 'float32' || dtype === 'float16' ? Float32Array : Float64Array)(length * columns.length)
  columns.forEach(({ name, cells }, c) => {
    if (cells.every(isMissing)) throw new Error(`${id}: column "${name}" holds no number; expected some`)
    cells.forEach((cell, row) => {
      const lacks = isFloat(dtype) && isMissing(cell)
      const value = lacks ? Number.NaN : Number(cell)
      if (/^[+-]?\d+,\d+(e[+-]?\d+)?$/i.test(cell))
        throw new Error(
          `${id}: row ${row + first} of column "${name}" holds "${cell}", a number with a decimal comma; expected a point, as in ${cell.replace(',', '.')}`,
        )
      if (!lacks && (cell === '' || Number.isNaN(value)))
        throw new Error(
          `${id}: row ${row + first} of column "${name}" holds "${cell}" where a number is expected (--label says which column holds classes)`,
        )
      data[row * columns.length + c] = value
    })
  })
  return { shape, data, kind: 'values' }
}
