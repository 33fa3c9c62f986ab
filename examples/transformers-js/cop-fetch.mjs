/**
 * transformers.js asks for `onnx/model.onnx`, `onnx/model_quantized.onnx` and so on with `env.fetch`. This one asks for the
 * same name with `.cop` first and unpacks what comes while it comes; where there is none, it gets the `.onnx` file.
 *
 *     import { env } from '@huggingface/transformers'
 *     env.fetch = copFetch()
 */
import { openCop } from 'coppice/runtime'

/** `fetch` is what really fetches. */
export function copFetch(fetch = globalThis.fetch) {
  return async (url, options = {}) => {
    const wanted = String(url)
    const isModel = /\.onnx(\?|$)/.test(wanted)
    if (!isModel) return fetch(url, options)
    // Questions about a part or about the size are for the file that will be unpacked.
    const { range: _, Range: __, ...headers } = Object.fromEntries(new Headers(options.headers))
    const answer = await fetch(wanted.replace(/\.onnx(\?|$)/, '.cop$1'), { ...options, method: 'GET', headers })
    if (!answer.ok || !answer.body) {
      await answer.body?.cancel()
      return fetch(url, options)
    }
    let file
    try {
      file = await openCop(answer.body)
    } catch (error) {
      // Hosts of single-page applications answer every unknown path with a page.
      if (!/not a packed model/.test(error.message)) throw error
      return fetch(url, options)
    }
    const init = {
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(file.byteLength) },
    }
    if (options.method === 'HEAD') {
      await file.close()
      return new Response(null, init)
    }
    const chunks = file.chunks()
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await chunks.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: () => file.close(),
    })
    return new Response(body, init)
  }
}
