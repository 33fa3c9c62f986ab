/** Inner values of a model, looked at while it runs: the one way to watch what layers read and make. */
import { stopIfAborted } from '../errors.ts'
import { partBetween } from '../graph/cut.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'

export interface WatchOptions {
  /** Names who watches, in errors. */
  readonly subject: string
  readonly signal?: AbortSignal
}

/**
 * Runs what makes the named values of the main graph on every batch, and hands them over. Inputs of the model may be named too,
 * and are what the batch says. Throws one sentence where a batch lacks an input.
 */
export async function watchValues(
  model: Model,
  names: Iterable<string>,
  batches: Iterable<Feeds>,
  visit: (values: Feeds, feeds: Feeds) => void | Promise<void>,
  { subject, signal }: WatchOptions,
): Promise<void> {
  const inputs = new Set(model.graph.inputs.map((i) => i.name))
  const wanted = [...new Set(names)]
  const given = wanted.filter((name) => inputs.has(name))
  const inner = wanted.filter((name) => !inputs.has(name))
  const inputOf = (feeds: Feeds, name: string) => {
    if (!feeds[name]) throw new Error(`${subject}: calibration gives no input "${name}"; expected one in every batch`)
    return [name, feeds[name]] as const
  }
  const overBatches = async (run: (feeds: Feeds) => Promise<Feeds>): Promise<void> => {
    for (const feeds of batches) {
      stopIfAborted(signal, subject)
      await visit({ ...(await run(feeds)), ...Object.fromEntries(given.map((n) => inputOf(feeds, n))) }, feeds)
    }
  }
  if (inner.length === 0) return overBatches(async () => ({}))
  // Their types are the runtime's to find: they may be float16.
  const part = partBetween(
    model,
    [],
    inner.map((name) => ({ name })),
  )
  await withSession(
    () => openSession(part, { name: subject }),
    (session) =>
      overBatches((feeds) => session.run(Object.fromEntries(session.inputNames.map((name) => inputOf(feeds, name))))),
  )
}
