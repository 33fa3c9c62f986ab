/** What a command will write, checked before its work begins. */
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'

/** Throws unless each output has a name of its own, which is none of the inputs', in a folder that can be written to. */
export function checkOutputs(inputs: readonly string[], outputs: readonly (string | undefined)[]): void {
  // Of an input that is a link, the file it leads to is one to keep too.
  const taken = new Set(inputs.flatMap((name) => [placeOf(name), realPath(name)]))
  for (const name of outputs) {
    if (name === undefined) continue
    const place = placeOf(name)
    const folder = dirname(name)
    if (taken.has(place))
      throw new Error(`${name}: it would be written over; expected a name of its own for each output`)
    taken.add(place)
    if (!existsSync(folder)) throw new Error(`${name}: there is no folder ${folder}`)
    if (statSync(name, { throwIfNoEntry: false })?.isDirectory())
      throw new Error(`${name}: it is a folder; expected a file to write`)
    try {
      accessSync(folder, constants.W_OK)
    } catch (cause) {
      throw new Error(`${name}: its folder cannot be written to`, { cause })
    }
  }
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
