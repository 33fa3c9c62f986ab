/** A page that a bundler builds: test/package.test.ts builds it with Vite, and compresses and packs in a real browser. */
import { compress, openSession, readModel, unpackModel, writeModel } from 'coppice'
import { lenet300 } from 'coppice/zoo'

const show = (text: string): void => {
  document.title = text
}

try {
  const original = writeModel(lenet300({ seed: 1, width: 0.1 }))
  const { packed, holds } = await compress(readModel(original), { goal: 'size', maxLoss: '0.5' })
  const session = await openSession(unpackModel(packed))
  const x = { dtype: 'float32', dims: [1, 1, 28, 28], data: new Float32Array(784) }
  const outputs = await session.run({ [session.inputNames[0]]: x })
  await session.release()
  const [{ dims }] = Object.values(outputs)
  show(JSON.stringify({ before: original.byteLength, after: packed.byteLength, holds, dims }))
} catch (error) {
  show(`failed: ${error instanceof Error ? error.message : error}`)
}
