/** Reports without the folders of the machine that they were made on. */
import { basename } from 'node:path'

/** The same value with the paths of a data spec cut down to their last part, wherever its texts name them. */
export function withoutFolders<T>(value: T, spec: string | undefined): T {
  const path = spec?.slice(spec.indexOf(':') + 1) ?? ''
  return path.includes('/') || path.includes('\\')
    ? withText(value, (text) => text.replaceAll(path, basename(path)))
    : value
}

function withText<T>(value: T, change: (text: string) => string): T {
  if (typeof value === 'string') return change(value) as T
  if (Array.isArray(value)) return value.map((v) => withText(v, change)) as T
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, withText(v, change)])) as T
}
