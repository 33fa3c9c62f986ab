/** `coppice/sweep`: a grid of recipes, models, data and seeds, each combination to a row; and which of them no other beats. */
export { type Combination, type Comparable, comparables } from '../sweep/groups.ts'
export { type Point, paretoFront } from '../sweep/pareto.ts'
export {
  type Cell,
  cellsOf,
  type OpenedModel,
  type PlannedCell,
  planSweep,
  type SweepSources,
} from '../sweep/plan.ts'
export type { Found, Identity, Measure, Measured, SweepRow, Timed } from '../sweep/row.ts'
export { DifferentError, type RowMade, runCell } from '../sweep/run-cell.ts'
export { type RowStore, type SweepOptions, sweep } from '../sweep/sweep.ts'
export { parseSweep, type Sweep, type SweepData, type SweepModel, type SweepRecipe } from '../sweep/sweep-file.ts'
