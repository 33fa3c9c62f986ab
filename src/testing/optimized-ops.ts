/** What ONNX Runtime makes of a model, for tests of what runs on integers. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'

/** How often each operator is in the graph that ONNX Runtime makes of a model. */
export async function optimizedOps(m: Model): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
  try {
    const file = join(folder, 'optimized.onnx')
    const session = await InferenceSession.create(writeModel(m), { optimizedModelFilePath: file, logSeverityLevel: 4 })
    await session.release()
    const counts: Record<string, number> = {}
    for (const n of readModel(readFileSync(file)).graph.nodes) counts[n.op] = (counts[n.op] ?? 0) + 1
    return counts
  } finally {
    rmSync(folder, { recursive: true })
  }
}
