/** After the first visit the page works without a network: a service worker keeps its files. */
import { signal } from '@preact/signals'

export const offline = signal<'no' | 'ready'>('no')

/** Begins once the page is shown. There is no service worker in development, and none where the browser allows none. */
export function keepOffline(): void {
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return
  const begin = async (): Promise<void> => {
    try {
      await navigator.serviceWorker.register('./service-worker.js')
      await navigator.serviceWorker.ready
      offline.value = 'ready'
    } catch {
      // Private windows and some hosts allow none: the page works, online alone.
    }
  }
  if (document.readyState === 'complete') void begin()
  else addEventListener('load', () => void begin(), { once: true })
}
