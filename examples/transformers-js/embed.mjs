/**
 * Sentence embeddings by a packed model.
 * Run: node embed.mjs HOST MODEL, such as http://localhost:8000/ my-model; HOST/MODEL/resolve/main/ must hold config.json,
 * tokenizer.json, tokenizer_config.json and onnx/model.cop. Needs @huggingface/transformers 4.
 */
import { env, pipeline } from '@huggingface/transformers'
import { copFetch } from './cop-fetch.mjs'

const [host, model] = process.argv.slice(2)
env.remoteHost = host
env.allowLocalModels = false
env.cacheDir = './cache' // what was unpacked is kept; Node's transformers.js opens models from there
env.fetch = copFetch()

const embed = await pipeline('feature-extraction', model, { dtype: 'fp32' })
const { dims, data } = await embed('hello world', { pooling: 'mean' })
console.log(JSON.stringify({ dims, data: Array.from(data) }))
