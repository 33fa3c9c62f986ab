/** A thread of the page's pool (pool.ts): says that it is there, then does the tasks that it is sent. */
import { answerTo, type SentTask } from 'coppice/formats'

self.onmessage = ({ data }: MessageEvent<SentTask>) => {
  const { answer, buffers } = answerTo(data)
  self.postMessage(answer, { transfer: buffers })
}
self.postMessage('there')
