/** To be drawn. */
export default function DatasetsPanel() {
  return null;
}
