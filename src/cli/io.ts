/** How the command line speaks: results on stdout, progress on stderr, one sentence and exit code 1 where it fails. */
import { Pace } from '../progress.ts'
import { duration } from '../report/format.ts'

export interface Io {
  readonly json: boolean
  /** The result: text for people, or with --json one object. */
  result(text: string, value: unknown): void
  /** Something worth saying at once (never with --json: it belongs to the object). */
  say(text: string): void
  /** What a person should know about the result, at once. */
  warn(message: string): void
  /** What a long step has reached: text for people, with --json an object on a line of its own. */
  milestone(text: string, event: { readonly event: string }): void
  /** How far a long step is, as a share of 1; it may begin above 0, where a run goes on. */
  progress(done: number, what: string): void
  /** Ends the progress line. */
  finish(): void
}

const firstReportMs = 1000
const plainIntervalMs = 5000
const jsonIntervalMs = 1000

/** Progress: a line that is rewritten on a terminal, a line every five seconds elsewhere, with --json a line of JSON every second. */
export function createIo(json: boolean, now: () => number = () => performance.now()): Io {
  const pace = new Pace(now)
  const tty = process.stderr.isTTY === true
  let last = -1
  let open = false
  const clear = (): void => {
    if (open) process.stderr.write('\r\u001b[K')
    open = false
  }
  const milestone = (text: string, event: object): void => {
    clear()
    process.stderr.write(`${json ? JSON.stringify(event) : text}\n`)
  }
  return {
    json,
    result(text, value) {
      clear()
      process.stdout.write(json ? `${JSON.stringify(value)}\n` : `${text}\n`)
    },
    say(text) {
      clear()
      if (!json) process.stderr.write(`${text}\n`)
    },
    warn: (message) => milestone(`warning: ${message}`, { event: 'warning', message }),
    milestone,
    progress(done, what) {
      const { done: reached, elapsedMs: elapsed, leftMs } = pace.reach(done)
      const interval = json ? jsonIntervalMs : tty ? 100 : plainIntervalMs
      if (elapsed < firstReportMs || (last >= 0 && elapsed - last < interval)) return
      last = elapsed
      if (json) {
        process.stderr.write(
          `${JSON.stringify({ event: 'progress', done: Number(reached.toFixed(4)), what, elapsedMs: Math.round(elapsed), ...(leftMs === undefined ? {} : { leftMs: Math.round(leftMs) }) })}\n`,
        )
        return
      }
      const left = leftMs === undefined ? '' : `, about ${duration(leftMs)} left`
      const line = `${Math.floor(100 * reached)} %, ${duration(elapsed)}${left}: ${what}`
      if (tty) {
        // A longer line would wrap, and could not be rewritten.
        process.stderr.write(`\r\u001b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`)
        open = true
      } else process.stderr.write(`${line}\n`)
    },
    finish: clear,
  }
}
