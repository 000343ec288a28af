import classes from "./BlockDiagram.module.css";
import type { Kind } from "./hooks";

/** What the places below are measured in. */
export const WIDTH = 800;
export const HEIGHT = 284;

const STREAM = 236;
const MIDDLE = 104;
const ATTENDED = 302;
const COMPUTED = 522;

/** Where each hook point's middle is. */
export const PLACES: Record<Kind, readonly [x: number, y: number]> = {
  embed: [54, STREAM],
  resid_pre: [164, STREAM],
  q: [180, MIDDLE - 36],
  k: [180, MIDDLE],
  v: [180, MIDDLE + 36],
  z: [254, MIDDLE],
  attn_out: [ATTENDED, 188],
  resid_mid: [386, STREAM],
  mlp_act: [436, MIDDLE],
  mlp_out: [COMPUTED, 188],
  resid_post: [590, STREAM],
  final_norm: [722, STREAM],
};

interface Props {
  /** Whether the MLP reads the block's input, as attention does. */
  parallel: boolean;
  numLayers: number;
}

/** The picture behind the hook points: the residual stream, and what the block adds to it. */
export function Drawing({ parallel, numLayers }: Props) {
  return (
    <svg className={classes.drawing} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <defs>
        <marker
          id="wire-head"
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="8"
          markerHeight="8"
          orient="auto"
        >
          <path d="M0 0.5 7.5 4 0 7.5z" className={classes.wireHead} />
        </marker>
      </defs>
      <rect x="106" y="14" width="548" height="256" rx="14" className={classes.frame} />
      <text x="638" y="40" textAnchor="end" className={classes.count}>
        {numLayers === 1 ? "1 block" : `Block × ${numLayers}`}
      </text>
      {parallel && (
        <text x="638" y="58" textAnchor="end" className={classes.caption}>
          attention and MLP side by side
        </text>
      )}
      <path d={`M16 ${STREAM}H776`} className={classes.stream} />
      <path d={`M774 ${STREAM - 9}l16 9-16 9z`} className={classes.streamHead} />
      <Attention />
      <Mlp parallel={parallel} />
      <Sum x={ATTENDED} />
      <Sum x={COMPUTED} />
    </svg>
  );
}

function Attention() {
  const bus = `M136 ${STREAM - 14}V${MIDDLE - 36}`;
  return (
    <>
      <rect x="122" y="40" width="164" height="128" rx="10" className={classes.attention} />
      <text x="274" y="60" textAnchor="end" className={classes.part}>
        Attention
      </text>
      <g className={classes.wire}>
        <path d={bus} />
        {[-36, 0, 36].map((up) => (
          <path key={up} d={`M136 ${MIDDLE + up}H157`} markerEnd="url(#wire-head)" />
        ))}
        <path d={`M203 ${MIDDLE - 36}C222 ${MIDDLE - 36} 214 ${MIDDLE} 232 ${MIDDLE}`} />
        <path d={`M203 ${MIDDLE}H231`} markerEnd="url(#wire-head)" />
        <path d={`M203 ${MIDDLE + 36}C222 ${MIDDLE + 36} 214 ${MIDDLE} 232 ${MIDDLE}`} />
        <path d={`M276 ${MIDDLE}H${ATTENDED - 10}q10 0 10 10V174`} />
        <path d={`M${ATTENDED} 202V${STREAM - 13}`} markerEnd="url(#wire-head)" />
      </g>
    </>
  );
}

function Mlp({ parallel }: { parallel: boolean }) {
  const input = parallel
    ? `M136 ${MIDDLE - 36}V36q0 -10 10 -10H352q10 0 10 10V${MIDDLE - 10}q0 10 10 10H390`
    : `M362 ${STREAM - 14}V${MIDDLE + 10}q0 -10 10 -10H390`;
  return (
    <>
      <rect x="348" y="66" width="146" height="76" rx="10" className={classes.mlp} />
      <text x="482" y="84" textAnchor="end" className={classes.part}>
        MLP
      </text>
      <g className={classes.wire}>
        <path d={input} markerEnd="url(#wire-head)" />
        <path d={`M482 ${MIDDLE}H${COMPUTED - 10}q10 0 10 10V174`} />
        <path d={`M${COMPUTED} 202V${STREAM - 13}`} markerEnd="url(#wire-head)" />
      </g>
    </>
  );
}

/** Where the stream takes something up. */
function Sum({ x }: { x: number }) {
  return (
    <g>
      <circle cx={x} cy={STREAM} r="11" className={classes.sum} />
      <path d={`M${x - 5} ${STREAM}h10M${x} ${STREAM - 5}v10`} className={classes.plus} />
    </g>
  );
}
