/** Learning rates over time: a factor of the base rate for each step. */

export interface ScheduleTime {
  /** Counts from 0. */
  readonly step: number
  readonly stepsPerEpoch: number
  readonly epochs: number
}

/** Gives a factor, usually within 0 to 1. */
export type Schedule = (time: ScheduleTime) => number

export const constant: Schedule = () => 1

/** Times `factor` at the start of each epoch (from 0) in `epochs`. */
export function stepDecay(epochs: readonly number[], factor = 0.1): Schedule {
  return ({ step, stepsPerEpoch }) => factor ** epochs.filter((e) => step >= e * stepsPerEpoch).length
}

/** Times `factor` every epoch. */
export function exponential(factor: number): Schedule {
  return ({ step, stepsPerEpoch }) => factor ** Math.floor(step / stepsPerEpoch)
}

/** Half a cosine from 1 to `floor` (Loshchilov and Hutter 2017, arXiv:1608.03983). */
export function cosine(floor = 0): Schedule {
  return ({ step, stepsPerEpoch, epochs }) =>
    floor + (1 - floor) * 0.5 * (1 + Math.cos((Math.PI * step) / (stepsPerEpoch * epochs)))
}

/** A straight line up to 1 over the first `epochs` (fractions allowed), times another schedule. */
export function warmUp(epochs: number, then: Schedule = constant): Schedule {
  return (time) => Math.min(1, (time.step + 1) / (epochs * time.stepsPerEpoch)) * then(time)
}
