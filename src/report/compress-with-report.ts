/** Compressing and the report on it as one piece of work, with one progress. */
import { compress } from '../compress/compress.ts'
import type { Compressed } from '../compress/result.ts'
import { type CompressOptions, trainingMs } from '../compress/settings.ts'
import type { Model } from '../model.ts'
import { Outlook, type Tell } from '../progress.ts'
import { compressCosts, msToCompress } from '../search/costs.ts'
import type { Report } from './report.ts'
import { msToReport, type ReportOptions, reportOf } from './report-of.ts'

export interface CompressWithReport {
  readonly compress?: Omit<CompressOptions, 'progress' | 'workers'>
  /** `withWorkers` lends threads to compressing too. */
  readonly report?: Omit<ReportOptions, 'progress'>
  readonly progress?: Tell
}

/** Compresses a model and measures what came out. Throws where `compress` does. */
export async function compressWithReport(
  model: Model,
  { compress: options = {}, report: about = {}, progress: tell }: CompressWithReport = {},
): Promise<Compressed & { readonly report: Report }> {
  const { withWorkers = (use) => use(undefined) } = about
  const { goal = 'size', data } = options
  const outlook = new Outlook(
    [
      { kind: 'compressing', cost: msToCompress(compressCosts(model, { data, goal, training: trainingMs(options) })) },
      { kind: 'reporting', cost: msToReport(model, about, goal) },
    ],
    tell,
  )
  const progress = outlook.begin('compressing', 'tidying')
  const result = await withWorkers((workers) => compress(model, { ...options, progress, workers }))
  const reporting = outlook.begin('reporting', 'packing the original, to compare')
  return { ...result, report: await reportOf(result, { ...about, progress: reporting }) }
}
