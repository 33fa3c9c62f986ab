/**
 * How the page is built: coppice's public names are read from its sources, so that no build of the library comes first. The
 * build goes to dist/page, which the package brings along and `coppice serve` shows.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Plugin } from 'vite'

const exported = join(import.meta.dirname, '../src/exports')
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  version: string
}

/** What the page may load: its own files alone. Reports are shown in a frame, with the style that they hold. */
const policy = [
  "default-src 'none'",
  "connect-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob: data:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

function contentPolicy(): Plugin {
  return {
    name: 'content-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
        injectTo: 'head-prepend',
      },
    ],
  }
}

/** Writes the service worker, with the list of all files of the build. */
function offline(): Plugin {
  return {
    name: 'offline',
    apply: 'build',
    enforce: 'post',
    generateBundle(_, bundle) {
      // The build of each worker comes here too; the page's own is the one with the page in it.
      if (!('index.html' in bundle)) return
      const files = [
        './',
        './icon.svg',
        ...Object.keys(bundle)
          .filter((name) => name !== 'index.html')
          .map((name) => `./${name}`),
      ]
      const hash = createHash('sha256')
      for (const part of Object.values(bundle)) hash.update('source' in part ? part.source : part.code)
      const source = readFileSync(join(import.meta.dirname, 'service-worker.js'), 'utf8')
        .replace('__FILES__', JSON.stringify(files))
        .replace('__BUILD__', JSON.stringify(hash.digest('hex').slice(0, 12)))
      this.emitFile({ type: 'asset', fileName: 'service-worker.js', source })
    },
  }
}

/** With these a page may use threads. */
const isolated = {
  'Document-Isolation-Policy': 'isolate-and-require-corp',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

export default defineConfig({
  root: import.meta.dirname,
  // Any folder of any host.
  base: './',
  define: { __VERSION__: JSON.stringify(version) },
  resolve: {
    alias: [
      { find: /^coppice$/, replacement: join(exported, 'index.ts') },
      { find: /^coppice\/(\w+)$/, replacement: join(exported, '$1.ts') },
    ],
  },
  worker: { format: 'es' },
  build: {
    outDir: '../dist/page',
    emptyOutDir: true,
    target: 'es2023',
    // The worker is large, and loaded after the page.
    chunkSizeWarningLimit: 2000,
    modulePreload: { polyfill: false },
  },
  server: { headers: isolated },
  preview: { headers: isolated },
  plugins: [contentPolicy(), offline()],
})
