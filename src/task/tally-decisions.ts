/** Decisions against those of the original, and against the data's labels. */
import { type Answers, labelAt } from './answers.ts'
import { decisionsOf, none } from './decisions.ts'
import type { BatchOutput } from './samples.ts'
import { expectedTurns, meanAndError } from './statistics.ts'
import type { OutputTask } from './task.ts'

/** A share of decisions: as counted, its standard error, and as the margins let expect it. */
export interface TurnedShare {
  readonly share: number
  readonly error: number
  /** From margins and the noise in them (statistics.ts); where there is one decision per sample, with scores. */
  readonly expected?: { readonly share: number; readonly error: number }
}

export interface DecisionJudgement {
  /** Decisions that changed. Of masks and several labels, the mean over classes, so that rare ones count. */
  readonly changed?: TurnedShare
  /** Share of the original's decisions that are for the class it decides for most. */
  readonly commonest?: number
  /** Against the data's labels: shares of right decisions, and what was lost of them (negative: gained). */
  readonly right?: {
    readonly before: number
    readonly after: number
    /** Decisions that became wrong, and that became right. */
    readonly lost: number
    readonly gained: number
    readonly total: number
    readonly loss: TurnedShare
    /** Of masks and several labels, what was lost as a mean over the classes of the labels; `total`: positions that would show as much. */
    readonly perClass?: { readonly share: number; readonly error: number; readonly total: number }
    /** Shares whose label is among the five largest scores, where there are more than five. */
    readonly top5?: { readonly before: number; readonly after: number }
  }
}

/** Classes rarer than this count as if they were this frequent. */
const rarest = 1e-3

export class DecisionTally {
  private readonly balanced: boolean
  private readonly from: Int32Array[] = []
  private readonly to: Int32Array[] = []
  private readonly perSample: number[] = []
  private readonly margins: number[] = []
  private readonly noise: number[] = []
  private readonly labelMargins: number[] = []
  private readonly labelNoise: number[] = []
  private readonly rightBefore: number[] = []
  private readonly rightAfter: number[] = []
  /** Positions with a label, by label, and for each sample how many there are and how many of each label were lost. */
  private readonly labelled = new Map<number, number>()
  private readonly judged: { positions: number; lost: Map<number, number> }[] = []
  private readonly top5 = { before: 0, after: 0, seen: false }

  private readonly task: OutputTask

  constructor(task: OutputTask) {
    this.task = task
    this.balanced = task.kind === 'mask' || task.kind === 'labels'
  }

  add(from: BatchOutput, to: BatchOutput, answers?: Answers): void {
    const [before, after] = [decisionsOf(from, this.task), decisionsOf(to, this.task)]
    const { positions } = before
    this.from.push(before.classes)
    this.to.push(after.classes)
    for (let s = 0; s < from.samples; s++) this.perSample.push(positions)
    const first = this.perSample.length - from.samples
    const labelOf = answers && labelAt(answers, this.task, positions)
    for (let i = 0; i < before.classes.length; i++) {
      const decided = before.classes[i]
      if (positions === 1 && before.margin && after.margin && decided !== none) {
        const margin = before.margin(i, decided)
        this.margins.push(margin)
        this.noise.push(after.margin(i, decided) - margin)
      }
      const label = labelOf?.(i)
      if (label === undefined || decided === none) continue
      this.countTop5(before.rank?.(i, label), after.rank?.(i, label))
      this.rightBefore.push(decided === label ? 1 : 0)
      this.rightAfter.push(after.classes[i] === label ? 1 : 0)
      if (this.balanced) this.countLabel(first + Math.floor(i / positions), label, decided, after.classes[i])
      if (positions === 1 && before.margin && after.margin) {
        const margin = before.margin(i, label)
        this.labelMargins.push(margin)
        this.labelNoise.push(after.margin(i, label) - margin)
      }
    }
  }

  private countLabel(sample: number, label: number, before: number, after: number): void {
    this.labelled.set(label, (this.labelled.get(label) ?? 0) + 1)
    this.judged[sample] ??= { positions: 0, lost: new Map() }
    const { lost } = this.judged[sample]
    this.judged[sample].positions++
    const change = Number(before === label) - Number(after === label)
    if (change !== 0) lost.set(label, (lost.get(label) ?? 0) + change)
  }

