import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crc32 } from '../checksum.ts'
import { cifarDataset } from './cifar.ts'
import { csvDataset, parseCsv, textOf } from './csv.ts'
import { idxDataset, readIdx } from './idx.ts'
import { inflate } from './inflate.ts'
import { type NpyArray, readNpy, readNpz, writeNpy, writeNpz } from './npy.ts'
import { npzSplits } from './npz-dataset.ts'
import { readZip, writeZip } from './zip.ts'

/** An IDX file by hand, big-endian. */
function idx(type: number, dims: readonly number[], body: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dims.length))
  header.setUint8(2, type)
  header.setUint8(3, dims.length)
  dims.forEach((d, i) => {
    header.setUint32(4 + 4 * i, d)
  })
  return Buffer.concat([new Uint8Array(header.buffer), body])
}

describe('inflate', () => {
  it('stops at the bytes that are allowed', async () => {
    const bomb = gzipSync(new Uint8Array(1e6))
    await expect(inflate(bomb, 'gzip', { maxBytes: 1e5, subject: 'x.gz' })).rejects.toThrow('x.gz: it unpacks to more')
    expect((await inflate(bomb, 'gzip', { maxBytes: 1e6, subject: 'x.gz' })).length).toBe(1e6)
  })
})

describe('IDX', () => {
  const pixels = Uint8Array.from({ length: 24 }, (_, i) => i * 10)

  it('reads every element type, plain and gzipped', async () => {
    for (const file of [idx(8, [2, 3, 4], pixels), gzipSync(idx(8, [2, 3, 4], pixels))]) {
      expect(await readIdx(file, 'a')).toEqual({ dims: [2, 3, 4], data: pixels })
    }
    const at = Uint8Array.of(0xff, 0xfe, 0x01, 0x02)
    expect((await readIdx(idx(9, [4], at), 'a')).data).toEqual(Int8Array.of(-1, -2, 1, 2))
    expect((await readIdx(idx(11, [2], at), 'a')).data).toEqual(Int32Array.of(-2, 0x102))
    expect((await readIdx(idx(12, [1], at), 'a')).data).toEqual(Int32Array.of(-130814))
    expect((await readIdx(idx(13, [1], Uint8Array.of(0x40, 0x49, 0, 0)), 'a')).data).toEqual(Float32Array.of(3.140625))
  })

  it('refuses what is cut short or contradicts itself, in one sentence', async () => {
    const good = idx(8, [2, 3, 4], pixels)
    for (let length = 0; length < good.length; length++) {
      await expect(readIdx(good.slice(0, length), 'a.idx')).rejects.toThrow(/^a\.idx: /)
    }
    await expect(readIdx(idx(8, [0xffffffff, 0xffffffff], pixels), 'a.idx')).rejects.toThrow('24 bytes of data')
    await expect(readIdx(gzipSync(good).subarray(0, 30), 'a.idx')).rejects.toThrow('damaged or cut short')
    await expect(readIdx(idx(14, [1], new Uint8Array(8)), 'a.idx')).rejects.toThrow('type 0xe')
  })

  it('makes a data set, and checks labels', async () => {
    const images = await readIdx(idx(8, [2, 3, 4], pixels), 'a')
    const labels = await readIdx(idx(8, [2], Uint8Array.of(9, 3)), 'b')
    const set = idxDataset(images, labels, { id: 'x', classes: 10 })
    expect(set).toMatchObject({ length: 2, classes: 10, labels: Int32Array.of(9, 3) })
    expect(set.fields.image.shape).toEqual([1, 3, 4])
    expect(() => idxDataset(images, labels, { id: 'x', classes: 5 })).toThrow(
      'x: sample 0 has label 9; expected 0 to 4',
    )
  })
})

describe('CIFAR', () => {
  it('reads records of either kind over several files', () => {
    const record = (labels: readonly number[], value: number) =>
      Buffer.concat([Uint8Array.from(labels), new Uint8Array(3072).fill(value)])
    const files = [1, 2].map((i) => ({ name: `f${i}`, bytes: record([i], 50 * i) }))
    const set = cifarDataset(files, { id: 'c', classes: 10 })
    expect([set.length, [...set.labels!], set.fields.image.data[0], set.fields.image.data[3072]]).toEqual([
      2,
      [1, 2],
      50,
      100,
    ])
    expect([...cifarDataset([{ name: 'f', bytes: record([19, 99], 1) }], { id: 'c', classes: 100 }).labels!]).toEqual([
      99,
    ])
    expect(() => cifarDataset([{ name: 'f', bytes: new Uint8Array(3072) }], { id: 'c', classes: 10 })).toThrow(
      /^f: 3072 bytes/,
    )
  })
})

