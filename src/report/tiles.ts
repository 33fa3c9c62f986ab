/** The figures of a result to see first: size, what was kept, speed; the one that was asked for at the start. */
import { factor } from '../numbers.ts'
import { isSameModel, type SpeedUp, speedVerdict } from '../speed-up.ts'
import { accuracyInWords } from '../task/task.ts'
import type { Tone } from './_page.ts'
import { bytes, count, decibels, percent, points, sizeDifference } from './format.ts'
import type { Report } from './report.ts'
import { judgedRows, toneOf } from './rows.ts'

export interface Tile {
  readonly value: string
  readonly what: string
  readonly more: string
  /** How good it is; where it is neither good nor bad, plain. */
  readonly tone: Tone
}

export function tilesOf(report: Report): Tile[] {
  const tiles = { size: sizeTile(report), quality: qualityTile(report), speed: speedTile(report.speedUp) }
  const order =
    report.goal === 'speed' ? (['speed', 'quality', 'size'] as const) : (['size', 'quality', 'speed'] as const)
  return order.flatMap((name) => tiles[name] ?? [])
}

function made(value: string, what: string, more: string, tone: Tone = 'plain'): Tile {
  return { value, what, more, tone }
}

function sizeTile({ before, after }: Report): Tile {
  const [amount, what] = sizeDifference(before.bytes, after.packed)
  return made(
    amount,
    `${what} to download`,
    `${bytes(before.bytes)} to ${bytes(after.packed)} bytes`,
    toneOf(before.bytes - after.packed),
  )
}

/** The accuracy where there is one, else the worst of what was judged. */
function qualityTile(report: Report): Tile | undefined {
  const { before, after, judged, agreement, testSet, goal } = report
  const [worst] = judgedRows(report)
  const held: Tone = !goal || !worst ? 'plain' : worst.broken ? 'bad' : 'good'
  const allowed = goal && worst?.limit ? `; limit: ${worst.limit}` : ''
  const isPoints = worst?.value.endsWith('points')
  // Where another output broke its limit, that is what matters.
  if (before.top1 !== undefined && after.top1 !== undefined && (isPoints || !worst?.broken)) {
    const what = accuracyInWords(judged?.findings.find((f) => f.unit === 'points of accuracy')?.kind)
    const on = testSet ? `, on ${count(testSet.samples)} test samples` : ''
    const limit = isPoints ? allowed : ''
    const change = `${percent(before.top1)} before, ${points(before.top1, after.top1)}`
    return made(percent(after.top1), what, `${change}${limit}${on}`, held)
  }
  if (worst) {
    const interval = worst.interval ? ` (95 %: ${worst.interval})` : ''
    return made(worst.value, worst.what, `output ${worst.output}${interval}${allowed}, on ${judged?.on}`, held)
  }
  if (!agreement) return undefined
  return agreement.top1 === undefined
    ? made(decibels(agreement.snrDb), 'signal to noise', `against the original, on ${agreement.on}`)
    : made(percent(agreement.top1), 'same top class', `as the original, on ${agreement.on}`)
}

function speedTile(speedUp: SpeedUp | undefined): Tile | undefined {
  if (!speedUp) return undefined
  const verdict = speedVerdict(speedUp)
  const { median, low, high } = speedUp
  if (isSameModel(speedUp)) return made('the same', 'speed', 'the model is the same file')
  if (verdict === 'could not tell')
    return made('could not tell', 'whether it is faster', `${factor(low)} to ${factor(high)} x the speed (99 %)`)
  const range = verdict === 'faster' ? [low, high] : [1 / high, 1 / low]
  return made(
    `${factor(verdict === 'faster' ? median : 1 / median)} x`,
    verdict,
    `${range.map(factor).join(' to ')} x (99 %), measured in turn`,
    verdict === 'faster' ? 'good' : 'bad',
  )
}
