/** Every method through the conformance suite, and each listed in its family. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { applyCommand } from './cli/commands/apply.ts'
import { dataOptions } from './cli/data-options.ts'
import { addFlags } from './cli/flags.ts'
import { methodNamed, methods } from './methods.ts'
import type { OptionTable } from './options.ts'
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
    expect(forgotten, 'npm run methods lists them; the id of each is its file name').toEqual([])
    expect(methods.size).toBe(files.length)
  })

  it('is found by the id that it had in older recipes', () => {
    for (const method of [...methods.values()].filter(({ was }) => was)) {
      expect(methods.has(method.was as string)).toBe(false)
      expect(methodNamed(method.was as string)).toBe(method)
    }
    expect(methodNamed('settle-weights').id).toBe('fold-weights')
  })

  it('is found by id, and a mistyped id gets the nearest one', () => {
    expect(methodNamed('magnitude').id).toBe('magnitude')
    expect(() => methodNamed('magnitud')).toThrow(/did you mean "magnitude"\?/)
  })
})

it('options that go with others alone name some that a method has, and values that these take', () => {
  const tables = [...methods.values()].map(({ options }) => options)
  for (const table of tables)
    for (const [name, { onlyWith = {} }] of Object.entries(table))
      for (const [other, condition] of Object.entries(onlyWith)) {
        // Data is a flag of the command.
        const defs = [...tables, dataOptions].flatMap((t) => (t as OptionTable)[other] ?? [])
        expect(defs.length, `${name} with ${other}`).toBeGreaterThan(0)
        const taken = defs.flatMap((def) => (def.type === 'choice' ? def.of : []))
        if (typeof condition !== 'string')
          expect(taken, `${name} with ${other}`).toEqual(expect.arrayContaining([...condition]))
      }
})

describe.each([...methods])('%s on the command line', (id, method) => {
  it('has a flag for each option, and none that is also a flag of the command', () => {
    const { options } = applyCommand(id)
    for (const [name, def] of Object.entries(method.options)) expect(options[name], name).toBe(def)
    const own = ['output', 'data', 'seed', 'json', 'debug', 'threads', 'inputShape']
    expect(own.filter((name) => name in method.options)).toEqual([])
    expect(() => addFlags(new Command(id), options)).not.toThrow()
  })
})

describe.each([...methods])('%s', (_, method) => testMethod(method))