describe('ZIP and npz', () => {
  const arrays: Record<string, NpyArray> = {
    bytes: { shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) },
    floats: { shape: [2], data: Float32Array.of(0.5, -0) },
    one: { shape: [], data: Int32Array.of(16000) },
    wide: { shape: [2], data: Float64Array.of(0.1, 2 ** 60) },
    text: { shape: [2, 1], data: new Uint8Array(0), strings: ['a', 'long 😀'] },
  }

  it('knows the CRC of the check string', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926)
  })

  it('round-trips, stored and deflated, with the same bytes each time', async () => {
    for (const packed of [false, true]) {
      const file = await writeNpz(arrays, packed)
      expect(Buffer.compare(file, await writeNpz(arrays, packed))).toBe(0)
      expect(Object.fromEntries(await readNpz(file, 'a.npz'))).toEqual(arrays)
    }
  })

  it('refuses any archive that is damaged, and never hangs', async () => {
    const file = await writeNpz(arrays, true)
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = file.slice()
        damaged[at] ^= change
        try {
          // What survives must be what was written, but for fields that nothing checks (names, dates).
          const back = await readNpz(damaged, 'a.npz')
          expect([...back.values()]).toEqual(Object.values(arrays))
        } catch (error) {
          if (!/^a\.npz: /.test((error as Error).message)) throw error
        }
      }),
      { seed: 1, numRuns: 300 },
    )
    for (let length = 0; length < file.length; length += 7) {
      await expect(readZip(file.slice(0, length), 'a.npz')).rejects.toThrow(/^a\.npz: /)
    }
  })

  it('believes no size that the data does not bear out', async () => {
    const file = await writeZip([{ name: 'a', bytes: new Uint8Array(1000) }], true)
    const view = new DataView(file.buffer)
    const list = view.getUint32(file.length - 6, true)
    view.setUint32(list + 24, 10, true)
    await expect(readZip(file, 'z')).rejects.toThrow('unpacks to more than the 10 bytes')
  })

  it('reads what NumPy writes: column-major, wide and half types', () => {
    const npy = (header: string, body: ArrayBufferView) => {
      const plain = writeNpy({ shape: [0], data: new Uint8Array(0) })
      const text = new TextEncoder().encode(`${header.padEnd(117)}\n`)
      const bytes = new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
      return Buffer.concat([plain.subarray(0, 8), Uint8Array.of(118, 0), text, bytes])
    }
    const make = (descr: string, shape: string, body: ArrayBufferView, fortran = 'False') =>
      readNpy(npy(`{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`, body), 'a.npy')
    expect(make('|u1', '(2, 3)', Uint8Array.of(1, 4, 2, 5, 3, 6), 'True').data).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6))
    expect(make('<i8', '(2,)', BigInt64Array.of(7n, -9n)).data).toEqual(Int32Array.of(7, -9))
    expect(make('<f8', '()', Float64Array.of(0.1))).toEqual({ shape: [], data: Float64Array.of(0.1) })
    expect(make('<f2', '(2,)', Uint16Array.of(0x3c00, 0xc000)).data).toEqual(Float32Array.of(1, -2))
    expect(make('<i8', '(1,)', BigInt64Array.of(2n ** 40n)).data).toEqual(Float64Array.of(2 ** 40))
    expect(make('<u8', '(2,)', BigUint64Array.of(1n, 2n ** 33n)).data).toEqual(Float64Array.of(1, 2 ** 33))
    expect(make('<u4', '(1,)', Uint32Array.of(2 ** 32 - 1)).data).toEqual(Float64Array.of(2 ** 32 - 1))
    expect(() => make('<u8', '(1,)', BigUint64Array.of(2n ** 63n))).toThrow('9223372036854775808 does not fit 53 bits')
    expect(make('|b1', '(2,)', Uint8Array.of(0, 1))).toMatchObject({ boolean: true, data: Uint8Array.of(0, 1) })
    expect(make('>f4', '(1,)', Uint8Array.of(0x3f, 0x80, 0, 0)).data).toEqual(Float32Array.of(1))
    expect(make('>i2', '(2,)', Uint8Array.of(0xff, 0xfe, 1, 2)).data).toEqual(Int32Array.of(-2, 258))
    expect(make('<U3', '(2,)', Uint32Array.of(97, 0x1f600, 0, 98, 0, 0)).strings).toEqual(['a😀', 'b'])
    expect(make('>U1', '(1,)', Uint8Array.of(0, 0, 0, 97)).strings).toEqual(['a'])
    expect(make('|S2', '(3,)', Uint8Array.of(97, 98, 0xc3, 0xbc, 0, 0)).strings).toEqual(['ab', 'ü', ''])
    expect(make('|S1', '(2, 2)', Uint8Array.of(97, 99, 98, 100), 'True').strings).toEqual(['a', 'b', 'c', 'd'])
    expect(() => make('|O', '(1,)', Uint8Array.of(128))).toThrow('a.npy: it holds Python objects, which are not read;')
    expect(() => make('<c8', '(1,)', Float32Array.of(1, 1))).toThrow('element type "<c8" is not supported')
    expect(() => make('<U0', '(9999999999,)', new Uint8Array(0))).toThrow('element type "<U0"')
    expect(() => make('<U2', '(3,)', Uint32Array.of(97, 0))).toThrow('8 bytes of data; expected 24')
    expect(() => make('<f4', '(3,)', Float32Array.of(1))).toThrow('4 bytes of data; expected 12')
    expect(() => readNpy(new Uint8Array(40), 'a.npy')).toThrow('a.npy: it is not a .npy array')
  })

  it('becomes data: named arrays with constants, or the four of Keras', () => {
    const whole = npzSplits(
      new Map<string, NpyArray>([
        ['input', { shape: [4, 2], data: new Float32Array(8) }],
        ['sr', arrays.one],
        ['labels', { shape: [4], data: Int32Array.of(0, 1, 2, 1) }],
      ]),
      'n',
    )
    expect(whole).toMatchObject({
      whole: { length: 4, classes: 3, fields: { input: { shape: [2] }, sr: { constant: true } } },
    })
    const images: NpyArray = { shape: [1, 2, 2, 3], data: Uint8Array.from({ length: 12 }, (_, i) => i) }
    const labels = { shape: [1], data: Uint8Array.of(4) }
    const keras = npzSplits(
      new Map<string, NpyArray>([
        ['x_train', images],
        ['y_train', labels],
        ['x_test', images],
        ['y_test', labels],
      ]),
      'k',
    )
    expect(keras).toMatchObject({ train: { classes: 5, length: 1 } })
    expect(() =>
      npzSplits(
        new Map([
          ['a', images],
          ['y', { shape: [1], data: Int8Array.of(-1) }],
        ]),
        'n',
      ),
    ).toThrow('n: sample 0 has label -1; expected a whole number from 0 to 1000000')
    if ('train' in keras) {
      expect(keras.train.fields.x).toMatchObject({ shape: [3, 2, 2], kind: 'image' })
      expect([...keras.train.fields.x.data]).toEqual([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11])
    }
  })
})

