// Charts over time with uPlot, which is loaded with the first chart. Its place has the final height before that.
import { html, useEffect, useRef, useState } from "../ui.js";
import { local, utc } from "../format.js";
import { timeMode } from "../state.js";

let loading;
function library() {
  loading ??= Promise.all([
    import("../vendor/uplot/uplot.js"),
    stylesheet(new URL("../vendor/uplot/uplot.css", import.meta.url)),
  ]).then(([m]) => m.default);
  return loading;
}
const stylesheet = (url) =>
  new Promise((done) => {
    const link = Object.assign(document.createElement("link"), {
      rel: "stylesheet",
      href: url,
      onload: done,
      onerror: done,
    });
    document.head.append(link);
  });

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * `times` are the beginnings of the steps (RFC 3339), `step` their length in ms. `series`: `{name, values, tone}`;
 * stacked bars when `stacked`, else lines. `say` formats a value, `axis` one on the axis. `label` names the chart.
 */
export function Chart({ times, step, series, stacked, counts = stacked, say, axis = say, label, height = 200 }) {
  const place = useRef(null);
  const [at, setAt] = useState(null);
  const [scheme, setScheme] = useState(0);
  const mode = timeMode.value;
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const turn = () => setScheme((n) => n + 1);
    dark.addEventListener("change", turn);
    return () => dark.removeEventListener("change", turn);
  }, []);
  useEffect(() => {
    let plot = null,
      gone = false,
      watch = null;
    library().then((uPlot) => {
      if (gone) return;
      const box = place.current;
      plot = new uPlot(
        options(uPlot, { width: box.clientWidth, height, step, series, stacked, counts, axis, setAt, zone: mode }),
        data(times, series, stacked),
        box,
      );
      watch = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height }));
      watch.observe(box);
    });
    return () => {
      gone = true;
      watch?.disconnect();
      plot?.destroy();
    };
  }, [JSON.stringify([times, series.map((s) => s.values), height]), scheme, mode]);
  const moment = (i, over = 0) => (mode === "utc" ? utc : local)(Date.parse(times[i]) + over).slice(0, 16);
  const now = at !== null && times[at] ? at : null;
  return html`<figure class="chart" aria-label=${label}>
    <figcaption class="chart-legend">
      <span class="muted num"
        >${now === null ? label : `${moment(now)} – ${moment(now, step).slice(step >= 86_400_000 ? 0 : 11)}`}</span
      >
      ${series.map((s) => html`<span key=${s.name}><i class="swatch ${s.tone}"></i>${s.name} ${now !== null && html`<b class="num">${say(s.values[now])}</b>`}</span>`)}
    </figcaption>
    <div class="chart-place" style=${{ height: `${height}px` }} ref=${place} aria-hidden="true"></div>
    <details class="chart-table">
      <summary>Show as table</summary>
      <div class="chart-scroll" tabindex="0" role="region" aria-label="${label}, as a table">
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              ${series.map((s) => html`<th scope="col">${s.name}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${times.map(
              (_, i) =>
                html`<tr key=${i}>
                  <th scope="row">${moment(i)}</th>
                  ${series.map((s) => html`<td>${say(s.values[i])}</td>`)}
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  </figure>`;
}

/** uPlot takes columns; stacked ones are sums from the bottom, the tallest drawn first. */
function data(times, series, stacked) {
  const x = times.map((t) => Date.parse(t) / 1000);
  if (!stacked) return [x, ...series.map((s) => s.values)];
  const sums = series.map((_, n) =>
    x.map((__, i) => series.slice(0, n + 1).reduce((sum, s) => sum + (s.values[i] ?? 0), 0)),
  );
  return [x, ...sums.reverse()];
}

function options(uPlot, { width, height, step, series, stacked, counts, axis: words, setAt, zone }) {
  const muted = color("muted"),
    line = color("line");
  const font = `11px ${color("font")}`;
  const tzDate = zone === "utc" ? (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC") : (t) => new Date(t * 1000);
  const axis = { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const bars = uPlot.paths.bars({ size: [0.78, 48], align: 1, radius: 0.15 });
  const shown = stacked ? [...series].reverse() : series;
  return {
    width,
    height,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    tzDate,
    cursor: { y: false, points: { show: !stacked, size: 6 }, drag: { setScale: false } },
    scales: {
      x: { range: (_, min, max) => [min, max + step / 1000] },
      y: { range: (_, __, max) => [0, Math.max(max ?? 0, stacked ? 1 : 10) * 1.06] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 26,
        space: 70,
        values: (u, ticks) => ticks.map((t) => (t > u.scales.x.max - step / 2000 ? "" : clock(tzDate(t)))),
      },
      {
        ...axis,
        // Counts have no halves.
        ...(counts ? { incrs: WHOLE } : {}),
        size: 52,
        space: 36,
        values: (_, ticks) => ticks.map((v) => (Number.isInteger(v) || !counts ? words(v) : "")),
      },
    ],
    series: [
      {},
      ...shown.map((s) =>
        stacked
          ? { fill: color(`${s.tone}-fill`) || color(s.tone), width: 0, paths: bars, points: { show: false } }
          : {
              stroke: color(s.tone === "line" ? "text" : s.tone),
              width: 1.5,
              dash: s.dash,
              spanGaps: false,
              points: { size: 4, show: s.values.filter((v) => v !== null).length < 3 },
            },
      ),
    ],
    hooks: { setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
  };
}

const WHOLE = Array.from({ length: 10 }, (_, n) => [1, 2, 5].map((f) => f * 10 ** n)).flat();
const two = (n) => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** A day is labeled at its start, hours by the 24-hour clock. */
const clock = (d) =>
  d.getHours() === 0 && d.getMinutes() === 0
    ? `${d.getDate()} ${MONTHS[d.getMonth()]}`
    : `${two(d.getHours())}:${two(d.getMinutes())}`;
