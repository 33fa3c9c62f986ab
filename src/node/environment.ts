/** What a measurement ran on, in words. */

import { createRequire } from 'node:module'
import { cpus } from 'node:os'

const require = createRequire(import.meta.url)

export function version(): string {
  return (require('../../package.json') as { version: string }).version
}

export function environment(): string[] {
  const cores = cpus()
  return [
    `coppice ${version()}`,
    `ONNX Runtime ${runtimeVersion()}`,
    `Node ${process.versions.node}`,
    `${cores.length} x ${cores[0]?.model.trim() ?? 'unknown processor'}`,
  ]
}

function runtimeVersion(): string {
  try {
    return (require('onnxruntime-node/package.json') as { version: string }).version
  } catch {
    return 'unknown'
  }
}
