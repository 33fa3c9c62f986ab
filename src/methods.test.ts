import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { methodNamed, methods } from './methods.ts'
import { testMethod } from './testing/test-method.ts'

describe('methods', () => {
  it('has every file that defines a method in its family table', () => {
    const source = import.meta.dirname
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => {
      if (!file.endsWith('.ts') || file.endsWith('.test.ts') || file === 'method.ts') return false
      return /= defineMethod\(/.test(readFileSync(join(source, file), 'utf8'))
    })
    expect(files.length).toBeGreaterThan(1)
    const forgotten = files.filter((file) => !methods.has(file.replace(/^.*[/\\]/, '').replace('.ts', '')))
    expect(forgotten, 'each needs an export line in the index.ts beside it, and an id that is its file name').toEqual(
      [],
    )
    expect(methods.size).toBe(files.length)
  })

  it('is found by id, and a mistyped id gets the nearest one', () => {
    expect(methodNamed('magnitude').id).toBe('magnitude')
    expect(() => methodNamed('magnitud')).toThrow(/did you mean "magnitude"\?/)
  })
})

describe.each([...methods])('%s', (_, method) => testMethod(method))
