/**
 * What a file looks like that is no ONNX model, from its first bytes: for the sentence that says so. It is asked only about
 * bytes that could not be read, so a wrong guess harms nobody.
 */

interface Kind {
  readonly what: string
  /** The bytes that such a file has at a place; a string is its characters. */
  readonly magic: readonly number[] | string
  readonly at?: number
}

const kinds: readonly Kind[] = [
  { what: 'a packed file (.cop); coppice unpack gives the model', magic: 'cop' },
  {
    what: 'a pointer of Git LFS; "git lfs pull" fetches the file that it stands for',
    magic: 'version https://git-lfs.github.com/',
  },
  { what: 'a TensorFlow Lite model', magic: 'TFL3', at: 4 },
  { what: "a model in ONNX Runtime's own format (.ort)", magic: 'ORTM', at: 4 },
  { what: 'a GGUF model', magic: 'GGUF' },
  { what: 'an HDF5 file, such as a Keras model', magic: [0x89, 0x48, 0x44, 0x46] },
  { what: 'a NumPy array (.npy)', magic: [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] },
  { what: 'a TensorRT engine', magic: 'ftrt' },
  { what: 'a PNG image', magic: [0x89, 0x50, 0x4e, 0x47] },
  { what: 'a JPEG image', magic: [0xff, 0xd8, 0xff] },
  { what: 'a GIF image', magic: 'GIF8' },
  { what: 'a WebP image or other RIFF file', magic: 'RIFF' },
  { what: 'a PDF document', magic: '%PDF' },
  { what: 'a gzip archive; expected the file in it', magic: [0x1f, 0x8b] },
  { what: 'an xz archive; expected the file in it', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { what: 'a zstd archive; expected the file in it', magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { what: 'a bzip2 archive; expected the file in it', magic: 'BZh' },
  { what: 'a 7z archive; expected the file in it', magic: [0x37, 0x7a, 0xbc, 0xaf] },
  { what: 'a tar archive; expected the file in it', magic: 'ustar', at: 257 },
  { what: 'a WebAssembly module', magic: [0, 0x61, 0x73, 0x6d] },
  { what: 'a program (ELF)', magic: [0x7f, 0x45, 0x4c, 0x46] },
  { what: 'a Windows program', magic: 'MZ' },
  { what: 'an SQLite database', magic: 'SQLite format 3' },
]

/** How much of the file is looked at. */
const headBytes = 65_536

/** What the file is, as the end of "it is not an ONNX model but ...", or undefined where nothing shows it. */
export function fileKindOf(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'an empty file'
  const head = bytes.subarray(0, headBytes)
  // One character per byte.
  const text = new TextDecoder('latin1').decode(head)
  const known = kinds.find(({ magic, at = 0 }) => startsWith(head, text, magic, at))
  if (known) return known.what
  if (text.startsWith('PK')) return zipKindOf(text)
  if (isSafetensors(head)) return 'a safetensors file: weights without a graph'
  // Pickle's protocol 2 and later: PyTorch's files of before 2020.
  if (head[0] === 0x80 && head[1] >= 2 && head[1] <= 5) return 'a Python pickle, such as a PyTorch checkpoint'
  return textKindOf(head, text)
}

/**
 * Whether the first byte is the tag of one of a model's fields: most files that are no models begin otherwise, and damaged
 * models, whose damage lies farther in, do not.
 */
export function beginsAsModel(bytes: Uint8Array): boolean {
  return tags.has(bytes[0])
}

/** Numbers 1 to 8, 14, 20 and 25, of integers where 1 and 5 are: the number in the upper bits, 0 or 2 for what it holds below. */
const tags: ReadonlySet<number> = new Set([0x08, 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca])

function startsWith(head: Uint8Array, text: string, magic: Kind['magic'], at: number): boolean {
  if (typeof magic === 'string') return text.startsWith(magic, at)
  return magic.every((byte, i) => head[at + i] === byte)
}

/** By the names of its first members. */
function zipKindOf(text: string): string {
  if (/\/data\.pkl/.test(text) || /\/version.{0,3}3\n/.test(text))
    return 'a PyTorch checkpoint (.pt, .pth); export the model to ONNX first'
  if (/\.npy/.test(text)) return 'an archive of NumPy arrays (.npz)'
  if (/model\.weights\.h5|config\.json.*keras/s.test(text)) return 'a Keras model (.keras)'
  if (/\.mlmodel/.test(text)) return 'a Core ML package'
  return /\.onnx/.test(text) ? 'a ZIP archive; expected the .onnx in it' : 'a ZIP archive'
}

/** A length of 8 bytes, then a header in JSON. */
function isSafetensors(head: Uint8Array): boolean {
  if (head.length < 10 || head[8] !== 0x7b) return false
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true)
  return length < 2n ** 32n && (head[9] === 0x22 || head[9] === 0x7d || head[9] === 0x20)
}

function textKindOf(head: Uint8Array, text: string): string | undefined {
  if (head.some((b) => b < 32 && b !== 9 && b !== 10 && b !== 12 && b !== 13) || !isUtf8(head)) return undefined
  const start = text.replace(/^\xef\xbb\xbf/, '').trimStart()
  if (/^<(!doctype html|html|head|body)/i.test(start)) return 'a web page (HTML): perhaps an error page was saved'
  if (/^<\?xml|^<net\b/.test(start)) return /<net\b/.test(start) ? 'an OpenVINO model (XML)' : 'an XML file'
  if (/^[[{]/.test(start)) return 'a JSON or other text file'
  return 'a text file'
}

/** Whether it is UTF-8, but for a character that may be cut at its end. */
function isUtf8(head: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
    return true
  } catch {
    return false
  }
}
