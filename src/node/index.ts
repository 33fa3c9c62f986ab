/** What needs Node: files, data sets on disk, downloads. */
export { loadData } from './data.ts'
export { type Download, download } from './download.ts'
export { openModel, saveModel, writeFileAtomic } from './files.ts'
