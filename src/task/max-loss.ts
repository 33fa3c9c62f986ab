/** The loss that a user allows: `0.5` (points), `30dB`, `3%`, or points and one of those between commas. */

export interface MaxLoss {
  /** Points (hundredths) of right or unchanged decisions; Infinity where only values are limited. */
  readonly points: number
  /** The least signal-to-noise ratio of values, in dB about the mean. */
  readonly snrDb: number
  /** Whether scores behind decisions must keep that ratio too: it was asked for in so many words. */
  readonly scoresToo: boolean
  /** As the user wrote it. */
  readonly text: string
}

/**
 * Decisions change in proportion to the noise in their scores. Values have no decisions to count, so points are turned
 * into noise in that proportion: 0.5 points, the default, stand for 30 dB (noise of 3.2 % of what the output varies), and
 * twice the points for twice the noise (6 dB less).
 */
export function snrOfPoints(points: number): number {
  return 30 - 20 * Math.log10(points / 0.5)
}

/** Reads `--max-loss`. Throws one sentence where it is none of its forms. */
export function parseMaxLoss(text: string): MaxLoss {
  let points: number | undefined
  let snrDb: number | undefined
  for (const part of text.split(',')) {
    const [, digits, unit] = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*(dB|%|points?)?\s*$/i.exec(part) ?? []
    const value = Number(digits)
    const kind = unit === undefined || /^point/i.test(unit) ? 'points' : unit === '%' ? '%' : 'dB'
    const known = kind === 'points' ? points : snrDb
    if (digits === undefined || known !== undefined || (kind !== 'dB' && value > 100) || value > 300)
      throw new Error(
        `--max-loss: "${text}"; expected points of accuracy (0.5), noise (30dB or 3%), or one of each, separated by commas`,
      )
    if (kind === 'points') points = value
    else snrDb = kind === 'dB' ? value : -20 * Math.log10(value / 100)
  }
  const scoresToo = snrDb !== undefined
  return {
    points: points ?? Number.POSITIVE_INFINITY,
    snrDb: snrDb ?? snrOfPoints(points as number),
    scoresToo,
    text: text.trim(),
  }
}
