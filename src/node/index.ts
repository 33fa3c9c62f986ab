/** `coppice/node`: what needs Node: files, data sets on disk, downloads, threads, checkpoints. */
export { checkpointFile } from './checkpoint-file.ts'
export { compressors } from './compress.ts'
export { dataForms, type LoadOptions, loadData } from './data.ts'
export { type Download, download } from './download.ts'
export { openModel, type SaveOptions, saveModel, writeFileAtomic } from './files.ts'
export { openPackedFile, type PackedOnDisk, packToFile } from './packed-file.ts'
export { createPool, type Pool, withPool } from './pool.ts'
