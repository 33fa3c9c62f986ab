/** How far each weight tensor alone can be pruned: the library's own curves. */
import type { OptionTable } from 'coppice'
import { useState } from 'preact/hooks'
import { textFile } from '../files.ts'
import { busy, data, scan, scanned } from '../state.ts'
import { DataPart } from './data.tsx'
import { OptionForm, readTexts, type Texts } from './options.tsx'
import { Download, Failure, JobView } from './parts.tsx'
import { ReportFrame } from './result.tsx'

const table = {
  samples: { type: 'number', default: 500, min: 1, max: 1e6, integer: true, help: 'training samples to measure on' },
  maxLoss: {
    type: 'number',
    default: 1,
    min: 0,
    max: 100,
    help: 'most points of accuracy that pruning one tensor may lose',
  },
} as const satisfies OptionTable

export function ScanView() {
  const [texts, setTexts] = useState<Texts>({})
  const { words, wrong } = readTexts(table, texts)
  const options = { samples: table.samples.default, maxLoss: table.maxLoss.default, ...words }
  return (
    <>
      <section class="card">
        <h2>Scan</h2>
        <p>Prunes each weight tensor alone, further and further, and draws what is left of the accuracy.</p>
        <DataPart needed="It needs data with labels: a folder for each class, an .npz or a .csv" />
        <OptionForm id="scan" table={table} texts={texts} onChange={setTexts} disabled={busy.value} />
        <div class="actions">
          <button
            type="button"
            class="primary"
            disabled={busy.value || !data.value || Object.keys(wrong).length > 0}
            onClick={() => scan(options)}
          >
            Scan
          </button>
        </div>
        <JobView />
        <Failure place="scan" />
      </section>
      {scanned.value && (
        <section class="card" aria-label="Curves">
          <Download made={textFile('scan.html', scanned.value)} what="Download the curves" />
          <ReportFrame html={scanned.value} />
        </section>
      )}
    </>
  )
}
