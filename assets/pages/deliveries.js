// The delivery log: one row for each delivery, or for each attempt. The address holds search, filters, order, page and
// the open row.
import { html, useEffect, useMemo, useRef, useState } from "../ui.js";
import { PLACE, isSlow, listOf, orderOf, there, viewOf } from "../ahead.js";
import { get, getAll } from "../api.js";
import { amend, route } from "../router.js";
import { appId, may, timeMode } from "../state.js";
import { useKeys } from "../components/keyboard.js";
import { Lazy } from "../components/lazy.js";
import { useEvery, useLoad } from "../components/load.js";
import { Page } from "../components/page.js";
import { DataTable, Pages } from "../components/table.js";
import { webhookName } from "../components/webhook-picker.js";
import { columnsOf } from "./deliveries/columns.js";
import { choose, filterOf, inWords, moveOn } from "./deliveries/filter.js";
import { keyIn, useLive } from "./deliveries/live.js";
import { usePaused } from "./deliveries/paused.js";
import { Announce, Chosen, Export, LogLine, NoRows, Refusal } from "./deliveries/parts.js";
import { Toolbar } from "./deliveries/toolbar.js";

// The first rows do not wait for what comes with a click.
const loadPanel = () => import("./deliveries/detail.js");
const retries = () => import("./deliveries/retry.js");

