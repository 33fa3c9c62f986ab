/** Reports in a real browser: on a phone nothing is wider than the screen, and text has contrast, light and dark. */
import { describe, expect, it } from 'vitest'
import { renderHtml } from '../src/report/html.ts'
import { renderScan } from '../src/report/scan-html.ts'
import { renderSweep } from '../src/report/sweep-html.ts'
import { renderTraining } from '../src/report/train-html.ts'
import { exampleReport, longName } from '../src/testing/example-report.ts'
import { exampleRows } from '../src/testing/sweep-rows.ts'
import { missing, withPage } from './_chromium.ts'

const { made, environment } = exampleReport
const curve = (name: string) => ({
  name,
  op: 'Conv',
  dims: [512, 512, 3, 3],
  points: [0.3, 0.6, 0.9].map((sparsity) => ({ sparsity, accuracy: 0.95 - sparsity / 10, loss: 0.3 })),
  collapsed: false,
  recommended: 0.6,
})
const epoch = (i: number) => ({
  epoch: i,
  loss: 1 / (i + 1),
  accuracy: 0.9,
  learningRate: 0.000_012_3,
  validation: { loss: 0.2, accuracy: 0.91 },
})
const pages: Record<string, string> = {
  size: renderHtml(exampleReport),
  speed: renderHtml({ ...exampleReport, goal: 'speed' }),
  scan: renderScan(
    { title: `Sensitivity of ${longName}.onnx`, made, facts: [['data', 'images:pictures']], environment },
    {
      measure: 'accuracy',
      reference: { accuracy: 0.999, loss: 0.1 },
      samples: 2000,
      sparsities: [0.3, 0.6, 0.9],
      maxLoss: 1,
      retrainEpochs: 0,
      curves: [curve(longName), curve('fc')],
    },
  ),
  sweep: renderSweep(
    { title: `${longName}.json`, made, facts: [['models', longName]], environment },
    exampleRows([longName, 'lenet5', 'resnet', 'vgg', 'alexnet']),
  ),
  train: renderTraining('mobilenetv2, trained on images:pictures (train)', {
    model: 'out.onnx',
    made,
    epochs: 12,
    epoch: 11,
    engine: 'blocked',
    seconds: 4000,
    history: Array.from({ length: 12 }, (_, i) => epoch(i)),
    curve: Array.from({ length: 200 }, (_, i) => ({ at: (i + 1) / 17, loss: 1 / (i + 1), accuracy: i / 200 })),
    test: { samples: 10_000, measure: 'top-1', before: 0.1, after: 0.9 },
    options: { schedule: 'step:30,60,90,120,150,180,210,240,270,300,330,360,390,420,450,480', data: 'images:pictures' },
    environment,
  }),
}

/** What of the page reaches beyond the window, and text whose contrast to its ground is below 4.5 (WCAG 2.2, 1.4.3). */
function faults(): string[] {
  const luminance = (color: string): number => {
    const [r, g, b] = (color.match(/[\d.]+/g) ?? []).slice(0, 3).map((v) => {
      const c = Number(v) / 255
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (e: Element | null): string => {
    if (!e) return 'rgb(255, 255, 255)'
    const { backgroundColor } = getComputedStyle(e)
    return /, 0\)$/.test(backgroundColor) ? groundOf(e.parentElement) : backgroundColor
  }
  return [...document.querySelectorAll('body *')].flatMap((e) => {
    const { left, right, width } = e.getBoundingClientRect()
    const name = `${e.tagName} ${e.textContent?.slice(0, 30)}`
    const found = width > 1 && (right > innerWidth + 0.5 || left < -0.5) ? [`${name}: ${left} to ${right}`] : []
    const hasText = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent?.trim())
    if (!hasText || e.namespaceURI?.endsWith('svg')) return found
    const [a, b] = [luminance(getComputedStyle(e).color), luminance(groundOf(e))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    return contrast < 4.5 ? [...found, `${name}: contrast ${contrast.toFixed(2)}`] : found
  })
}

describe.skipIf(missing)(`reports in a browser${missing}`, () => {
  it('fit a phone of 390 and of 320 pixels, and can be read, light and dark', async () => {
    const files = new Map(
      Object.entries(pages).map(([name, html]) => [`/${name}.html`, new TextEncoder().encode(html)]),
    )
    await withPage({ folders: {}, files }, async (page) => {
      const origin = new URL(page.url()).origin
      for (const name of Object.keys(pages)) {
        for (const colorScheme of ['light', 'dark'] as const) {
          for (const width of [320, 390, 1280]) {
            await page.emulateMedia({ colorScheme })
            await page.setViewportSize({ width, height: 844 })
            await page.goto(`${origin}/${name}.html`)
            expect(await page.locator('.tile').count()).toBeGreaterThan(2)
            expect(await page.evaluate(faults), `${name}, ${width} pixels, ${colorScheme}`).toEqual([])
          }
        }
      }
    })
  })
})
