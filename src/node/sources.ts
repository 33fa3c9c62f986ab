/** The public data sets that coppice can fetch itself, with their official files and SHA-256 sums. */
import type { Download } from './download.ts'

const mnistHosts = [
  'https://ossci-datasets.s3.amazonaws.com/mnist/',
  'https://storage.googleapis.com/cvdf-datasets/mnist/',
]
const fashionHosts = [
  'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
  'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
]
const speechHosts = [
  'https://storage.googleapis.com/download.tensorflow.org/data/',
  'http://download.tensorflow.org/data/',
]
const toronto = ['https://www.cs.toronto.edu/~kriz/']

function files(folder: string, hosts: readonly string[], sums: Readonly<Record<string, string>>): readonly Download[] {
  return Object.entries(sums).map(([name, sha256]) => ({
    name: `${folder}/${name}`,
    urls: hosts.map((host) => host + name),
    sha256,
  }))
}

/** By data set: the files to fetch. */
export const sources = {
  mnist: files('mnist', mnistHosts, {
    'train-images-idx3-ubyte.gz': '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
    'train-labels-idx1-ubyte.gz': '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
    't10k-images-idx3-ubyte.gz': '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
    't10k-labels-idx1-ubyte.gz': 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
  }),
  'fashion-mnist': files('fashion-mnist', fashionHosts, {
    'train-images-idx3-ubyte.gz': '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
    'train-labels-idx1-ubyte.gz': 'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
    't10k-images-idx3-ubyte.gz': '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
    't10k-labels-idx1-ubyte.gz': '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
  }),
  cifar10: files('cifar10', toronto, {
    'cifar-10-binary.tar.gz': 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
  }),
  cifar100: files('cifar100', toronto, {
    'cifar-100-binary.tar.gz': '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
  }),
  'speech-commands': files('speech-commands', speechHosts, {
    'speech_commands_v0.02.tar.gz': 'af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58',
  }),
} as const satisfies Record<string, readonly Download[]>
