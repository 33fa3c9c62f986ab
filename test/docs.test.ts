/** The documents say what is true: numbers come from result files, links lead somewhere, nothing of a developer's machine is named. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compositions } from '../src/ops/grad/composite.ts'
import { gradRules } from '../src/ops/grad.ts'

const root = join(import.meta.dirname, '..')
const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean)
const pages = files.filter((f) => f.endsWith('.md'))

describe('documents', () => {
  it('tables are those of the result files', () => {
    execFileSync(process.execPath, ['--import', 'tsx', 'tools/results.mts', '--check'], { cwd: root })
  })

  it('pages and tables of methods are those of their files', () => {
    execFileSync(process.execPath, ['--import', 'tsx', 'tools/methods.mts', '--check'], { cwd: root })
  })

  it.each(
    readdirSync(join(root, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name),
  )('src/%s says what is in it, and so does docs/architecture.md', (room) => {
    const text = readFileSync(join(root, 'src', room, 'README.md'), 'utf8')
    expect(text).toMatch(new RegExp(`^# ${room}\\n\\n[A-Z\`].*\\.\\n`))
    if (room !== 'testing')
      expect(readFileSync(join(root, 'docs/architecture.md'), 'utf8')).toMatch(new RegExp(`^\\|.*\`${room}/\``, 'm'))
  })

  it.each(pages)('%s: links lead to files', (page) => {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      expect(existsSync(join(root, dirname(page), target)), `${page} links to ${target}`).toBe(true)
    }
  })
})

it('docs/training.md lists the operators that have gradients, all and no others', () => {
  const text = readFileSync(join(root, 'docs/training.md'), 'utf8')
  const table = text.split('<!-- operators -->')[1].split('<!-- end operators -->')[0]
  const rows = table
    .split('\n')
    .filter((row) => row.startsWith('| ') && !row.startsWith('| nothing') && !row.includes('---'))
  const named = rows.slice(1).flatMap((row) => {
    // What stands in brackets or behind a colon says what a rule takes.
    const cell = row
      .split('|')[2]
      .replace(/\([^)]*\)/g, '')
      .replace(/:.*/, '')
    return cell.split(',').map((name) => name.trim())
  })
  const rules = [...Object.keys(gradRules), ...Object.keys(compositions)].filter((name) => !name.startsWith('coppice.'))
  expect(named.sort()).toEqual(rules.sort())
})
