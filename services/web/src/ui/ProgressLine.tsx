import { StateLines } from "./StateLines";

interface Props {
  /** 0 to 100. */
  value: number;
  /** What is going on. */
  label: string;
  /** Figures: how much, how fast, how long still. */
  detail?: string | null;
}

/** Long work on its way. */
export function ProgressLine({ value, label, detail = null }: Props) {
  return (
    <StateLines label={label} figure={`${Math.floor(value)} %`} value={value} detail={detail} />
  );
}
