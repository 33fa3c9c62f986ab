/** A thread of a pool (pool.ts): says that it is there, then does the tasks that it is sent, one after the other. */
import { parentPort } from 'node:worker_threads'
import { runTask, type SentTask } from '../tasks.ts'
import { isolated } from './_isolated.ts'
import type { Answer } from './pool.ts'

parentPort?.on('message', (task: SentTask) => {
  let answer: Answer
  try {
    answer = { output: runTask(task) }
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) }
  }
  const { value, buffers } = isolated(answer, false)
  parentPort?.postMessage(value, buffers)
})
parentPort?.postMessage('there' satisfies Answer)
