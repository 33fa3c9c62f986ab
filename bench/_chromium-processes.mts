/** The processes of the browsers that this one has begun, as Linux lists them. */
import { readFileSync } from 'node:fs'

/** A file of /proc; empty where the process has ended. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function descendants(pid: string): string[] {
  const children = textOf(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean)
  return children.flatMap((child) => [child, ...descendants(child)])
}

/** Those that show pages, `page`, and the browser's own, `browser`. It keeps one or two for pages to come, which do nothing. */
export function processesOf(kind: 'page' | 'browser'): string[] {
  return descendants(String(process.pid)).filter((pid) => {
    const command = textOf(`/proc/${pid}/cmdline`)
    return kind === 'page'
      ? command.includes('--type=renderer')
      : command.includes('chrom') && !command.includes('--type=')
  })
}
