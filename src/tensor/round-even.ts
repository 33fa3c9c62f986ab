/** Rounds to the nearest whole number, halves to the even one, as ONNX's Round and QuantizeLinear do. */
export function roundEven(v: number): number {
  const below = Math.floor(v)
  const rest = v - below
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1
}
