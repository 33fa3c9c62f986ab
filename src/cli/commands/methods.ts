/** `coppice methods`: every method with what it does; of one, its options. */
import { methodNamed, methods } from '../../methods.ts'
import { expected } from '../../options.ts'
import { wrap } from '../../report/text.ts'
import { defineCommand } from '../command.ts'
import { flagOf } from '../flags.ts'

export const methodsCommand = defineCommand({
  arguments: '[method]',
  options: {},
  async run([id], _, { io }) {
    const shown = id === undefined ? [...methods.values()] : [methodNamed(id)]
    const described = shown.map(({ id, help, data, options }) => ({ id, help, ...(data ? { data } : {}), options }))
    if (id !== undefined) return io.result(describe(id), described[0])
    const width = Math.max(...shown.map((m) => m.id.length)) + 2
    io.result(shown.flatMap((m) => wrap(m.id.padEnd(width) + m.help, width)).join('\n'), described)
  },
})

function describe(id: string): string {
  const { help, data, options } = methodNamed(id)
  const lines = Object.entries(options).flatMap(([name, def]) => [
    `${flagOf(name)}: ${expected(def)}${def.default === undefined ? '' : `; default ${JSON.stringify(def.default)}`}`,
    ...wrap(`  ${def.help}`, 2),
  ])
  return [`${id}: ${help}`, ...(data ? [`data: ${data}`] : []), ...(lines.length > 0 ? ['', ...lines] : [])].join('\n')
}
