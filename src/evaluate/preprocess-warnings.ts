/** Warnings that a model's images may be fed otherwise than it was trained on: what was found, in words and options. */
import type { Preprocess } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import type { Model } from '../model.ts'
import { count, percent } from '../numbers.ts'
import { checkPreprocess, type PreprocessFinding } from './check-preprocess.ts'

/**
 * Tries the common ways of feeding images on training samples; says where one is clearly better than the given one. Says
 * nothing of data that does not tell how images become inputs.
 */
export async function preprocessWarnings(
  model: Model,
  { splits, preprocess }: Pick<BoundData, 'splits' | 'preprocess'>,
  options: { readonly seed: number; readonly signal?: AbortSignal },
): Promise<string[]> {
  if (!preprocess) return []
  const found = await checkPreprocess(model, { dataset: splits.train, preprocess, ...options })
  if (!found) return []
  if (found === 'too slow')
    return [
      'the preprocessing of images was not compared with that of the training: the model takes too long per sample',
    ]
  return [preprocessWarning(found, preprocess)]
}

/** A sentence: what is better, by how much, and the flags for it. */
export function preprocessWarning(finding: PreprocessFinding, given: Preprocess): string {
  const { better, samples } = finding
  const flags = preprocessFlagsOf(better, given)
  const on = `${count(samples)} training samples`
  const skip = '(nothing was changed; --no-preprocess-check skips this check)'
  switch (finding.unit) {
    case 'right':
      return `the model is right on ${percent(finding.found, 1)} of ${on} with ${flags}, and on ${percent(finding.given, 1)} with ${describe(given)}, as it is fed now: was it trained with the former? ${skip}`
    case 'error':
      return `the model's mean squared error on ${on} is ${finding.found.toPrecision(3)} with ${flags}, and ${finding.given.toPrecision(3)} with ${describe(given)}, as it is fed now: was it trained with the former? ${skip}`
    default:
      return `the model gives nearly the same output for all of ${on} with ${describe(given)}, as it is fed now, and not so with ${flags}: was it trained with the latter? ${skip}`
  }
}

/** The flags that ask for a preprocessing; layout and channels only where they differ from the given ones. */
function preprocessFlagsOf({ range, mean, std, channels = 'RGB', layout }: Preprocess, given: Preprocess): string {
  return [
    `--input-range ${range.join('..')}`,
    ...(mean ? [`--mean ${mean.join(',')}`] : []),
    ...(std ? [`--std ${std.join(',')}`] : []),
    ...(channels !== (given.channels ?? 'RGB') ? [`--channels ${channels}`] : []),
    ...(layout !== given.layout ? [`--layout ${layout}`] : []),
    ...(given.mean && !mean ? [`without --mean`] : []),
    ...(given.std && !std ? [`without --std`] : []),
  ].join(' ')
}

function describe({ range, mean, std, channels, layout }: Preprocess): string {
  const then = [...(mean ? [`mean ${mean.join(',')}`] : []), ...(std ? [`std ${std.join(',')}`] : [])]
  return [`pixels mapped to ${range.join('..')}`, ...then, ...(channels ? [channels] : []), layout].join(', ')
}
