// Line icons, drawn on a 16 px grid. Decorative unless `label` is given: a word is always next to them.
import { html } from "../ui.js";

const PATHS = {
  check: "M3.500 8.500 6.500 11.500 12.500 4.500",
  cross: "M4.500 4.500l7 7M11.500 4.500l-7 7",
  minus: "M4 8h8",
  clock: "M8 4.500V8l2.500 1.500M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z",
  redo: "M12.500 8A4.500 4.500 0 1 1 11 4.700M12.500 2.500v3h-3",
  pause: "M5.500 4v8M10.500 4v8",
  play: "M5 3.500v9l7.500-4.500Z",
  alert: "M8 2.500 14.500 13.500h-13ZM8 6.500v3.500M8 11.800v.2",
  search: "M7 11.500A4.500 4.500 0 1 0 7 2.500a4.500 4.500 0 0 0 0 9ZM10.500 10.500l3 3",
  copy: "M5.500 5.500v-3h8v8h-3M2.500 5.500h8v8h-8Z",
  down: "M4 6l4 4 4-4",
  up: "M4 10l4-4 4 4",
  left: "M10 4 6 8l4 4",
  right: "M6 4l4 4-4 4",
  menu: "M2.500 4h11M2.500 8h11M2.500 12h11",
  more: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  external: "M9 2.500h4.500V7M13.500 2.500 7.500 8.500M11.500 9.500v4h-9v-9h4",
  download: "M8 2.500v7.500M4.500 7 8 10.500 11.500 7M2.500 13.500h11",
  eye: "M1.500 8S4 3.500 8 3.500 14.500 8 14.500 8 12 12.500 8 12.500 1.500 8 1.500 8ZM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  plus: "M8 3v10M3 8h10",
  filter: "M2 3.500h12M4.500 8h7M6.500 12.500h3",
  link: "M6.500 9.500a3 3 0 0 0 4.200 0l2-2a3 3 0 0 0-4.200-4.200l-.8.8M9.500 6.500a3 3 0 0 0-4.200 0l-2 2a3 3 0 0 0 4.200 4.200l.8-.8",
  overview: "M2.500 13.500v-5M6.200 13.500v-9M9.900 13.500v-6M13.500 13.500v-11",
  deliveries: "M2 8h8.500M7.500 4.500 11 8l-3.500 3.500M13.500 3v10",
  events: "M9 1.800 3.500 9H8l-1 5.200L12.500 7H8Z",
  webhooks:
    "M8 6.500 5.500 11M8 6.500a2 2 0 1 1 2-2M10.500 11h-5M5.500 11a2 2 0 1 1-2-2M8.500 6.500l2.500 4.500a2 2 0 1 1 1.500 2.200",
  integrations: "M5.500 2.500v3M10.500 2.500v3M3.500 5.500h9v2.500a4.500 4.500 0 0 1-9 0ZM8 12.500v2",
  source: "M8 2v7M5 6.500 8 9.500 11 6.500M2.500 10.500v3h11v-3",
  keys: "M6 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8.200 7.800 13.500 2.500M11 5l2 2",
  users:
    "M6 7.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5ZM1.500 13.500c0-2.500 2-4 4.500-4s4.500 1.500 4.500 4M10.500 2.800a2.500 2.500 0 0 1 0 4.400M12 9.800c1.500.5 2.500 1.900 2.500 3.700",
  apps: "M2.500 2.500h4v4h-4ZM9.500 2.500h4v4h-4ZM2.500 9.500h4v4h-4ZM9.500 9.500h4v4h-4Z",
  retention: "M3 4.500h10M6 4.500v-2h4v2M4 4.500l.7 9h6.600l.7-9M6.700 7v4M9.300 7v4",
  bell: "M4 11.500c.800-1 1-2 1-4a3 3 0 0 1 6 0c0 2 .200 3 1 4ZM6.800 13.500h2.400M8 4.500v-2",
  logs: "M3.500 2.500h9v11h-9ZM6 5.500h4M6 8h4M6 10.500h2.500",
  about: "M8 7.500V11M8 5v.01M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z",
  account:
    "M8 8a2.700 2.700 0 1 0 0-5.400A2.700 2.700 0 0 0 8 8ZM2.800 13.800c.4-2.500 2.500-4 5.200-4s4.800 1.500 5.200 4",
};

export function Icon({ name, label, size = 16 }) {
  return html`<svg
    class="icon"
    width=${size}
    height=${size}
    viewBox="0 0 16 16"
    fill="none"
    stroke="currentColor"
    stroke-width="1.500"
    stroke-linecap="round"
    stroke-linejoin="round"
    role=${label ? "img" : undefined}
    aria-label=${label}
    aria-hidden=${label ? undefined : "true"}
  >
    <path d=${PATHS[name]} />
  </svg>`;
}

/** The logo, as in icon.svg. The name is always next to it. */
export const Logo = ({ size }) =>
  html`<svg width=${size} height=${size} viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="7" fill="#1d4f91" />
    <path
      d="M9 24V8h8.500a5.500 5.500 0 0 1 0 11H13"
      fill="none"
      stroke="#fff"
      stroke-width="3"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
    <path d="M18.500 19 24 24.500" fill="none" stroke="#9cc3f5" stroke-width="3" stroke-linecap="round" />
  </svg>`;
