/** To be drawn. */
export default function DevicePanel() {
  return null;
}
