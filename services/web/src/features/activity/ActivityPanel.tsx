/** To be drawn. */
export default function ActivityPanel() {
  return null;
}
