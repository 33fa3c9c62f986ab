/**
 * Keeps the whole page on this computer after the first visit, so that it works offline, and answers with the headers that
 * let it use threads where the host sends none. The build writes the list of files into it.
 */
const name = `coppice-${__BUILD__}`
const files = __FILES__

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(name)
      .then((cache) => cache.addAll(files))
      .then(() => self.skipWaiting()),
  )
})

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) =>
        Promise.all(names.filter((n) => n.startsWith('coppice-') && n !== name).map((n) => caches.delete(n))),
      )
      .then(() => self.clients.claim()),
  )
})

self.addEventListener('fetch', (event) => {
  const { request } = event
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return
  event.respondWith(
    caches
      .match(request, { ignoreSearch: true, ignoreVary: true })
      .then(async (kept) => isolated(kept ?? (await fetch(request)))),
  )
})

function isolated(response) {
  if (response.type === 'opaque' || response.status === 0) return response
  const headers = new Headers(response.headers)
  headers.set('Document-Isolation-Policy', 'isolate-and-require-corp')
  headers.set('Cross-Origin-Opener-Policy', 'same-origin')
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp')
  headers.set('Cross-Origin-Resource-Policy', 'same-origin')
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}