  private countTop5(before: number | undefined, after: number | undefined): void {
    if (before === undefined || after === undefined) return
    this.top5.seen = true
    if (before < 5) this.top5.before++
    if (after < 5) this.top5.after++
  }

  finish(): DecisionJudgement {
    const changed = meanAndError(this.changedShares())
    return {
      changed: { share: changed.mean, error: changed.error, ...expectedOf(this.margins, this.noise) },
      commonest: this.commonest(),
      ...(this.rightBefore.length > 0 ? { right: this.right() } : {}),
    }
  }

  /** For each sample, the share of its decisions that changed; balanced over classes where that is asked for. */
  private changedShares(): number[] {
    const weights = this.balanced ? this.classWeights() : undefined
    const shares: number[] = []
    this.from.forEach((classes, b) => {
      for (let i = 0; i < classes.length; ) {
        let changed = 0
        let decided = 0
        for (const end = i + this.perSample[shares.length]; i < end; i++) {
          if (classes[i] === none) continue
          decided++
          if (classes[i] !== this.to[b][i]) changed += weights?.get(classes[i]) ?? 1
        }
        shares.push(changed / Math.max(1, decided))
      }
    })
    return shares
  }

  private classWeights(): Map<number, number> {
    return weightsOf(this.decided())
  }

  /** How often the original decided for each class. */
  private decided(): Map<number, number> {
    const counts = new Map<number, number>()
    for (const classes of this.from) for (const c of classes) if (c !== none) counts.set(c, (counts.get(c) ?? 0) + 1)
    return counts
  }

  private commonest(): number {
    const counts = [...this.decided().values()]
    return Math.max(0, ...counts) / Math.max(1, total(counts))
  }

  /** What was lost of the share that is right, as a mean over the classes of the labels. */
  private lostPerClass(): Pick<NonNullable<DecisionJudgement['right']>, 'perClass'> {
    if (!this.balanced) return {}
    const weights = weightsOf(this.labelled)
    const samples = this.judged.filter((sample) => sample)
    const shares = samples.map(({ positions, lost }) =>
      [...lost].reduce((sum, [label, n]) => sum + (n * (weights.get(label) as number)) / positions, 0),
    )
    const { mean, error } = meanAndError(shares)
    const total = this.rightBefore.length / Math.max(...weights.values())
    return { perClass: { share: mean, error, total } }
  }

  private right(): NonNullable<DecisionJudgement['right']> {
    const { rightBefore, rightAfter } = this
    const total = rightBefore.length
    const before = rightBefore.reduce((a, b) => a + b, 0)
    const lost = rightBefore.filter((r, i) => r > rightAfter[i]).length
    const gained = rightAfter.filter((r, i) => r > rightBefore[i]).length
    const { mean, error } = meanAndError(rightBefore.map((r, i) => r - rightAfter[i]))
    return {
      before: before / total,
      after: (before - lost + gained) / total,
      lost,
      gained,
      total,
      loss: { share: mean, error, ...expectedOf(this.labelMargins, this.labelNoise) },
      ...this.lostPerClass(),
      ...(this.top5.seen ? { top5: { before: this.top5.before / total, after: this.top5.after / total } } : {}),
    }
  }
}

/** What a position of each class counts, so that classes count alike. */
function weightsOf(counts: ReadonlyMap<number, number>): Map<number, number> {
  const all = total([...counts.values()])
  return new Map([...counts].map(([c, count]) => [c, 1 / (counts.size * Math.max(rarest, count / all))]))
}

function total(counts: readonly number[]): number {
  return counts.reduce((a, b) => a + b, 0)
}

function expectedOf(margins: readonly number[], noise: readonly number[]): Pick<TurnedShare, 'expected'> {
  if (margins.length === 0 || noise.some(Number.isNaN)) return {}
  const { mean, error } = meanAndError(expectedTurns(margins, noise))
  return { expected: { share: mean, error } }
}
