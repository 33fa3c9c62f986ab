/** What a command will write, checked before its work begins. */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'

/** Throws unless each output has a name of its own, which is none of the inputs', in a folder that can be written to. */
export function checkOutputs(inputs: readonly string[], outputs: readonly (string | undefined)[]): void {
  const taken = new Set(inputs.map((name) => resolve(name)))
  for (const name of outputs) {
    if (name === undefined) continue
    const path = resolve(name)
    const shown = relative('.', path)
    const folder = dirname(path)
    if (taken.has(path))
      throw new Error(`${shown}: it would be written over; expected a name of its own for each output`)
    taken.add(path)
    if (!existsSync(folder)) throw new Error(`${shown}: there is no folder ${relative('.', folder)}`)
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new Error(`${shown}: it is a folder; expected a file to write`)
    try {
      accessSync(folder, constants.W_OK)
    } catch (cause) {
      throw new Error(`${shown}: its folder cannot be written to`, { cause })
    }
  }
}
