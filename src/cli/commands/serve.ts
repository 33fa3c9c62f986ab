/** `coppice serve`: the page, on this computer. */
import { pageFolder, servePage } from '../../node/serve-page.ts'
import { defineCommand } from '../command.ts'

export const serveCommand = defineCommand({
  arguments: '',
  options: {
    port: {
      type: 'number',
      default: 8080,
      min: 0,
      max: 65_535,
      integer: true,
      help: 'port of 127.0.0.1; 0: any that is free',
    },
  },
  async run(_, { port }, { io }) {
    const folder = pageFolder()
    if (!folder) throw new Error('serve: the page is not built; expected `npm run build:web` before')
    const { url } = await servePage(folder, port)
    io.result(`${url} (Ctrl-C ends it)`, { url })
    await new Promise(() => undefined)
  },
})
