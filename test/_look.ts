/** What can be told of a page without eyes: contrast, names of controls, focus, widths. Runs in the page. */
import type { Page } from 'playwright-core'

type Colour = readonly [red: number, green: number, blue: number, alpha: number]

/** WCAG 2.2's contrast of two opaque colours, 1 to 21. */
export function contrast(a: Colour | readonly number[], b: Colour | readonly number[]): number {
  const luminance = (c: readonly number[]): number => {
    const [r, g, blue] = c
      .slice(0, 3)
      .map((v) => (v <= 0.04045 * 255 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue
  }
  const [most, least] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (most + 0.05) / (least + 0.05)
}

interface Seen {
  readonly what: string
  readonly text: Colour
  /** Those that may lie behind it, from the topmost on that hides all others. */
  readonly grounds: readonly Colour[]
}

/** All texts that are shown, with their colours. Disabled controls are left out, as WCAG does. */
async function texts(page: Page): Promise<Seen[]> {
  return page.evaluate(() => {
    type C = readonly [number, number, number, number]
    const parse = (text: string): C[] =>
      [...text.matchAll(/rgba?\(([^)]+)\)/g)].map(([, inner]) => {
        const [r, g, b, a = 1] = inner.split(/[ ,/]+/).map(Number)
        return [r, g, b, a] as const
      })
    const over = (top: C, under: C): C => {
      const mix = (i: 0 | 1 | 2) => top[i] * top[3] + under[i] * (1 - top[3])
      return [mix(0), mix(1), mix(2), 1]
    }
    /** What lies behind an element's text: several where a gradient does. */
    const grounds = (element: Element | null): C[] => {
      if (!element) return [parse(getComputedStyle(document.body).backgroundColor)[0]]
      const { backgroundColor, backgroundImage } = getComputedStyle(element)
      const own = [...parse(backgroundColor), ...parse(backgroundImage)].filter((c) => c[3] > 0)
      if (own.some((c) => c[3] === 1) && !own.some((c) => c[3] < 1) && backgroundImage === 'none') return own
      const behind = grounds(element.parentElement)
      return [
        ...own.flatMap((c) => behind.map((b) => over(c, b))),
        ...(parse(backgroundColor)[0][3] === 1 ? [] : behind),
      ]
    }
    const found: { what: string; text: C; grounds: C[] }[] = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement
      const said = node.textContent?.trim()
      if (!element || !said || !element.checkVisibility({ visibilityProperty: true })) continue
      if (element.closest(':disabled, script, style, noscript, .hidden')) continue
      let shown = 1
      for (let e: Element | null = element; e; e = e.parentElement) shown *= Number(getComputedStyle(e).opacity)
      const behind = grounds(element)
      const [r, g, b, a] = parse(getComputedStyle(element).color)[0]
      found.push({ what: said.slice(0, 60), text: over([r, g, b, a * shown], behind[0]), grounds: behind })
    }
    return found
  })
}

/** Texts whose contrast is below that of WCAG's level AA. */
export async function faintTexts(page: Page): Promise<string[]> {
  return (await texts(page)).flatMap(({ what, text, grounds }) => {
    const least = Math.min(...grounds.map((ground) => contrast(text, ground)))
    return least < 4.5 ? [`${what}: ${least.toFixed(2)}`] : []
  })
}

/** Roles that say nothing without a name. */
const named = new Set(
  'button link textbox combobox listbox checkbox radio slider spinbutton tab tabpanel tablist progressbar image region table Iframe DisclosureTriangle'.split(
    ' ',
  ),
)

/** What a screen reader cannot tell: controls and regions without a name. */
export async function namelessControls(page: Page): Promise<{ nameless: string[]; controls: number }> {
  const session = await page.context().newCDPSession(page)
  const { nodes } = await session.send('Accessibility.getFullAXTree')
  await session.detach()
  const controls = nodes.filter((n) => !n.ignored && named.has(String(n.role?.value)))
  const nameless = controls.filter((n) => !String(n.name?.value ?? '').trim()).map((n) => String(n.role?.value))
  return { nameless, controls: controls.length }
}

/** Moves through everything with the Tab key; what shows no clear outline then. */
export async function unseenFocus(page: Page): Promise<{ unseen: string[]; stops: number }> {
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur())
  const unseen: string[] = []
  const seen = new Set<string>()
  for (let stop = 0; stop < 200; stop++) {
    await page.keyboard.press('Tab')
    const at = await page.evaluate(() => {
      const element = document.activeElement
      if (!element || element === document.body || element.tagName === 'IFRAME') return undefined
      const all = [...document.querySelectorAll('*')]
      const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element)
      const ground = getComputedStyle(element.closest('.card, .job') ?? document.body).backgroundColor
      const numbers = (text: string) => text.match(/[\d.]+/g)?.map(Number) ?? []
      return {
        place: String(all.indexOf(element)),
        what: `${element.tagName} ${element.textContent?.trim().slice(0, 40) ?? ''}`,
        outline: outlineStyle === 'none' ? 0 : Number.parseFloat(outlineWidth),
        colour: numbers(outlineColor),
        ground: numbers(ground),
      }
    })
    if (!at) {
      if (seen.size > 0) break
      continue
    }
    if (seen.has(at.place)) break
    seen.add(at.place)
    if (at.outline < 2 || contrast(at.colour, at.ground) < 3) unseen.push(at.what)
  }
  return { unseen, stops: seen.size }
}

/** Controls that a finger misses (WCAG 2.5.8), and how much wider than the window the page is. */
export async function sizes(page: Page): Promise<{ small: string[]; tooWide: number }> {
  return page.evaluate(() => {
    const controls = [...document.querySelectorAll<HTMLElement>('button, select, input, summary')]
    const small = controls.filter((c) => {
      if (!c.checkVisibility()) return false
      // What lies in a label is pressed by the label.
      const { width, height } = (c.closest('label') ?? c).getBoundingClientRect()
      return width < 24 || height < 24
    })
    return {
      small: small.map((c) => `${c.tagName} ${c.id || c.textContent}`),
      tooWide: document.documentElement.scrollWidth - innerWidth,
    }
  })
}
