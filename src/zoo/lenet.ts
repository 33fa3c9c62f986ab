/** LeNet-300-100 and LeNet-5 (LeCun et al. 1998) as Caffe has them and as Han et al. 2015 (arXiv:1506.02626) prune them. */
import type { Model } from '../model.ts'
import { caffeXavier, type NetOptions, netDefaults, network, scaled } from './_builder.ts'

const caffe = { conv: caffeXavier, linear: caffeXavier, bias: 'zero' } as const
const mnist = { classes: 10, inputShape: [1, 28, 28] } as const

/** Two hidden layers of 300 and 100 units: 266,610 parameters. */
export function lenet300(options: NetOptions = {}): Model {
  const o = netDefaults(options, mnist)
  return network('lenet300', o, caffe, (b, input) => {
    let x = b.flatten(input)
    x = b.relu(b.linear(x, 'fc1', scaled(300, o.width)))
    x = b.relu(b.linear(x, 'fc2', scaled(100, o.width)))
    return b.linear(x, 'fc3', o.classes)
  })
}

/** Two convolutions (20 and 50 channels, no activation after them) and a hidden layer of 500: 431,080 parameters. */
export function lenet5(options: NetOptions = {}): Model {
  const o = netDefaults(options, mnist)
  return network('lenet5', o, caffe, (b, input) => {
    let x = b.conv(input, 'conv1', { out: scaled(20, o.width), kernel: 5 })
    x = b.maxPool(x, { kernel: 2 })
    x = b.conv(x, 'conv2', { out: scaled(50, o.width), kernel: 5 })
    x = b.maxPool(x, { kernel: 2 })
    x = b.relu(b.linear(b.flatten(x), 'ip1', scaled(500, o.width)))
    return b.linear(x, 'ip2', o.classes)
  })
}
