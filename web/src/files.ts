/** Files in and out: chosen, dropped, and saved. */
import { directoryOpen, type FileWithDirectoryAndFileHandle, fileOpen, fileSave } from 'browser-fs-access'
import type { Chosen, Made, NamedFile } from './work/messages.ts'

let counter = 0

/** Files as one choice, told from all others. */
export function chosen(files: readonly NamedFile[]): Chosen {
  return { id: ++counter, files }
}

/** Undefined where the person changed their mind. */
export async function chooseFiles(what: { description: string; extensions: string[] }): Promise<Chosen | undefined> {
  const files = await unlessAborted(fileOpen({ ...what, multiple: true }))
  return files && chosen(files.map((file) => ({ path: file.name, file })))
}

export async function chooseFolder(): Promise<Chosen | undefined> {
  const found = await unlessAborted(directoryOpen({ recursive: true }))
  // An empty folder comes as a list of handles.
  const files = (found ?? []).filter((file): file is FileWithDirectoryAndFileHandle => file instanceof File)
  return found && chosen(files.map((file) => ({ path: file.webkitRelativePath || file.name, file })))
}

async function unlessAborted<T>(choice: Promise<T>): Promise<T | undefined> {
  try {
    return await choice
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return undefined
    throw error
  }
}

/** What was dropped, with everything in folders. */
export async function droppedFiles(transfer: DataTransfer): Promise<Chosen> {
  // All must be asked for before the first is awaited: the list is gone after that.
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? [])
  const listed = entries.length > 0 ? (await Promise.all(entries.map(filesIn))).flat() : plainFiles(transfer)
  return chosen(listed)
}

function plainFiles(transfer: DataTransfer): NamedFile[] {
  return [...transfer.files].map((file) => ({ path: file.name, file }))
}

async function filesIn(entry: FileSystemEntry): Promise<NamedFile[]> {
  const path = entry.fullPath.replace(/^\//, '')
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))
    return [{ path, file }]
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  const entries: FileSystemEntry[] = []
  // A reader gives a hundred at a time, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) break
    entries.push(...some)
  }
  return (await Promise.all(entries.map(filesIn))).flat()
}

const types: Readonly<Record<string, string>> = {
  html: 'text/html',
  json: 'application/json',
}

/** Saves a file, where the person says or among the downloads. */
export async function save({ name, blob }: Made): Promise<void> {
  const ending = name.slice(name.lastIndexOf('.') + 1)
  const typed = blob.slice(0, blob.size, types[ending] ?? 'application/octet-stream')
  await unlessAborted(fileSave(typed, { fileName: name, extensions: [`.${ending}`] }))
}

export function textFile(name: string, text: string): Made {
  return { name, blob: new Blob([text]) }
}
