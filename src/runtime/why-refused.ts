/** ONNX Runtime's reasons for not loading a model, as one line: the usual ones in short words, others without codes and source paths. */
export function whyRefused(cause: unknown): string {
  const text = plain(cause)
  for (const [pattern, words] of usual) {
    const found = pattern.exec(text)
    if (found) return `${words(...found.slice(1))}; coppice inspect and pack work without that`
  }
  return text.slice(0, 300).trim()
}

const domainInWords = (domain: string): string => (domain === '' || domain === 'ai.onnx' ? 'ONNX' : domain)

/** What the runtime says of files that are newer than itself or made for another, and what that means. */
const usual: readonly (readonly [RegExp, (...found: string[]) => string])[] = [
  [
    /Unsupported model IR version: (\d+), max supported IR version: (\d+)/,
    (has, most) => `the file's format is version ${has}, and it reads up to ${most}`,
  ],
  [
    /Opset (\d+) is under development.* support for domain (\S*) is till opset (\d+)/,
    (has, domain, most) => `the model uses operator set ${has} of ${domainInWords(domain)}, and it knows up to ${most}`,
  ],
  [
    /(?:^|\s)([\w.-]*):(\w+)\(-?\d+\) is not a registered function\/op/,
    (domain, op) => `it has no operator ${op} of ${domainInWords(domain)}`,
  ],
  [/ort_value_name_idx_map\.MaxIdx/, () => 'it computes nothing'],
  [/No Op registered for (\w+) with domain_version of (\d+)/, (op, set) => `it has no operator ${op} in set ${set}`],
]

/** A message of the runtime on one line, without its error code and source paths. */
export function plain(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  return text
    .replace(/\s+/g, ' ')
    .replace(/^Error: /, '')
    .replace(/\/[^\s:]*onnxruntime[^\s:]*:\d+ [^\n]*?\) /g, '')
    .replace(/\[with [^\]]*\] /g, '')
    .trim()
}
