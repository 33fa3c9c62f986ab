/** `coppice/report`: what a report says as plain data, and that as text and as one HTML file. */
export { type ConstantRows, constantRows, type RowOptions } from '../report/constant-rows.ts'
export { renderHtml } from '../report/html.ts'
export type { InputFacts, LayerRow, Report, Untouched } from '../report/report.ts'
export { type ComparisonRow, comparisonRows, factRows, type JudgedRow, judgedRows } from '../report/rows.ts'
export { renderScan, type ScanPage } from '../report/scan-html.ts'
export { renderText } from '../report/text.ts'
export { renderTraining } from '../report/train-html.ts'
export { type CurvePoint, curveRecorder, type TestScore, type TrainReport } from '../report/train-report.ts'
