/** The worker, from the page's side. To cancel what it does it is ended, and another one takes its place. */
import { proxy, type Remote, wrap } from 'comlink'
import type { Work } from './work/work.ts'

let worker: Worker | undefined
let remote: Remote<Work> | undefined
/** Ends the wait of whoever waits for the worker, when that is ended. */
let giveUp: ((why: Error) => void) | undefined

export class Cancelled extends Error {
  override name = 'Cancelled'
}

/** Does something in the worker. Rejects with `Cancelled` where `cancel` is called meanwhile. */
export async function inWorker<T>(work: (api: Remote<Work>) => Promise<T>): Promise<T> {
  if (!worker || !remote) {
    worker = new Worker(new URL('./work/work.ts', import.meta.url), { type: 'module', name: 'coppice' })
    remote = wrap<Work>(worker)
  }
  const ended = new Promise<never>((_, reject) => {
    giveUp = reject
    if (worker)
      worker.onerror = (event) => {
        // A worker that cannot begin, or has run out of memory, answers nothing any more.
        end(
          new Error(`the worker stopped: ${event.message || 'it could not be loaded, or there was not enough memory'}`),
        )
      }
  })
  return Promise.race([work(remote), ended])
}

/** Stops whatever the worker does, at once. */
export function cancel(): void {
  end(new Cancelled('cancelled'))
}

function end(why: Error): void {
  worker?.terminate()
  worker = undefined
  remote = undefined
  giveUp?.(why)
}

/** A function that the worker may call. */
export function callback<A extends unknown[]>(
  work: (...args: A) => void,
): ((...args: A) => void) & ReturnType<typeof proxy> {
  return proxy(work)
}
