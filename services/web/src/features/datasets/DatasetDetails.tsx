/** To be drawn. */
export default function DatasetDetails() {
  return null;
}
