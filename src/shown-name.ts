/** Names of a model as people are shown them: exporters and attackers make them of any characters, and of any length. */

/** On one line, of at most `most` characters: the beginning and the longer end, which tells exporters' names apart. */
export function shownName(name: string, most = 60): string {
  const cut =
    name.length > most ? `${name.slice(0, Math.floor(most / 3))}…${name.slice(1 + Math.floor(most / 3) - most)}` : name
  return cut.replace(/[\p{Cc}\u2028\u2029]/gu, (c) => {
    const escaped = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c]
    return escaped ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
