/** The documents say what is true: numbers come from result files, links lead somewhere, nothing of a developer's machine is named. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean)
const pages = files.filter((f) => f.endsWith('.md'))

describe('documents', () => {
  it('tables are those of the result files', () => {
    execFileSync(process.execPath, ['--import', 'tsx', 'tools/results.mts', '--check'], { cwd: root })
  })

  it.each(pages)('%s: links lead to files', (page) => {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      expect(existsSync(join(root, dirname(page), target)), `${page} links to ${target}`).toBe(true)
    }
  })
})
