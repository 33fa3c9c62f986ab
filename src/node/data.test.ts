/** Data specs to data sets: folders, tables, archives, and what is wrong with them. */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeNpz } from '../data/npy.ts'
import { dataForms, loadData } from './data.ts'
import { download } from './download.ts'
import { readTar } from './tar.ts'

const root = mkdtempSync(join(tmpdir(), 'coppice-data-'))
afterAll(() => rmSync(root, { recursive: true }))
const seed = 1

describe('loadData', () => {
  it('helps with specs that it does not know', async () => {
    await expect(loadData('mnst:x', { seed })).rejects.toThrow('did you mean "mnist"?')
    await expect(loadData('my/table.csv', { seed })).rejects.toThrow('did you mean "csv:my/table.csv"?')
    await expect(loadData('csvv:table.csv', { seed })).rejects.toThrow('did you mean "csv"?')
    await expect(loadData('foo', { seed })).rejects.toThrow(`expected ${dataForms.join(', ')}`)
    expect(dataForms).toContain('statistics[:N]')
    await expect(loadData('statistic:64', { seed })).rejects.toThrow('did you mean "statistics"?')
    await expect(loadData('npz', { seed })).rejects.toThrow('npz: the file is missing; expected npz:FILE')
    await expect(loadData('mnist:/nowhere', { seed })).rejects.toThrow('there is no folder /nowhere')
    await expect(loadData(`mnist:${root}`, { seed })).rejects.toThrow('there is no train-images-idx3-ubyte.gz or')
    await expect(loadData('digits:none', { seed })).rejects.toThrow('digits:none: "none" is no number')
    await expect(loadData('statistics', { seed })).rejects.toThrow('statistics: inputs are made from a model, and none')
    await expect(loadData('digits:0', { seed })).rejects.toThrow('digits: the number of images')
  })

  it('draws digits, and different ones for testing', async () => {
    const { train, test } = await loadData('digits:100', { seed })
    expect([train.length, test.length]).toEqual([100, 25])
    expect(test.fields.image.data.subarray(0, 784)).not.toEqual(train.fields.image.data.subarray(0, 784))
    expect((await loadData('digits:100', { seed })).train).toEqual(train)
  })

  it('cuts what comes in one piece in two, and says so', async () => {
    const path = join(root, 'a.npz')
    const labels = Int32Array.from({ length: 40 }, (_, i) => i % 4)
    const data = Float32Array.from({ length: 80 }, (_, i) => i)
    writeFileSync(path, await writeNpz({ input: { shape: [40, 2], data }, y: { shape: [40], data: labels } }))
    const { train, test, notes } = await loadData(`npz:${path}`, { seed })
    expect([train.length, test.length, train.classes]).toEqual([20, 20, 4])
    expect([...train.fields.input.data, ...test.fields.input.data].sort((a, b) => a - b)).toEqual([...data])
    expect(notes?.[0]).toContain('comes in one piece: half (20)')
    const csv = join(root, 'a.csv')
    writeFileSync(csv, 'a,label\n1,0\n2,0\n3,1\n4,1\n')
    expect((await loadData(`csv:${csv}`, { seed })).test.length).toBe(2)
  })

  it('reads image folders, scaled to the size that is asked for', async () => {
    const dir = join(root, 'images')
    const colours = { blue: [0, 0, 255], red: [255, 0, 0] }
    for (const split of ['train', 'test']) {
      for (const [name, [r, g, b]] of Object.entries(colours)) {
        mkdirSync(join(dir, split, name), { recursive: true })
        const create = { width: 8, height: 6, channels: 3 as const, background: { r, g, b } }
        await sharp({ create })
          .png()
          .toFile(join(dir, split, name, 'a.png'))
      }
    }
    const { train, test, notes } = await loadData(`images:${dir}`, { seed })
    expect([train.length, test.length, notes, train.classNames]).toEqual([2, 2, undefined, ['blue', 'red']])
    expect(train.fields.image.shape).toEqual([3, 6, 8])
    const imageSize = { channels: 3, height: 4, width: 4 }
    const small = await loadData(`images:${dir}`, { seed, imageSize })
    expect([...small.test.fields.image.data.subarray(0, 48)]).toEqual([
      ...new Array(32).fill(0),
      ...new Array(16).fill(255),
    ])
    const grey = await loadData(`images:${dir}`, { seed, imageSize: { ...imageSize, channels: 1 } })
    expect(grey.train.fields.image.shape).toEqual([1, 4, 4])
    await expect(loadData(`images:${join(dir, 'train')}`, { seed })).rejects.toThrow(
      /train: it comes in one piece, too small to be cut .* \(2 samples\); expected 2 or more per class$/,
    )
    for (const name of ['blue', 'red'])
      copyFileSync(join(dir, 'train', name, 'a.png'), join(dir, 'train', name, 'c.png'))
    const whole = await loadData(`images:${join(dir, 'train')}`, { seed })
    expect([whole.train.length, whole.test.length, whole.notes]).toEqual([2, 2, [expect.stringContaining('one piece')]])
    renameSync(join(dir, 'test', 'red'), join(dir, 'test', 'yellow'))
    await expect(loadData(`images:${dir}`, { seed })).rejects.toThrow(
      'class 1 is "red" in the training data and "yellow" in the test data; expected the same',
    )
    renameSync(join(dir, 'test', 'yellow'), join(dir, 'test', 'red'))
    writeFileSync(join(dir, 'train', 'red', 'b.png'), 'no image')
    await expect(loadData(`images:${dir}`, { seed })).rejects.toThrow(/b\.png: /)
  })

  it('reads a folder of images without labels, and says what it took and what not', async () => {
    const dir = join(root, 'flat')
    const put = async (...path: string[]) => {
      mkdirSync(join(dir, ...path.slice(0, -1)), { recursive: true })
      const create = { width: 4, height: 4, channels: 3 as const, background: { r: path.length, g: 0, b: 0 } }
      await sharp({ create })
        .png()
        .toFile(join(dir, ...path))
    }
    const load = () => loadData(`images:${dir}`, { seed })
    for (const name of ['a.png', 'b.png', 'c.png', 'd.png']) await put(name)
    writeFileSync(join(dir, 'notes.txt'), 'hello')
    writeFileSync(join(dir, '.hidden'), '')
    const flat = await load()
    expect([flat.train.length, flat.test.length, flat.train.labels]).toEqual([2, 2, undefined])
    expect(flat.notes?.[0]).toBe(
      `images:${dir}: 4 images without labels, for there are no folders of classes; skipped 1 other file (notes.txt)`,
    )
    await put('only', 'e.png')
    mkdirSync(join(dir, 'empty'))
    expect((await load()).notes?.[0]).toContain('5 images without labels')
    await put('deep', 'below', 'f.png')
    for (const name of ['g.png', 'h.png', 'i.png']) await put('only', name)
    for (const name of ['j.png', 'k.png', 'l.png']) await put('deep', name)
    const mixed = await load()
    expect([mixed.train.length, mixed.test.length, mixed.train.classNames]).toEqual([4, 4, ['deep', 'only']])
    expect(mixed.notes?.[0]).toBe(
      `images:${dir}: 8 images of 2 classes, named by their folders; skipped 4 images beside the folders, 1 folder without images (empty), 1 other file (notes.txt)`,
    )
    for (const name of ['x.jpg', 'y.jpg']) writeFileSync(join(dir, 'only', name), 'no image')
    await expect(load()).rejects.toThrow(/x\.jpg: .*; .*y\.jpg: /)
  })

  it('names links that lead nowhere in an image folder', async () => {
    const dir = join(root, 'links')
    for (const name of ['a', 'b']) mkdirSync(join(dir, name), { recursive: true })
    const nowhere = (path: string, expected: string) => `${path}: it is a link that leads nowhere; expected ${expected}`
    const load = (imageSize?: { channels: 1; height: 2; width: 2 }) => loadData(`images:${dir}`, { seed, imageSize })
    const image = join(dir, 'a', 'x.png')
    symlinkSync('gone.png', image)
    await expect(load()).rejects.toThrow(nowhere(image, 'an image'))
    await expect(load({ channels: 1, height: 2, width: 2 })).rejects.toThrow(nowhere(image, 'an image'))
    const folder = join(dir, 'c')
    symlinkSync('gone', folder)
    await expect(load()).rejects.toThrow(nowhere(folder, 'a file or a folder'))
  })

  it('refuses training and test data that do not belong together, or are empty', async () => {
    const path = join(root, 'split.npz')
    const images = (count: number, side: number) => ({
      shape: [count, side, side],
      data: new Uint8Array(count * side * side),
    })
    const load = async (train: ReturnType<typeof images>, test: ReturnType<typeof images>) => {
      const labels = ({ shape: [count] }: typeof train) => ({ shape: [count], data: new Uint8Array(count) })
      const arrays = { x_train: train, y_train: labels(train), x_test: test, y_test: labels(test) }
      writeFileSync(path, await writeNpz(arrays))
      return loadData(`npz:${path}`, { seed })
    }
    await expect(load(images(4, 8), images(2, 6))).rejects.toThrow(
      `npz:${path}: "x" is images of shape [1,8,8] in the training data and images of shape [1,6,6] in the test data; expected the same`,
    )
    await expect(load(images(4, 8), images(0, 8))).rejects.toThrow(
      `npz:${path} (test): it holds no samples; expected 1 or more`,
    )
    await expect(load(images(0, 8), images(2, 8))).rejects.toThrow(`npz:${path} (train): it holds no samples`)
    expect((await load(images(4, 8), images(2, 8))).test.length).toBe(2)

    const dir = join(root, 'idx')
    mkdirSync(dir)
    for (const [name, count] of [
      ['train', 2],
      ['t10k', 0],
    ] as const) {
      const pixels = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2, ...new Array(4 * count).fill(7)]
      writeFileSync(join(dir, `${name}-images-idx3-ubyte`), Uint8Array.from(pixels))
      const labels = [0, 0, 8, 1, 0, 0, 0, count, ...new Array(count).fill(9)]
      writeFileSync(join(dir, `${name}-labels-idx1-ubyte`), Uint8Array.from(labels))
    }
    await expect(loadData(`mnist:${dir}`, { seed })).rejects.toThrow(
      `mnist:${dir} (test): it holds no samples; expected 1 or more`,
    )
  })

  const { COPPICE_DATA, COPPICE_CIFAR10 } = process.env
  it.skipIf(!COPPICE_DATA)('reads MNIST and Fashion-MNIST (needs COPPICE_DATA)', async () => {
    for (const kind of ['mnist', 'fashion-mnist']) {
      const { train, test } = await loadData(`${kind}:${COPPICE_DATA}/${kind}`, { seed })
      expect([train.length, test.length, train.labels!.length, train.classes]).toEqual([60000, 10000, 60000, 10])
    }
  })
  it.skipIf(!COPPICE_CIFAR10)('reads CIFAR-10 (needs COPPICE_CIFAR10)', async () => {
    const { train, test } = await loadData(`cifar10:${COPPICE_CIFAR10}`, { seed })
    expect([train.length, test.length]).toEqual([50000, 10000])
    for (let c = 0; c < 10; c++) expect(test.labels!.filter((l) => l === c).length).toBe(1000)
  })
})

