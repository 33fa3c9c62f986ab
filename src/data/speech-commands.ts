/**
 * Speech Commands (Warden 2018, arXiv:1804.03209) as a data set of 12 classes: ten words, silence and other words, each clip as
 * 49 x 10 MFCC (mfcc.ts). Clips that testing_list.txt names are the test part, all others are for training.
 *
 * Other words and silence have as many clips as a word has on average in that part: other words are drawn among their
 * clips by the seed, silence is cut out of the recordings of noise at places that the seed draws, for testing from the last
 * tenth of each. Without such recordings there is no silence.
 */
import { permutation, type Random, random } from '../tensor/random.ts'
import type { Dataset, Splits } from './dataset.ts'
import { clipLength, mfcc, mfccShape } from './mfcc.ts'
import { readWav } from './wav.ts'

const words = ['down', 'go', 'left', 'no', 'off', 'on', 'right', 'stop', 'up', 'yes']
export const speechClasses: readonly string[] = [...words, 'silence', 'unknown']
const [silence, unknown] = [10, 11]
const noiseFolder = '_background_noise_'
/** Of each recording of noise: what is for training. */
const trainingShare = 0.9

export interface SpeechFiles {
  /** A file of the set by its path in it (`yes/0a7c2a8d_nohash_0.wav`), in any order; others than its clips and lists are passed over. */
  add(path: string, bytes: Uint8Array): void
  /** Throws where there is no list, or a part has no clips. */
  finish(): Splits
}

interface Clip {
  readonly path: string
  readonly label: number
  readonly values: Float32Array
}

export function speechFiles(id: string, seed: number): SpeechFiles {
  const clips: Clip[] = []
  const noises: { readonly path: string; readonly samples: Float32Array }[] = []
  let tested: Set<string> | undefined
  const samplesOf = (path: string, bytes: Uint8Array): Float32Array => {
    const { samples, rate } = readWav(bytes, `${id}: ${path}`)
    if (rate !== clipLength) throw new Error(`${id}: ${path}: ${rate} samples per second; expected ${clipLength}`)
    return samples
  }
  return {
    add(path, bytes) {
      const [folder, name] = path.split('/').slice(-2)
      if (path.endsWith('testing_list.txt'))
        tested = new Set(
          new TextDecoder()
            .decode(bytes)
            .split(/\s+/)
            .filter((line) => line),
        )
      else if (!name?.endsWith('.wav')) return
      else if (folder === noiseFolder) noises.push({ path, samples: samplesOf(path, bytes) })
      else {
        const word = words.indexOf(folder)
        clips.push({
          path: `${folder}/${name}`,
          label: word < 0 ? unknown : word,
          values: mfcc(samplesOf(path, bytes)),
        })
      }
    },
    finish() {
      if (!tested) throw new Error(`${id}: there is no testing_list.txt; expected the one of the set`)
      // The same whatever the order in which files came.
      const sorted = [...clips].sort((a, b) => (a.path < b.path ? -1 : 1))
      const recordings = [...noises].sort((a, b) => (a.path < b.path ? -1 : 1)).map((n) => n.samples)
      const part = (isTest: boolean): Dataset => {
        const rng = random(seed ^ (isTest ? 0x7e57 : 0))
        const name = `${id} (${isTest ? 'test' : 'train'})`
        const own = sorted.filter(({ path }) => tested?.has(path) === isTest)
        return datasetOf(name, balanced(own, { rng, cut: cutter(recordings, isTest, rng) }))
      }
      const splits = { train: part(false), test: part(true) }
      return {
        ...splits,
        notes: [
          `test: the clips of testing_list.txt; those of validation_list.txt are in the training part; other words${recordings.length > 0 ? ' and silence' : ''} as often as a word`,
        ],
      }
    },
  }
}

interface Balancing {
  readonly rng: Random
  /** A second of noise; undefined where there are no recordings. */
  readonly cut?: () => Float32Array
}

/** The clips of words, and as many of other words and of silence as of one of them. */
function balanced(clips: readonly Clip[], { rng, cut }: Balancing): Clip[] {
  const known = clips.filter(({ label }) => label !== unknown)
  const others = clips.filter(({ label }) => label === unknown)
  const count = Math.round(known.length / words.length)
  const drawn = Array.from(permutation(others.length, rng).subarray(0, count), (i) => others[i])
  const silent = cut ? Array.from({ length: count }, () => ({ path: '', label: silence, values: mfcc(cut()) })) : []
  return [...known, ...silent, ...drawn]
}

function cutter(recordings: readonly Float32Array[], isTest: boolean, rng: Random): (() => Float32Array) | undefined {
  const parts = recordings
    .map((samples) => {
      const at = Math.floor(trainingShare * samples.length)
      return isTest ? samples.subarray(at) : samples.subarray(0, at)
    })
    .filter((samples) => samples.length >= clipLength)
  if (parts.length === 0) return undefined
  return () => {
    const samples = parts[rng.below(parts.length)]
    const from = rng.below(samples.length - clipLength + 1)
    return samples.subarray(from, from + clipLength)
  }
}

function datasetOf(id: string, clips: readonly Clip[]): Dataset {
  if (clips.length === 0) throw new Error(`${id}: it has no clips; expected folders of WAV files, one per word`)
  const size = mfccShape[0] * mfccShape[1]
  const data = new Float32Array(clips.length * size)
  for (const [i, { values }] of clips.entries()) data.set(values, i * size)
  return {
    id,
    length: clips.length,
    fields: { maps: { shape: [1, ...mfccShape], data, kind: 'values' } },
    labels: Int32Array.from(clips, ({ label }) => label),
    classes: speechClasses.length,
    classNames: speechClasses,
  }
}
