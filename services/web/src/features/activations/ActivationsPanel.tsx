/** To be drawn. */
export default function ActivationsPanel() {
  return null;
}
