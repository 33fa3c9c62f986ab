/**
 * CLA (compressed linear algebra; Elgohary, Boehm, Haas, Reiss, Reinwald 2016, doi:10.14778/2994509.2994515): columns in
 * groups, each a dictionary of the distinct tuples that its rows have, and one of three ways to say where they are:
 * offset lists (the rows of each tuple), runs (start and length), or a number for every row (dense dictionary coding);
 * or, where a dictionary does not pay, the values plainly. All-zero tuples are not listed in the first two.
 *
 * The paper plans groups from a sample; here sizes are exact, and a column joins the group of its left neighbours where
 * the group with it is smaller than the two apart (not tried where hardly any value repeats).
 */
import { type Alphabet, alphabetOf } from './_alphabet.ts'
import { type Group, headBytes, type ReadGroup, readGroup, sizesOf, writeGroup } from './_column-group.ts'
import { type ColumnMajor, defineFormat } from './matrix.ts'

/** Wider groups are not tried: a dictionary of tuples that never repeat cannot pay. */
const widestGroup = 255

export const cla = defineFormat({
  id: 'cla',
  code: 4,
  help: 'columns in groups that share a dictionary; rows as offset lists, runs or numbers',
  write(out, matrix) {
    const groups = planGroups(matrix)
    out.u32(groups.length)
    for (const group of groups) writeGroup(out, matrix, group)
  },
  read(input, { rows, columns }) {
    const groups: ReadGroup[] = []
    let first = 0
    for (let left = input.u32(); left > 0; left--) {
      const group = readGroup(input, { rows, left: columns - first })
      groups.push(group)
      first += group.width
    }
    if (first !== columns) throw input.fail(`its groups have ${first} columns in all, not ${columns}`)
    const tuples = new Uint32Array(rows)
    return {
      walk(entries, visit) {
        let column = 0
        for (const { width, dictionary, number } of groups) {
          number(tuples)
          for (let j = 0; j < width; j++) {
            let count = 0
            for (let row = 0; row < rows; row++) {
              const bits = dictionary[tuples[row] * width + j]
              if (bits === 0) continue
              entries.rows[count] = row
              entries.bits[count++] = bits
            }
            entries.count = count
            visit(column++)
          }
        }
      },
      /** The inputs of a tuple are added first; each tuple is multiplied once. */
      matvec(x) {
        const y = new Float32Array(columns)
        let column = 0
        for (const { width, dictionary, number } of groups) {
          number(tuples)
          const sums = new Float64Array(dictionary.length / width)
          for (let row = 0; row < rows; row++) sums[tuples[row]] += x[row]
          const values = new Float32Array(dictionary.buffer)
          for (let j = 0; j < width; j++) {
            let sum = 0
            for (let t = 0, at = j; t < sums.length; t++, at += width) {
              if (dictionary[at] !== 0) sum += sums[t] * values[at]
            }
            y[column++] = sum
          }
        }
        return y
      },
    }
  },
  bound: ({ rows, columns }) => 32 + (8 * headBytes * columns + 32) / (rows * columns),
})

/** Columns from left to right; each joins the group before it where that is smaller. */
function planGroups({ rows, columns, bits }: ColumnMajor): Group[] {
  const groups: Group[] = []
  let last: { group: Group; tuples: Alphabet } | undefined
  for (let column = 0; column < columns; column++) {
    const alone = alphabetOf(bits.subarray(column * rows, (column + 1) * rows))
    const single = groupOf({ first: column, width: 1, rows, tuples: alone, zero: alone.bits.indexOf(0) })
    if (last && last.group.width < widestGroup && repeats(last.tuples, rows) && repeats(alone, rows)) {
      const joined = join(last, { group: single, tuples: alone }, rows)
      if (joined && joined.group.byteLength < last.group.byteLength + single.byteLength) {
        last = joined
        continue
      }
    }
    if (last) groups.push(last.group)
    last = { group: single, tuples: alone }
  }
  if (last) groups.push(last.group)
  return groups
}

/** Whether tuples repeat enough for a dictionary to pay: else joining is not tried, which takes long and gains nothing. */
function repeats(tuples: Alphabet, rows: number): boolean {
  return 2 * tuples.bits.length <= rows || rows < 8
}

interface Planned {
  readonly group: Group
  /** Its `bits` are numbers of pairs, of no meaning but to tell them apart. */
  readonly tuples: Alphabet
}

function join(a: Planned, b: Planned, rows: number): Planned | undefined {
  const scale = b.tuples.bits.length
  if (a.tuples.bits.length * scale >= 2 ** 32) return undefined
  const keys = new Uint32Array(rows)
  for (let row = 0; row < rows; row++) keys[row] = a.tuples.indices[row] * scale + b.tuples.indices[row]
  const tuples = alphabetOf(keys)
  const zeros = a.group.zero >= 0 && b.group.zero >= 0
  const zero = zeros ? tuples.bits.indexOf(a.group.zero * scale + b.group.zero) : -1
  return { tuples, group: groupOf({ first: a.group.first, width: a.group.width + 1, rows, tuples, zero }) }
}

function groupOf(parts: { first: number; width: number; rows: number; tuples: Alphabet; zero: number }): Group {
  const { first, width, rows, tuples, zero } = parts
  const { indices, counts } = tuples
  const runCounts = new Uint32Array(counts.length)
  for (let row = 0; row < rows; row++) if (row === 0 || indices[row] !== indices[row - 1]) runCounts[indices[row]]++
  const sizes = sizesOf({ rows, width, counts, runCounts, zero })
  const byteLength = Math.min(...sizes)
  return { first, width, tuples: indices, counts, runCounts, zero, coding: sizes.indexOf(byteLength), byteLength }
}
