/** A thread of a pool (pool.ts): says that it is there, then does the tasks that it is sent, one after the other. */
import { parentPort } from 'node:worker_threads'
import { answerTo, type SentTask } from '../threads/tasks.ts'
import type { Message } from './pool.ts'

parentPort?.on('message', (task: SentTask) => {
  const { answer, buffers } = answerTo(task)
  parentPort?.postMessage(answer, buffers)
})
parentPort?.postMessage('there' satisfies Message)
