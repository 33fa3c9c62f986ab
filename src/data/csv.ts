/**
 * CSV tables: one sample a row. A header names the columns; the label column is called label, class, target or y.
 * Quoting as in RFC 4180.
 */
import type { Answers } from './answers.ts'
import type { Dataset } from './dataset.ts'

const labelNames = new Set(['label', 'labels', 'class', 'target', 'y'])

/** The table's rows of cells. */
export function parseCsv(text: string, subject: string): string[][] {
  const cellEnd = /[,\r\n]/g
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
    if (text[at] === ',') {
      at++
      if (at === text.length) row.push('')
      continue
    }
    if (at < text.length && text[at] !== '\r' && text[at] !== '\n') {
      throw new Error(`${subject}: a quoted cell goes on after its end (row ${rows.length + 1})`)
    }
    at += text.startsWith('\r\n', at) ? 2 : 1
    if (row.length > 1 || row[0] !== '') rows.push(row)
    row = []
  }
  if (row.length > 0) rows.push(row)
  return rows
}

/**
 * The table as a data set with one field, `values`, of all columns but the label's. Labels that are whole numbers
 * (3, or 3.0 as spreadsheets and data frames write it) are class indices; other numbers are targets to regress;
 * anything else is class names, numbered in alphabetical order. Without a header there are no labels.
 */
export function csvDataset(text: string, id: string): Dataset {
  const rows = parseCsv(text, id)
  if (rows.length === 0) throw new Error(`${id}: it holds no rows`)
  const hasHeader = rows[0].some((cell) => cell !== '' && Number.isNaN(Number(cell)))
  const header = hasHeader ? rows[0] : undefined
  const body = hasHeader ? rows.slice(1) : rows
  if (body.length === 0) throw new Error(`${id}: it holds a header and no rows`)
  const width = rows[0].length
  const labelColumn = header ? header.findIndex((name) => labelNames.has(name.toLowerCase())) : -1
  const features = width - (labelColumn < 0 ? 0 : 1)
  const data = new Float32Array(body.length * features)
  body.forEach((row, i) => {
    const where = `${id}: row ${i + 1 + (hasHeader ? 1 : 0)}`
    if (row.length !== width) throw new Error(`${where} has ${row.length} cells; expected ${width}`)
    const cells = row.filter((_, column) => column !== labelColumn)
    cells.forEach((cell, column) => {
      const value = Number(cell)
      if (cell === '' || Number.isNaN(value)) throw new Error(`${where} holds "${cell}" where a number is expected`)
      data[i * features + column] = value
    })
  })
  const fields = { values: { shape: [features], data, kind: 'values' as const } }
  if (labelColumn < 0) return { id, length: body.length, fields }
  return { id, length: body.length, fields, ...answersOf(body.map((row) => row[labelColumn])) }
}

/** Class indices of whole-number texts, numbers where all are numbers, or else names in alphabetical order. */
export function answersOf(texts: readonly string[]): Answers {
  if (texts.every((t) => /^\d{1,6}(\.0+)?$/.test(t))) {
    const labels = Int32Array.from(texts, Number)
    return { labels, classes: labels.reduce((most, label) => Math.max(most, label), 0) + 1 }
  }
  if (texts.every((t) => t !== '' && Number.isFinite(Number(t))))
    return { targets: { shape: [], data: Float32Array.from(texts, Number), kind: 'values' } }
  const classNames = [...new Set(texts)].sort()
  const index = new Map(classNames.map((name, i) => [name, i]))
  return { labels: Int32Array.from(texts, (t) => index.get(t)!), classes: classNames.length, classNames }
}
