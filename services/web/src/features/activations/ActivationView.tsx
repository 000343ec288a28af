/** To be drawn. */
export default function ActivationView() {
  return null;
}
