/** Three layers and a path through them. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="var(--mantine-color-iris-6)" />
      <g fill="none" stroke="#fff" strokeWidth="2.4" strokeLinecap="round">
        <path d="M8 23V9M16 23V9M24 23V9" opacity=".45" />
        <path d="M8 19h.01M16 13h.01M24 16h.01" strokeWidth="5.4" />
        <path d="M8 19 16 13l8 3" />
      </g>
    </svg>
  );
}
