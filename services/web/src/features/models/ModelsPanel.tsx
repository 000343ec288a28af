/** To be drawn. */
export default function ModelsPanel() {
  return null;
}
