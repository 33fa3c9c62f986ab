/** Speech Commands from a made folder and archive: which clip is in which part, how many of each class, and what is wrong with files. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { mfcc } from '../data/mfcc.ts'
import { speechClasses } from '../data/speech-commands.ts'
import { readWav } from '../data/wav.ts'
import { bytesOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { loadData } from './data.ts'
import { speechFromArchive } from './speech-commands.ts'

const root = mkdtempSync(join(tmpdir(), 'coppice-speech-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const rng = random(2)

function wav(samples: Float32Array, { rate = 16000, channels = 1 } = {}): Buffer {
  const head = Buffer.alloc(44)
  head.write('RIFF', 0)
  head.writeUInt32LE(36 + 2 * samples.length, 4)
  head.write('WAVEfmt ', 8)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(1, 20)
  head.writeUInt16LE(channels, 22)
  head.writeUInt32LE(rate, 24)
  head.writeUInt16LE(16, 34)
  head.write('data', 36)
  head.writeUInt32LE(2 * samples.length, 40)
  return Buffer.concat([head, Buffer.from(Int16Array.from(samples, (v) => Math.round(32767 * v)).buffer)])
}

const clip = (hertz: number, length = 16000): Float32Array =>
  Float32Array.from({ length }, (_, i) => 0.4 * Math.sin((2 * Math.PI * hertz * i) / 16000) + 0.01 * rng.normal())

/** Ten words of four clips, one of each for testing; two other words; a recording of noise. */
function madeSet(): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  const tested: string[] = []
  const others = ['bed', 'tree']
  for (const [w, word] of [...speechClasses.slice(0, 10), ...others].entries()) {
    for (let i = 0; i < (others.includes(word) ? 6 : 4); i++) {
      const path = `${word}/${i}_nohash_0.wav`
      files.set(path, wav(clip(200 + 60 * w + i, i === 0 ? 9000 : 16000)))
      if (i === 3) tested.push(path)
    }
  }
  files.set('_background_noise_/hum.wav', wav(clip(50, 16000 * 12)))
  files.set('_background_noise_/README.md', Buffer.from('of noise'))
  files.set('testing_list.txt', Buffer.from(`${tested.join('\n')}\n`))
  files.set('validation_list.txt', Buffer.from('down/0_nohash_0.wav\n'))
  return files
}

function tar(files: ReadonlyMap<string, Buffer>): Buffer {
  const blocks = [...files].flatMap(([path, bytes]) => {
    const head = Buffer.alloc(512)
    head.write(`./${path}`, 0)
    head.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124)
    head.write('0', 156)
    head.fill(' ', 148, 156)
    const sum = head.reduce((s, b) => s + b, 0)
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return [head, bytes, Buffer.alloc(-bytes.length & 511)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

const files = madeSet()
const folder = join(root, 'set')
for (const [path, bytes] of files) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), bytes)
}
const spec = `speech-commands:${folder}`

describe('a folder', () => {
  it('gives every clip to its part and class, other words and silence as often as a word', async () => {
    const { train, test, notes } = await loadData(spec, { seed: 1 })
    expect([train.length, test.length]).toEqual([36, 12])
    const counts = (labels: Int32Array): number[] => speechClasses.map((_, c) => labels.filter((l) => l === c).length)
    expect(counts(train.labels!)).toEqual(new Array(12).fill(3))
    expect(counts(test.labels!)).toEqual(new Array(12).fill(1))
    expect(train.classNames?.at(-1)).toBe('unknown')
    expect(train.fields.maps.shape).toEqual([1, 49, 10])
    expect(notes?.[0]).toContain('testing_list.txt')
    // Clips come by the names of words: the first for testing is the fourth of "down".
    const { samples } = readWav(files.get('down/3_nohash_0.wav')!, 'down')
    expect(test.fields.maps.data.subarray(0, 490)).toEqual(mfcc(samples))
  })

  it('draws by the seed', async () => {
    const of = async (seed: number) => (await loadData(spec, { seed })).train.fields.maps.data
    const first = await of(1)
    expect(Buffer.compare(bytesOf(first), bytesOf(await of(1)))).toBe(0)
    expect(Buffer.compare(bytesOf(first), bytesOf(await of(2)))).not.toBe(0)
  })

  it('says what is missing', async () => {
    await expect(loadData(`speech-commands:${root}`, { seed: 1 })).rejects.toThrow('there is no testing_list.txt')
    const empty = join(root, 'empty')
    mkdirSync(empty)
    writeFileSync(join(empty, 'testing_list.txt'), '')
    await expect(loadData(`speech-commands:${empty}`, { seed: 1 })).rejects.toThrow('it has no clips')
    await expect(loadData('speech-commands:/nowhere', { seed: 1 })).rejects.toThrow('there is no folder /nowhere')
  })
})

describe('an archive', () => {
  const path = join(root, 'set.tar.gz')
  const how = { id: spec, seed: 1 }

  it('gives what the folder gives, in whatever order its files come', async () => {
    const turned = new Map([...files].reverse())
    const { train, test } = await loadData(spec, { seed: 1 })
    for (const order of [files, turned]) {
      writeFileSync(path, gzipSync(tar(order)))
      const found = await speechFromArchive(path, how)
      for (const [a, b] of [
        [found.train, train],
        [found.test, test],
      ]) {
        expect(Buffer.compare(bytesOf(a.fields.maps.data), bytesOf(b.fields.maps.data))).toBe(0)
        expect(a.labels).toEqual(b.labels)
      }
    }
  })

  it('is refused where it is cut short or something else', async () => {
    const whole = tar(files)
    writeFileSync(path, gzipSync(whole.subarray(0, 100_000)))
    await expect(speechFromArchive(path, how)).rejects.toThrow(`${path}: it is cut short`)
    writeFileSync(path, gzipSync(whole).subarray(0, 50_000))
    await expect(speechFromArchive(path, how)).rejects.toThrow(`${path}: it is no gzip archive, or is damaged`)
    writeFileSync(path, 'no archive')
    await expect(speechFromArchive(path, how)).rejects.toThrow(`${path}: it is no gzip archive, or is damaged`)
    writeFileSync(path, gzipSync(Buffer.alloc(2048, 1)))
    await expect(speechFromArchive(path, how)).rejects.toThrow('it is not a tar archive')
  })

  it('names a clip that cannot be read', async () => {
    const broken = async (bytes: Buffer) => {
      writeFileSync(path, gzipSync(tar(new Map([...files, ['up/bad.wav', bytes]]))))
      return speechFromArchive(path, how)
    }
    await expect(broken(Buffer.from('RIFF'))).rejects.toThrow('up/bad.wav: it is not a WAV file')
    await expect(broken(wav(clip(100), { rate: 8000 }))).rejects.toThrow(
      'up/bad.wav: 8000 samples per second; expected 16000',
    )
    await expect(broken(wav(clip(100), { channels: 2 }))).rejects.toThrow('up/bad.wav: 2 channels of 16 bits')
    await expect(broken(wav(clip(100)).subarray(0, 1000))).rejects.toThrow('up/bad.wav: it is cut short')
    await expect(broken(wav(clip(100)).subarray(0, 40))).rejects.toThrow('up/bad.wav: it has no samples')
  })

  it('stops on request', async () => {
    writeFileSync(path, gzipSync(tar(files)))
    const stop = new AbortController()
    stop.abort()
    await expect(speechFromArchive(path, { ...how, signal: stop.signal })).rejects.toThrow('stopped')
  })
})
