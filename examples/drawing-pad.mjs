/** A square to draw a digit in, for the pages here. */

/** Calls `drawn` with the drawing as 28 x 28 values from 0 to 1, each the mean of its pixels, whenever the pen is lifted. */
export function drawingPad(canvas, drawn) {
  const pen = canvas.getContext('2d', { willReadFrequently: true })
  const { width, height } = canvas
  const cell = width / 28
  pen.lineWidth = width / 12
  pen.lineCap = pen.lineJoin = 'round'
  pen.strokeStyle = '#fff'
  function pixels() {
    const { data } = pen.getImageData(0, 0, width, height)
    const means = new Float32Array(28 * 28)
    for (let i = 0; i < width * height; i++) {
      const [x, y] = [i % width, Math.floor(i / width)]
      means[Math.floor(y / cell) * 28 + Math.floor(x / cell)] += data[4 * i] / 255 / cell ** 2
    }
    return means
  }
  canvas.onpointerdown = ({ offsetX, offsetY }) => {
    pen.beginPath()
    pen.moveTo(offsetX, offsetY)
  }
  canvas.onpointermove = ({ buttons, offsetX, offsetY }) => {
    if (buttons === 0) return
    pen.lineTo(offsetX, offsetY)
    pen.stroke()
  }
  canvas.onpointerup = () => drawn(pixels())
  return { clear: () => pen.clearRect(0, 0, width, height) }
}
