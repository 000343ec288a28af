/** To be drawn. */
export default function ModelDetails() {
  return null;
}
