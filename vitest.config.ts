import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks', // onnxruntime-node is a native module; a fork a file keeps its threads apart
    maxWorkers: 2,
  },
})
