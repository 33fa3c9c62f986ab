/** What a report says of its inputs never names a folder of the machine. */
import { expect, it } from 'vitest'
import { withoutFolders } from './facts.ts'

it('cuts the paths of a data spec down to their last part, and nothing else', () => {
  const report = {
    title: '/layer1/conv1/Conv stays',
    on: '100 samples of npz:/home/someone/data/x.npz (test half)',
    recipe: {
      calibration: { data: 'npz:/home/someone/data/x.npz' },
      steps: [['int8', { exclude: ['/layer1/conv1'] }]],
    },
    numbers: Float32Array.of(1),
  }
  const shown = withoutFolders(report, 'npz:/home/someone/data/x.npz')
  expect(shown).toEqual({
    ...report,
    on: '100 samples of npz:x.npz (test half)',
    recipe: { ...report.recipe, calibration: { data: 'npz:x.npz' } },
  })
  expect(withoutFolders('images:../pictures', 'images:../pictures')).toBe('images:pictures')
  expect(withoutFolders('digits:400 and digits', 'digits:400')).toBe('digits:400 and digits')
  expect(withoutFolders('none', undefined)).toBe('none')
})
