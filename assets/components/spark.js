// A day at a glance: a bar for each hour, failed deliveries on top.
import { html } from "../ui.js";
import { number, plural } from "../format.js";

const WIDTH = 96,
  HEIGHT = 26;

/** `series`: `{start, delivered, exhausted}` by the hour, the current one last. */
export function Sparkline({ series }) {
  const most = Math.max(...series.map((s) => s.delivered + s.exhausted), 1);
  const delivered = series.reduce((sum, s) => sum + s.delivered, 0);
  const failed = series.reduce((sum, s) => sum + s.exhausted, 0);
  const words = `Last ${series.length} hours: ${number(delivered)} delivered, ${number(failed)} failed; at most ${plural(most, "delivery", "deliveries")} an hour`;
  const step = WIDTH / series.length;
  // Even a single delivery is visible.
  const tall = (n) => (n ? Math.max(1.5, (n / most) * (HEIGHT - 2)) : 0);
  return html`<svg class="spark" width=${WIDTH} height=${HEIGHT} viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${words}><title>${words}</title>
    <line class="axis" x1="0" x2=${WIDTH} y1=${HEIGHT - 0.5} y2=${HEIGHT - 0.5} />
    ${series.map((s, i) => {
      const ok = tall(s.delivered),
        bad = tall(s.exhausted);
      return html`<g key=${s.start}>
      ${ok > 0 && html`<rect class="ok" x=${i * step + 0.4} y=${HEIGHT - 1 - ok} width=${step - 0.8} height=${ok} />`}${bad > 0 && html`<rect class="bad" x=${i * step + 0.4} y=${HEIGHT - 1 - ok - bad} width=${step - 0.8} height=${bad} />`}</g>`;
    })}</svg>`;
}
