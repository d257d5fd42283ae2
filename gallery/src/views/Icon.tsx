/** Drawn for 24 by 24; what a button does is said by its label. */
const paths = {
  add: "M12 5v14M5 12h14",
  check: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  down: "M6 9l6 6 6-6",
  filter: "M4 6h16M7 12h10M10 18h4",
  info: "M12 11v6M12 7.5v.01M12 21a9 9 0 100-18 9 9 0 000 18z",
  person: "M12 12a4 4 0 100-8 4 4 0 000 8zM4.5 20.5a7.5 7.5 0 0115 0",
  search: "M10.5 17a6.5 6.5 0 100-13 6.5 6.5 0 000 13zM20 20l-4.8-4.8",
  share: "M12 15V4M8 7.5L12 3.500l4 4M6 12v8h12v-8",
  tag: "M4 4h8l8 8-8 8-8-8V4zM8 8v.01",
  trash: "M5 7h14M10 4h4M7 7l1 13h8l1-13M10.500 11v5M13.500 11v5",
  restore: "M4 12a8 8 0 102.500-5.800M4 4v4.500h4.500",
  warning: "M12 9v5M12 17.500v.01M12 3.500L2.500 20h19z",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="glyph" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={paths[name]} fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="glyph" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" fill="#2f6f6d" />
      <circle cx="22" cy="11" r="3" fill="#fff" />
      <path d="M5 25l8-11 6 8 3-4 5 7z" fill="#fff" />
    </svg>
  );
}
