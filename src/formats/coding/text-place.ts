/** Where in a text a byte comes: in which word and field, how far behind what sign. Tables and lists are told by these. */
import { hash } from '../entropy/context-mixer.ts'

export class TextPlace {
  /** Of the letters of a word so far; for digits, of how many there are. */
  private word = 0
  /** Of the letters alone, large ones as small ones. */
  private letters = 0
  /** Signs since the line began, bytes since the last sign, and that sign. */
  private field = 0
  private since = 0
  private sign = 0

  /** For the next byte; the last five are given, `h1` and `h5` as bytes, the last four as a number. */
  contexts(h1: number, four: number, h5: number): number[] {
    return [
      hash(64, hash(four, h5)),
      hash(80, this.word),
      hash(96, hash(Math.min(this.since, 255), this.sign)),
      hash(112, hash(hash(this.field, this.since), h1)),
      hash(144, this.letters),
    ]
  }

  note(byte: number): void {
    const isLetter = (byte >= 97 && byte <= 122) || (byte >= 65 && byte <= 90) || byte >= 128
    const isDigit = byte >= 48 && byte <= 57
    this.word = isLetter ? hash(this.word, byte) : isDigit ? hash(this.word, 48) : 0
    this.letters = isLetter ? hash(this.letters, byte & 0xdf) : 0
    this.since++
    // A point or a minus is part of a number.
    if (isLetter || isDigit || byte === 45 || byte === 46) return
    this.field = byte === 10 ? 0 : this.field + 1
    this.since = 0
    this.sign = byte
  }
}
