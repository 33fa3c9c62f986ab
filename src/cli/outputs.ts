/** What a command will write, checked before its work begins. */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Throws unless each output has a name of its own, which is none of the inputs', in a folder that can be written to. */
export function checkOutputs(inputs: readonly string[], outputs: readonly (string | undefined)[]): void {
  const taken = new Set(inputs.map((name) => resolve(name)))
  for (const name of outputs) {
    if (name === undefined) continue
    const path = resolve(name)
    const folder = dirname(name)
    if (taken.has(path))
      throw new Error(`${name}: it would be written over; expected a name of its own for each output`)
    taken.add(path)
    if (!existsSync(folder)) throw new Error(`${name}: there is no folder ${folder}`)
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new Error(`${name}: it is a folder; expected a file to write`)
    try {
      accessSync(folder, constants.W_OK)
    } catch (cause) {
      throw new Error(`${name}: its folder cannot be written to`, { cause })
    }
  }
}