describe('named arrays of an npz', () => {
  it('are not a single .npy under another name', async () => {
    const bytes = writeNpy({ shape: [2], data: Float32Array.of(1, 2) })
    await expect(readNpz(bytes, 'a.npz')).rejects.toThrow('a.npz: it is a single .npy array; expected an .npz')
  })

  it('are noted where the only one has another name than the only input', () => {
    const array = { shape: [2, 3], data: new Float32Array(6) }
    const notesOf = (name: string) => {
      const splits = npzSplits(new Map([[name, array]]), 'npz', { inputs: [{ name: 'x', dtype: 'float32' }] })
      return 'whole' in splits ? splits.notes : undefined
    }
    expect(notesOf('features')).toEqual([
      'npz: the model\'s input "x" is fed the array "features", which is the only one',
    ])
    expect(notesOf('x')).toEqual([])
  })

  const array = (shape: readonly number[], more: Partial<NpyArray> = {}): NpyArray => {
    const size = shape.reduce((a, b) => a * b, 1)
    return { shape, data: Uint8Array.from({ length: size }, (_, i) => i), ...more }
  }
  const labels: NpyArray = { shape: [2], data: Uint8Array.of(0, 1) }
  const fieldsOf = (arrays: Record<string, NpyArray>) => {
    const splits = npzSplits(new Map(Object.entries(arrays)), 'n')
    return 'whole' in splits ? splits.whole.fields : {}
  }

  it.each([
    [
      [2, 1, 4, 5],
      [1, 4, 5],
    ],
    [
      [2, 3, 4, 5],
      [3, 4, 5],
    ],
    [
      [2, 4, 5, 3],
      [3, 4, 5],
    ],
    [
      [2, 4, 5, 1],
      [1, 4, 5],
    ],
    [
      [2, 4, 5],
      [1, 4, 5],
    ],
  ])('are images as x_train is: uint8 of %j with labels', (shape, sample) => {
    const named = fieldsOf({ input: array(shape), rate: { shape: [], data: Int32Array.of(1) }, labels }).input
    expect(named).toMatchObject({ shape: sample, kind: 'image' })
    const split = npzSplits(
      new Map([
        ['x_train', array(shape)],
        ['x_test', array(shape)],
      ]),
      'n',
    )
    if ('train' in split) expect(named).toEqual(split.train.fields.x)
  })

  it('stay values of their own shape where they are something else', async () => {
    const others: Record<string, NpyArray> = {
      'no labels': array([2, 3, 4, 5]),
      'another number of channels': array([2, 7, 4, 5]),
      vectors: array([2, 9]),
      floats: array([2, 3, 4, 5], { data: new Float32Array(120) }),
      'truth values': array([2, 3, 4, 5], { boolean: true }),
    }
    for (const [why, other] of Object.entries(others)) {
      const fields = fieldsOf({ input: other, ...(why === 'no labels' ? {} : { labels }) })
      expect(fields.input, why).toEqual({ shape: other.shape.slice(1), data: other.data, kind: 'values' })
    }
    // Among several inputs [N,H,W] may be a mask, [N,3,H,W] hardly.
    expect(fieldsOf({ picture: array([2, 3, 4, 5]), mask: array([2, 4, 5]), labels })).toMatchObject({
      picture: { kind: 'image' },
      mask: { shape: [4, 5], kind: 'values' },
    })
    const truth = { a: array([2, 4, 5], { boolean: true }) }
    expect(Object.fromEntries(await readNpz(await writeNpz(truth), 'a.npz'))).toEqual(truth)
  })
})

