/**
 * CSER (compressed shared elements row; Wiedemann, Müller, Samek 2018, arXiv:1805.10692), here by column, as our product
 * goes: the distinct values by frequency, and for each column the values that it has, each with the rows where they are.
 * The most frequent value is not listed anywhere. A product adds the inputs of a value first and multiplies once.
 */
import { Numbers } from '../memory.ts'
import { alphabetOf } from './_alphabet.ts'
import { widthFor } from './_fields.ts'
import { readArray, startsOf, writeArray } from './_sparse.ts'
import { defineFormat } from './matrix.ts'

export const cser = defineFormat({
  id: 'cser',
  code: 7,
  help: 'for each column, the rows of each value; a product multiplies once per value',
  write(out, { rows, columns, bits }) {
    const alphabet = alphabetOf(bits)
    const groupsOfColumn = new Uint32Array(columns)
    const valueOfGroup = new Numbers()
    const sizeOfGroup = new Numbers()
    const listed = new Uint32Array(bits.length - (alphabet.counts[0] ?? 0))
    const order = new Uint32Array(rows)
    const places = new Uint32Array(alphabet.bits.length + 1)
    for (let column = 0, at = 0; column < columns; column++) {
      const numbers = alphabet.indices.subarray(column * rows, (column + 1) * rows)
      const used = sortRows(numbers, order, places)
      for (let i = 0, from = 0; i < used; i++) {
        const number = numbers[order[i]]
        listed[at++] = order[i]
        if (i + 1 < used && number === numbers[order[i + 1]]) continue
        groupsOfColumn[column]++
        valueOfGroup.push(number)
        sizeOfGroup.push(i + 1 - from)
        from = i + 1
      }
    }
    out.u32(alphabet.bits.length)
    out.ints(alphabet.bits, 4)
    writeArray(out, groupsOfColumn)
    out.ints(valueOfGroup.all, widthFor(alphabet.bits.length))
    writeArray(out, sizeOfGroup.all)
    out.ints(listed, widthFor(rows))
  },
  read(input, { rows, columns }) {
    const k = input.u32()
    if (k === 0 && rows * columns > 0) throw input.fail('no values at all')
    const codebook = input.ints(k, 4) as Uint32Array
    const values = new Float32Array(codebook.buffer)
    const groups = startsOf(readArray(input, columns))
    const valueOfGroup = input.wide(groups[columns], widthFor(k))
    const starts = startsOf(readArray(input, groups[columns]))
    const listed = input.ints(starts[groups[columns]], widthFor(rows))
    const implicit = codebook[0] ?? 0
    const dense = new Uint32Array(rows)
    const fill = (column: number): void => {
      dense.fill(implicit)
      for (let group = groups[column]; group < groups[column + 1]; group++) {
        const number = valueOfGroup[group]
        if (number === 0 || number >= k)
          throw input.fail(`value ${number} in column ${column} is outside of a codebook of ${k}`)
        for (let at = starts[group]; at < starts[group + 1]; at++) {
          if (listed[at] >= rows || dense[listed[at]] !== implicit)
            throw input.fail(`row ${listed[at]} of ${rows} is there twice, or is not there, in column ${column}`)
          dense[listed[at]] = codebook[number]
        }
      }
    }
    return {
      walk(entries, visit) {
        for (let column = 0; column < columns; column++) {
          fill(column)
          let count = 0
          for (let row = 0; row < rows; row++) {
            if (dense[row] === 0) continue
            entries.rows[count] = row
            entries.bits[count++] = dense[row]
          }
          entries.count = count
          visit(column)
        }
      },
      matvec(x) {
        // The inputs of the rows that are not listed, as the difference of all and the others, would cancel.
        if (implicit !== 0) return undefined
        const y = new Float32Array(columns)
        for (let column = 0; column < columns; column++) {
          let sum = 0
          for (let group = groups[column]; group < groups[column + 1]; group++) {
            let inputs = 0
            for (let at = starts[group]; at < starts[group + 1]; at++) inputs += x[listed[at]]
            sum += inputs * values[valueOfGroup[group]]
          }
          y[column] = sum
        }
        return y
      },
    }
  },
  bound({ rows, columns, density, distinct }) {
    const entries = rows * columns
    const k = distinct + (density < 1 ? 1 : 0)
    // The most frequent of k values leaves at most 1 - 1/k of the entries to list; +0 among them leaves the density.
    const listed = Math.min(1 - 1 / k, density < 1 ? Math.max(density, 0) : 1)
    const groups = Math.min(columns * Math.max(0, k - 1), listed * entries)
    const groupBits = 8 * widthFor(k) + 8 * widthFor(rows)
    return listed * 8 * widthFor(rows) + (groupBits * groups + 8 * widthFor(k) * columns + 32 + 32 * k + 16) / entries
  },
})

/**
 * The rows whose number is not 0, by number and then by row; how many. By counting, with a place for each number and one more
 * in `places`, unless numbers are so many that they are better compared.
 */
function sortRows(numbers: Uint32Array, order: Uint32Array, places: Uint32Array): number {
  let used = 0
  if (places.length > 2 * numbers.length + 64) {
    for (let row = 0; row < numbers.length; row++) if (numbers[row] !== 0) order[used++] = row
    order.subarray(0, used).sort((a, b) => numbers[a] - numbers[b] || a - b)
    return used
  }
  places.fill(0)
  for (let row = 0; row < numbers.length; row++) if (numbers[row] !== 0) places[numbers[row] + 1]++
  for (let number = 1; number < places.length; number++) places[number] += places[number - 1]
  for (let row = 0; row < numbers.length; row++) if (numbers[row] !== 0) order[places[numbers[row]]++] = row
  return places[places.length - 1]
}
