/** What a command will write, checked before its work begins. */
import { closeSync, existsSync, openSync, realpathSync, statSync, unlinkSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { fileError } from '../node/files.ts'
import type { OptionTable } from '../options.ts'

/** Throws unless each output has a name of its own, which is none of the inputs', in a folder that can be written to. */
export function checkOutputs(inputs: readonly string[], outputs: readonly (string | undefined)[]): void {
  // Of an input that is a link, the file it leads to is one to keep too.
  const taken = new Set(inputs.flatMap((name) => [placeOf(name), realPath(name)]))
  for (const name of outputs) {
    if (name === undefined) continue
    const place = placeOf(name)
    const folder = dirname(name)
    if (taken.has(place))
      throw new Error(`${name}: this would overwrite an input or another output; expected a name of its own`)
    taken.add(place)
    if (!existsSync(folder)) throw new Error(`${name}: there is no folder ${folder}`)
    tryToWrite(name)
    if (statSync(name, { throwIfNoEntry: false })?.isDirectory())
      throw new Error(`${name}: it is a folder; expected a file to write`)
  }
}

/** Some folders say that they can be written to and cannot (of a read-only disk, of /proc): a file is made there and removed. */
function tryToWrite(name: string): void {
  const temporary = join(dirname(name), `.${basename(name)}.try-${process.pid}`)
  try {
    closeSync(openSync(temporary, 'wx'))
    unlinkSync(temporary)
  } catch (cause) {
    throw fileError(name, cause, 'write')
  }
}

const endings = ['.onnx', '.cop', '.html', '.json'] as const
export type Ending = (typeof endings)[number]

/** Throws where the name ends as another kind of file; gives a sentence where it does not say what it is, else undefined. */
export function checkEnding(name: string, ending: Ending): string | undefined {
  const given = extname(name).toLowerCase()
  if (given === ending) return undefined
  if (endings.some((e) => e === given)) throw new Error(`${name}: expected a name that ends in ${ending}`)
  return `${name} is written under that name, though it does not end in ${ending}`
}

/** The entry of a real folder that writing to this name replaces: a link itself, not what it leads to. */
function placeOf(name: string): string {
  return join(realPath(dirname(name)), basename(name))
}

function realPath(name: string): string {
  try {
    return realpathSync(name)
  } catch {
    return resolve(name)
  }
}

/** Checks the names of all files that options write; gives what is to be said of them. */
export function checkEndings(table: OptionTable, options: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(table).flatMap(([name, def]) => {
    const file = options[name]
    // With a layout the output is a folder.
    if (name === 'output' && options.for !== undefined) return []
    if (def.type !== 'string' || !def.writes || typeof file !== 'string') return []
    return checkEnding(file, def.writes) ?? []
  })
}