describe('CSV', () => {
  it('reads back any table that is quoted as RFC 4180 says', () => {
    const cell = fc.stringMatching(/^[a-z,"\n]{0,6}$/).map((s) => `x${s}x`)
    fc.assert(
      fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1 }), (rows) => {
        const text = rows.map((row) => row.map((c) => `"${c.replaceAll('"', '""')}"`).join(',')).join('\r\n')
        expect(parseCsv(text, 'a')).toEqual(rows)
      }),
      { seed: 2 },
    )
  })

  it('takes the label column by its name, as indices or names', () => {
    const set = csvDataset('a,class,b\n1,cat,2\n3,ant,4\n', 't')
    expect(set).toMatchObject({ length: 2, labels: Int32Array.of(1, 0), classNames: ['ant', 'cat'], classes: 2 })
    expect([...set.fields.values.data]).toEqual([1, 2, 3, 4])
    expect(csvDataset('y,a\n3,1\n0,2\n', 't')).toMatchObject({ labels: Int32Array.of(3, 0), classes: 4 })
    expect(csvDataset('1,2\n3,4\n', 't').labels).toBeUndefined()
    const floats = csvDataset('y,a\n0.0,1\n1.0,1\n2.00,1\n10.0,1\n3,1\n', 't')
    expect(floats).toMatchObject({ labels: Int32Array.of(0, 1, 2, 10, 3), classes: 11 })
    expect(floats.classNames).toBeUndefined()
    expect(csvDataset('y,a\n0.5,1\n1.0,1\n', 't').targets?.data).toEqual(Float32Array.of(0.5, 1))
    expect(csvDataset('y,a\n0.5,1\nsome,1\n', 't').classNames).toEqual(['0.5', 'some'])
  })

  it('takes names of classes in the first row for no header, and names of columns for one', () => {
    const columns = (text: string) => csvDataset(text, 't', { label: '-1' }).length
    expect(columns('0.1,2,cat\n0.3,4,dog\n')).toBe(2)
    expect(columns('width,2019,kind\n0.3,4,dog\n')).toBe(1)
    expect(columns('0,1,label\n0.3,4,dog\n')).toBe(1)
    expect(columns('width,kind\n3,dog\n')).toBe(1)
  })

  it('takes a header or none as told, and the label column by name or number', () => {
    const values = (set: ReturnType<typeof csvDataset>) => [...set.fields.values.data]
    const bare = '1,2,0\n3,4,1\n'
    expect(csvDataset(bare, 't', { label: '3' })).toMatchObject({ length: 2, labels: Int32Array.of(0, 1) })
    expect(values(csvDataset(bare, 't', { label: '-1' }))).toEqual([1, 2, 3, 4])
    expect(csvDataset(bare, 't', { header: true, label: '0' })).toMatchObject({ length: 1, labels: Int32Array.of(1) })
    expect(csvDataset('cat,1\ndog,2\n', 't', { header: false, label: '1' })).toMatchObject({
      length: 2,
      classNames: ['cat', 'dog'],
    })
    expect(csvDataset('a,kind\n1,x\n', 't', { label: 'kind' }).classNames).toEqual(['x'])
    expect(() => csvDataset('a,kind\n1,x\n', 't', { label: 'kin' })).toThrow(
      't: it has no column "kin"; did you mean "kind"?; expected one of a, kind, or a number from 1 to 2',
    )
    expect(() => csvDataset(bare, 't', { label: '4' })).toThrow(
      't: it has no column "4"; expected a number from 1 to 3',
    )
  })

  it('is separated by semicolons or tabs too', () => {
    for (const separator of [';', '\t']) {
      const text = ['a', '"b, c"', 'y'].join(separator) + '\r\n' + ['1', '2.5', '1'].join(separator)
      const set = csvDataset(text, 't')
      expect([[...set.fields.values.data], set.labels]).toEqual([[1, 2.5], Int32Array.of(1)])
    }
  })

  it('leaves out the row numbers that pandas writes', () => {
    expect([...csvDataset(',a,y\n0,5,1\n1,6,0\n', 't').fields.values.data]).toEqual([5, 6])
  })

  it('feeds a column to each input, text to those that take strings', () => {
    const inputs = [
      { name: 'age', dtype: 'float32' },
      { name: 'home_town', dtype: 'string' },
      { name: 'id', dtype: 'int64' },
    ] as const
    const set = csvDataset('home town,age,id,label\nRome,31,16777217,1\n,7,2,0\n', 't', { inputs })
    expect(set.fields).toEqual({
      age: { shape: [], data: Float32Array.of(31, 7), kind: 'values' },
      home_town: { shape: [], data: new Uint8Array(0), strings: ['Rome', ''], kind: 'values' },
      id: { shape: [], data: Float64Array.of(16777217, 2), kind: 'values' },
    })
    const text = csvDataset('a,b\nx,1\n', 't', { inputs: [{ name: 'words', dtype: 'string' }] })
    expect(text.fields.values).toMatchObject({ shape: [2], strings: ['x', '1'] })
  })

  it('is text in UTF-8, or is said not to be', () => {
    const table = 'a,b\n1,2\n'
    expect(csvDataset(textOf(new TextEncoder().encode(`\uFEFF${table}`), 't'), 't').length).toBe(1)
    const wide = new Uint8Array([0xff, 0xfe, ...new Uint8Array(Uint16Array.from(table, (c) => c.charCodeAt(0)).buffer)])
    expect(() => textOf(wide, 't')).toThrow('t: it is text in UTF-16; expected a table as text in UTF-8')
    for (const bytes of [wide.subarray(2), Uint8Array.of(0x93, 0xc3, 0x0a, 0x82)])
      expect(() => textOf(bytes, 't')).toThrow('t: it is not text in UTF-8; expected a table as text in UTF-8')
  })

  it('takes missing numbers as NaN where a model takes floats', () => {
    const table = '3,NA,nan\n1,,2\n4,5,n/a\n'
    const { fields, length } = csvDataset(table, 't')
    expect([length, ...(fields.values.data as Float32Array)]).toEqual([3, 3, NaN, NaN, 1, NaN, 2, 4, 5, NaN])
    const whole = [{ name: 'x', dtype: 'int64' as const }]
    expect(() => csvDataset(table, 't', { inputs: whole })).toThrow('row 1 of column "2" holds "NA" where a number')
  })

  it('names a decimal comma', () => {
    expect(() => csvDataset('a;b\n1,5;2\n', 't')).toThrow(
      't: row 2 of column "a" holds "1,5", a number with a decimal comma; expected a point, as in 1.5',
    )
  })

  it('names the row that is wrong', () => {
    expect(() => csvDataset('a,b\n1,2\n3\n', 't')).toThrow('t: row 3 has 1 cells; expected 2')
    expect(() => csvDataset('a,b\n1,x\n', 't')).toThrow('t: row 2 of column "b" holds "x" where a number is expected')
    expect(() => csvDataset('a,b\n1,\n2,\n', 't')).toThrow('t: column "b" holds no number; expected some')
    expect(() => csvDataset('"a', 't')).toThrow('a quoted cell has no end')
    expect(() => csvDataset('', 't')).toThrow('t: it holds no rows')
  })
})