export default function Deliveries() {
  const { query } = route.value;
  const asked = PLACE.map((n) => query.get(n)).join();
  const wanted = JSON.stringify(
    [...query].filter(([n]) => !["open", "app", ...PLACE].includes(n)),
  );
  const filter = useMemo(() => filterOf(query), [wanted]);
  const view = viewOf(query);
  const slow = isSlow(filter);
  const sort = orderOf(query, filter);
  const keyOf = keyIn(view);
  const onFirst = !query.get("page") && !query.get("cursor");

  // The first rows were requested before this module was loaded; if they are there already, they are rendered at once.
  const question = listOf(query, filter);
  const list = useLoad((signal) => get(...question, { signal }), [filter, asked], true, () => there(question));
  const ready = Boolean(list.data || list.error);
  const types = useLoad((signal) => getAll("v1/event-types", {}, { signal }), [], ready);
  const jobs = useLoad(
    async (signal) =>
      (await get("v1/jobs", { per_page: 5 }, { signal })).data.find(
        (j) => j.attributes.kind === "retry" && j.attributes.status === "running",
      ),
    [],
    ready,
  );
  useEvery(10_000, jobs.reload, Boolean(jobs.data));
  const live = useLive(filter, list.data?.data, ready && !list.error, view);

  const rows = useMemo(() => list.data?.data.map((r) => live.changed.get(keyOf(r)) ?? r), [list.data, live.changed, view]);
  const due = Boolean(rows?.some(({ attributes: a }) => a.status === "pending" || a.next_retry_at));
  const paused = usePaused(due);
  const hooks = useLoad(
    async (signal) => (await get("v1/webhooks", { per_page: 1 }, { signal })).meta.total,
    [],
    rows?.length === 0,
  );
  const [fresh, setFresh] = useState(null);
  const [chosen, setChosen] = useState(() => new Map());
  const [cursor, setCursor] = useState(null);
  const open = query.get("open") ? Number(query.get("open")) : null;
  const searchRef = useRef(null);

  // A selection belongs to the filter under which it was made.
  useEffect(() => {
    setChosen(new Map());
    setCursor(null);
  }, [wanted, view, appId.value]);
  // A cursor of another filter or another day is of no use: start at the first page.
  useEffect(() => {
    if (list.error?.fields?.cursor) amend({ cursor: null, page: null }, { replace: true });
  }, [list.error]);

  const showNew = () => {
    setFresh(view === "attempts" ? new Set(live.news) : null);
    live.taken();
    moveOn();
    if (onFirst && !query.get("sort")) list.reload();
    else amend({ page: null, cursor: null, sort: null });
    scrollTo({ top: 0 });
  };
  const show = (id, how) => amend({ open: id }, how);
  const close = () => {
    amend({ open: null });
    focusRow(open ?? cursor);
  };
  const openRow = (row) => {
    setCursor(row.id);
    show(row.id, { replace: Boolean(open) });
  };
  // A retried row stays where it is and says so; its new attempt is announced once it has finished.
  const superseded = (row) => {
    if (row?.attributes.status === "exhausted")
      live.patch({ ...row, attributes: { ...row.attributes, status: "failed", next_retry_at: null } });
  };
  // A delivery that is sent now is due; its row says how it went once the attempt has finished.
  const sentNow = (row) => live.patch({ ...row, attributes: { ...row.attributes, due_at: new Date().toISOString() } });
  const retried = (row) => async () => {
    const made = await (await retries()).retryOne(row);
    if (made && row.attributes.status === "pending") sentNow(row);
    else if (made && made.attributes.delivery_id === row.attributes.delivery_id) superseded(row);
  };

  const move = (by) => {
    if (!rows?.length) return;
    const at = rows.findIndex((r) => r.id === (cursor ?? open));
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    setCursor(next.id);
    if (open) show(next.id, { replace: true });
    else focusRow(next.id);
  };
  const current = () => rows?.find((r) => r.id === (open ?? cursor));
  useKeys({
    "/": () => searchRef.current?.focus(),
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => (cursor ? move(1) : false),
    ArrowUp: () => (cursor ? move(-1) : false),
    Enter: (e) => (e.target.closest("a,button,input") || !current() ? false : openRow(current())),
    Escape: () => (open ? close() : chosen.size ? setChosen(new Map()) : false),
    r: () => {
      const row = current();
      if (row && may("admin")) retried(row)();
      else return false;
      return true;
    },
    x: () => {
      const row = current();
      if (!row || !may("admin")) return false;
      toggle(row);
      return true;
    },
    n: () => (live.news.size ? showNew() : false),
  });
  const toggle = (row) =>
    setChosen((m) => {
      const next = new Map(m);
      if (!next.delete(row.id)) next.set(row.id, row);
      return next;
    });
  const select = (keys) =>
    setChosen((m) => new Map([...keys].map((k) => [k, m.get(k) ?? rows.find((r) => r.id === k)])));

  const act = useRef({});
  act.current = { openRow, retried };
  const columns = useMemo(
    () =>
      columnsOf({
        view,
        sorts: !slow,
        paused,
        onOpen: (row) => act.current.openRow(row),
        onRetry: (row) => () => act.current.retried(row)(),
      }),
    [paused, view, slow, timeMode.value],
  );
  const retryThese = async () => {
    if (!(await (await retries()).retryChosen([...chosen.values()]))) return;
    chosen.forEach(superseded);
    setChosen(new Map());
  };
  const retryMatching = async () => {
    const name = filter.endpoint_id && (chosenName ?? (await webhookName(filter.endpoint_id)));
    if (!(await (await retries()).retryAll({ ...filter, view }, inWords(query, name)))) return;
    setChosen(new Map());
    live.taken();
    list.reload();
    jobs.reload();
  };
  const showJob = async () => {
    await (await retries()).showRetry(jobs.data);
    jobs.reload();
  };
  const chosenName = filter.endpoint_id ? rows?.[0]?.attributes.endpoint_name : undefined;
  const ofDelivery = (made) => rows?.filter((r) => r.attributes.delivery_id === made.attributes.delivery_id) ?? [];

  return html`<${Page}
    title="Webhook deliveries"
    actions=${may("admin") && html`<${Export} filter=${{ ...filter, view }} sort=${sort} meta=${list.data?.meta} />`}
  >
    <${Toolbar} types=${types.data} webhook=${chosenName} searchRef=${searchRef} />
    <section class="card flush" aria-label="Delivery log">
      <${LogLine} view=${view} list=${list} live=${live} job=${jobs.data} onJob=${showJob} onNew=${showNew} />
      <${Announce} count=${live.news.size} />
      ${list.error && html`<${Refusal} list=${list} />`}
      ${
        (list.data || !list.error) &&
        html`<${DataTable}
            caption=${view === "deliveries" ? "Deliveries, newest activity first unless sorted" : "Delivery attempts, newest first unless sorted"}
            columns=${columns}
            rows=${rows}
            empty=${html`<${NoRows} query=${query} list=${list.data} webhooks=${hooks.data} />`}
            busy=${list.loading}
            skeleton=${12}
            sort=${sort}
            onSort=${slow ? undefined : (s) => choose({ sort: /last_activity_at$/.test(s ?? "") ? null : s })}
            selected=${new Set(chosen.keys())}
            onSelect=${may("admin") ? select : undefined}
            onOpen=${openRow}
            active=${open ?? cursor}
            fresh=${fresh}
          />
          <${Pages} list=${list.data} noun="" />`
      }
    </section>
    ${
      chosen.size > 0 &&
      html`<${Chosen}
        count=${chosen.size}
        meta=${list.data?.meta}
        clear=${() => setChosen(new Map())}
        retry=${retryThese}
        all=${slow ? null : retryMatching}
        pending=${filter.status?.join() === "pending"}
      />`
    }
    ${
      open &&
      html`<${Lazy}
        load=${loadPanel}
        name="Panel"
        id=${open}
        onShow=${(id) => show(id, { replace: true })}
        onClose=${close}
        onRetried=${(made) => ofDelivery(made).forEach(superseded)}
      />`
    }
  <//>`;
}

function focusRow(id) {
  requestAnimationFrame(() => {
    const row = document.querySelector(`tr[data-key="${Number(id)}"]`);
    row?.querySelector("a.view")?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  });
}