describe('tar', () => {
  it('reads ustar files and refuses damaged ones', () => {
    const header = Buffer.alloc(512)
    header.write('folder/a.bin', 0)
    header.write('00000000003\0', 124)
    header.write('0', 156)
    header.fill(' ', 148, 156)
    header.write(
      header
        .reduce((s, b) => s + b, 0)
        .toString(8)
        .padStart(6, '0'),
      148,
    )
    const file = Buffer.concat([header, Buffer.from('abc'.padEnd(512, '\0')), Buffer.alloc(1024)])
    expect(Buffer.from(readTar(file, 't').get('a.bin')!).toString()).toBe('abc')
    expect(() => readTar(file.subarray(0, 513), 't')).toThrow('t: it is cut short')
    file[0] ^= 1
    expect(() => readTar(file, 't')).toThrow('not a tar archive')
  })
})

describe('download', () => {
  const body = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3)
  const sha256 = createHash('sha256').update(body).digest('hex')
  const requests: string[] = []
  let server: Server
  let at = ''
  beforeAll(async () => {
    server = createServer((request, response) => {
      const { range } = request.headers
      requests.push(`${request.url} ${range ?? ''}`.trim())
      if (request.url === '/missing') return response.writeHead(404).end()
      if (request.url === '/wrong') return response.end('something else')
      if (request.url === '/breaks') {
        response.writeHead(200, { 'content-length': body.length })
        response.write(body.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 100))
        return
      }
      const from = request.url === '/no-ranges' ? 0 : Number(range?.slice(6, -1) ?? 0)
      if (from >= body.length) return response.writeHead(416).end()
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': body.length - from })
      response.end(body.subarray(from))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => server.close())
  const fresh = (name: string) => {
    requests.length = 0
    return join(root, name)
  }
  const get = (folder: string, ...paths: string[]) =>
    download({ name: 'sub/f.bin', urls: paths.map((p) => at + p), sha256 }, { folder })

  it('fetches once, then uses the cache', async () => {
    const folder = fresh('cache')
    const shares: number[] = []
    const file = { name: 'f.bin', urls: [`${at}/good`], sha256 }
    const path = await download(file, { folder, progress: (share) => shares.push(share) })
    expect(Buffer.compare(readFileSync(path), body)).toBe(0)
    expect(await download(file, { folder })).toBe(path)
    expect([requests, shares.at(-1)]).toEqual([['/good'], 1])
    writeFileSync(path, 'damaged')
    expect(readFileSync(await download(file, { folder })).length).toBe(body.length)
  })

  it('tries the next address after a missing, wrong or broken one, and goes on where it stopped', async () => {
    const folder = fresh('next')
    const path = await get(folder, '/missing', '/wrong', '/breaks', '/good')
    expect(Buffer.compare(readFileSync(path), body)).toBe(0)
    expect(requests.at(-1)).toBe('/good bytes=100000-')
    expect(existsSync(`${path}.part`)).toBe(false)
  })

  it('starts again where the server has no ranges, or the partial file is wrong or already whole', async () => {
    for (const [partial, address] of [
      [body.subarray(0, 5000), '/no-ranges'],
      [new Uint8Array(5000), '/good'],
      [body, '/good'],
      [new Uint8Array(400_000), '/good'],
    ] as const) {
      const folder = fresh(`part-${partial.length}-${partial[9]}-${address.slice(1)}`)
      mkdirSync(join(folder, 'sub'), { recursive: true })
      writeFileSync(join(folder, 'sub', 'f.bin.part'), partial)
      expect(Buffer.compare(readFileSync(await get(folder, address)), body)).toBe(0)
    }
  })

  it('says what each address gave, keeps no wrong file, and stops when told', async () => {
    const folder = fresh('fails')
    await expect(get(folder, '/missing', '/wrong')).rejects.toThrow(/could not be downloaded.*404.*SHA-256 is/)
    expect(existsSync(join(folder, 'sub', 'f.bin'))).toBe(false)
    const file = { name: 'g.bin', urls: [`${at}/good`], sha256 }
    await expect(download(file, { folder, signal: AbortSignal.abort() })).rejects.toThrow('the download was stopped')
  })
})
