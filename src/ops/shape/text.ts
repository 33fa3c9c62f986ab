/** Shape rules of operators on strings. */
import { intsAttribute } from '../../graph/walk.ts'
import { broadcast, type Rule } from './known.ts'

/** Stop words are left out of the last axis. */
const normalizer: Rule = (call) => {
  const { shape } = call.in(0)
  const drops = call.node.attributes.stopwords?.type === 'strings'
  return [{ dtype: 'string', shape: shape?.map((d, i) => (drops && i === shape.length - 1 ? undefined : d)) }]
}

/** A row of counts, as long as the largest index of an n-gram says. */
const tfIdf: Rule = (call) => {
  const { shape } = call.in(0)
  const indexes = intsAttribute(call.node, 'ngram_indexes')
  const columns = indexes && indexes.reduce((a, b) => Math.max(a, b), -1) + 1
  return [{ dtype: 'float32', shape: shape && [...shape.slice(0, -1), columns] }]
}

export const text: Record<string, Rule> = {
  StringNormalizer: normalizer,
  StringConcat: (call) => [{ dtype: 'string', shape: broadcast([call.in(0).shape, call.in(1).shape]) }],
  StringSplit: (call) => {
    const { shape } = call.in(0)
    return [
      { dtype: 'string', shape: shape && [...shape, undefined] },
      { dtype: 'int64', shape },
    ]
  },
  RegexFullMatch: (call) => [{ dtype: 'bool', shape: call.in(0).shape }],
  TfIdfVectorizer: tfIdf,
}
