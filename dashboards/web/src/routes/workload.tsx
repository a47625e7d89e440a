// Why a workload has as many replicas as it has: one time axis for load, latency, use, decisions, replicas, alerts.
import { createEffect, createMemo, createSignal, Show } from "solid-js";
import type uPlot from "uplot";
import { ApiError } from "../api/http";
import * as prometheus from "../api/prometheus";
import * as swell from "../api/swell";
import { below } from "../base";
import { columnsOf } from "../charts/decision-columns";
import { AlertLane, DecisionLane, Hairlines, TimeAxis, type AlertBar } from "../charts/lanes";
import { replicasHook, targetHook } from "../charts/paint";
import { Plot } from "../charts/plot";
import { AXIS_WIDTH, placeOf, Track } from "../charts/track";
import { live } from "../live";
import { DecisionCard } from "../parts/decision-card";
import { Glyph } from "../parts/glyphs";
import { Keyed } from "../parts/keyed";
import { Shell } from "../parts/shell";
import { Empty, Failure, Stale } from "../parts/states";
import { cursor, isLive, now, query, setParams, setTitle, timeRange } from "../state";
import { token } from "../theme";
import { bounds, step as stepOf } from "../time-range";
import { age, text } from "../units";
import { ofWorkload } from "../verdict";
import { queriesOf, rateWindow } from "./workload-queries";

interface Columns {
  start: number;
  end: number;
  times: number[];
  load: (number | null)[];
  latency: (number | null)[];
  use: (number | null)[];
  wanted: (number | null)[];
  ready: (number | null)[];
  alerts: AlertBar[];
}

const POINTS = 720;
/** The autoscaler leaves alone what is this near to its target (`--horizontal-pod-autoscaler-tolerance`). */
const TOLERANCE = 0.1;

export function Workload(props: { namespace: string; name: string }) {
  const info = live(
    () => `${props.namespace}/${props.name}`,
    1,
    (_, signal) => swell.workload(props.namespace, props.name, signal),
  );
  const services = createMemo(() => (info.value()?.services ?? []).join(","));
  const grid = createMemo(() => stepOf(timeRange().span, POINTS));
  const columns = live(
    () => ({ range: timeRange(), services: services(), key: `${props.namespace}/${props.name}` }),
    1,
    (key, signal) => load(props.namespace, props.name, key.services.split(",").filter(Boolean), signal),
  );
  const decisions = live(
    () => ({ range: timeRange(), key: `${props.namespace}/${props.name}` }),
    1,
    async ({ range }, signal) => {
      const { start, end } = bounds(range, Date.now() / 1000, 1);
      const target = { namespace: props.namespace, kind: "Deployment", name: props.name };
      // What was decided before the time on show is in force at its start.
      const [inside, before] = await Promise.all([
        swell.decisions({ ...target, from: start, to: end + 2, limit: 500 }, signal),
        swell.decisions({ ...target, to: start - 1, limit: 1 }, signal),
      ]);
      return [...before, ...inside].sort((a, b) => a.at_ms - b.at_ms || a.id - b.id);
    },
  );

  async function load(namespace: string, name: string, services: string[], signal: AbortSignal): Promise<Columns> {
    const step = grid();
    const { start, end } = bounds(timeRange(), Date.now() / 1000, step);
    const queries = queriesOf(namespace, name, services, rateWindow(step));
    const fetch = async (wanted: string): Promise<prometheus.MatrixSeries[]> => {
      const answer = await prometheus.range(wanted, start, end, step, signal);
      return answer.data.resultType === "matrix" ? answer.data.result : [];
    };
    const nothing: prometheus.MatrixSeries[] = [];
    const [loadOf, latency, use, wanted, ready, alerts] = await Promise.all([
      services.length > 0 ? fetch(queries.load) : nothing,
      services.length > 0 ? fetch(queries.latency) : nothing,
      fetch(queries.use),
      fetch(queries.wanted),
      fetch(queries.ready),
      fetch(queries.alerts),
    ]);
    const column = (series: prometheus.MatrixSeries[]): (number | null)[] => prometheus.onGrid(series[0], start, end, step);
    return {
      start,
      end,
      times: Array.from({ length: Math.round((end - start) / step) + 1 }, (_, idx) => start + idx * step),
      load: column(loadOf),
      latency: column(latency),
      use: column(use),
      wanted: column(wanted),
      ready: column(ready),
      alerts: alerts.flatMap((series) => alertBars(series, step)),
    };
  }

  // The card shows the decision of the address, or the newest that changed something.
  const shown = createMemo(() => {
    const all = decisions.value() ?? [];
    const asked = Number(query().get("decision") ?? Number.NaN);
    const chosen = all.findIndex((decision) => decision.id === asked);
    if (chosen >= 0) return chosen;
    for (let idx = all.length - 1; idx >= 0; idx -= 1) if (all[idx]?.direction !== "hold") return idx;
    return all.length - 1;
  });
  const decision = (): swell.Decision | undefined => decisions.value()?.[shown()];
  const moment = (): number | null => {
    const at = decision()?.at_ms;
    return at === undefined ? null : at / 1000;
  };
  const select = (idx: number): void => {
    const id = decisions.value()?.[idx]?.id;
    if (id !== undefined) setParams({ decision: String(id) });
  };
  const verdict = createMemo(() => {
    const workload = info.value();
    return workload ? ofWorkload(workload) : undefined;
  });
  createEffect(() => {
    setTitle(`${props.namespace}/${props.name}`);
  });

  const target = (): number | null => {
    const percent = info.value()?.autoscaler?.target_percent ?? null;
    return percent === null ? null : percent / 100;
  };
  const missing = (): boolean => {
    const failure = info.error();
    return failure instanceof ApiError && failure.status === 404;
  };
  const span = () => ({ start: columns.value()?.start ?? 0, end: columns.value()?.end ?? 1 });

  return (
    <Shell crumbs={[{ name: "Workloads", href: "/workloads" }, { name: props.namespace }, { name: props.name }]}>
      <div class="page-head">
        <div>
          <h1>
            {props.name} <span class="sub">{subtitle(info.value(), props.namespace)}</span>
          </h1>
          <Show when={verdict()}>
            {(said) => (
              <p class="verdict-line">
                <Glyph name={said().glyph} size={14} label={said().glyph} /> <b>{said().title}</b> {said().detail} <Stale data={info} after={4} />
              </p>
            )}
          </Show>
        </div>
      </div>
      <Failure error={info.error() ?? columns.error() ?? decisions.error()} />
      <Show
        when={!missing()}
        fallback={<section class="panel"><Empty command={`kubectl get deployments -n ${props.namespace}`}>As soon as it is there, this page has it. <a class="link" href={below("/workloads")}>All workloads</a></Empty></section>}
      >
        <div class="workload-grid">
          <div class="stack">
            <Show when={info.value()?.autoscaler}>
              <NextDecision decision={decisions.value()?.at(-1)} />
            </Show>
            <section class="panel tracks" aria-label="Over time">
              <Show when={columns.value()} fallback={<div class="tracks-waiting" />}>
                {(data) => (
                  <>
                    <Hairlines span={span()} moment={moment()} />
                    <Track name="Load" unit="requests" colour="--role-load" fill="--fill-load" times={data().times} column={data().load} height={96} />
                    <Track name="Latency p95" unit="seconds" colour="--role-latency" times={data().times} column={data().latency} height={80} />
                    <Track name="CPU of request" unit="percent" colour="--role-use" times={data().times} column={data().use} height={132}
                      reach={(target() ?? 0) * 1.4}
                      note={target() === null ? undefined : <>target {text(target(), "percent")}</>}
                      below={[targetHook(target, TOLERANCE, 1)]}
                      extra={target()} />
                    <DecisionLane decisions={decisions.value() ?? []} span={span()} selected={decision()?.id ?? null} onSelect={(id) => setParams({ decision: String(id) })} />
                    <Replicas data={data()} workload={info.value()} decisions={decisions.value() ?? []} />
                    <AlertLane bars={data().alerts} span={span()} />
                    <TimeAxis span={span()} />
                  </>
                )}
              </Show>
            </section>
          </div>
          <Show
            when={decision()}
            fallback={
              <section class="panel card">
                <header><h2>Decisions</h2></header>
                <Show when={info.value()?.autoscaler} fallback={<Empty command={`kubectl autoscale deployment ${props.name} --cpu-percent=50 --min=1 --max=6 -n ${props.namespace}`}>No autoscaler looks after {props.name}. With one, each decision and its reason stands here.</Empty>}>
                  <Empty>No decision has fallen yet.</Empty>
                </Show>
              </section>
            }
          >
            {(current) => (
              <DecisionCard
                decision={current()}
                position={`${shown() + 1} of ${decisions.value()?.length ?? 0}`}
                max={info.value()?.autoscaler?.max ?? 0}
                onPrevious={shown() > 0 ? () => select(shown() - 1) : undefined}
                onNext={shown() < (decisions.value()?.length ?? 0) - 1 ? () => select(shown() + 1) : undefined}
              />
            )}
          </Show>
          <div class="stack rest">
            <Pods workload={info.value()} />
            <Events events={info.value()?.events ?? []} first={10} />
          </div>
        </div>
      </Show>
    </Shell>
  );
}

function subtitle(workload: swell.Workload | undefined, namespace: string): string {
  if (!workload) return "";
  const scaled = workload.autoscaler ? `, scaled by hpa/${workload.autoscaler.name} on CPU` : "";
  return `${workload.kind} in ${namespace}${scaled}`;
}

/** Runs of one alert state as bars. */
function alertBars(series: prometheus.MatrixSeries, step: number): AlertBar[] {
  const state = series.metric["alertstate"] === "firing" ? "firing" : "pending";
  const bars: AlertBar[] = [];
  for (const [time] of series.values ?? []) {
    const last = bars.at(-1);
    if (last && time - last.end <= step * 1.5) last.end = time;
    else bars.push({ name: series.metric["alertname"] ?? "unnamed", state, start: time, end: time });
  }
  // A sample stands for the time until the next one would come.
  for (const bar of bars) bar.end += step;
  return bars;
}

function NextDecision(props: { decision: swell.Decision | undefined }) {
  const wait = (at: number | undefined): string => {
    const seconds = at === undefined ? 0 : at / 1000 - now();
    return seconds > 0.5 ? `in ${Math.ceil(seconds)} s` : "at once";
  };
  return (
    <Show when={isLive() && props.decision}>
      {(decision) => (
        <section class="panel next" aria-label="What comes next">
          <dl>
            <div>
              <dt>Next decision</dt>
              <dd>with the <b>next sample</b></dd>
            </div>
            <div>
              <dt>Can grow</dt>
              <dd>
                <Show when={decision().next.grow.to > decision().replicas} fallback={<b>not now</b>}>
                  to <b>{decision().next.grow.to}</b> {wait(decision().next.grow.not_before_ms)}
                  <Show when={decision().next.grow.more_to}>
                    , to {decision().next.grow.more_to} {wait(decision().next.grow.more_at_ms)}
                  </Show>
                </Show>
              </dd>
            </div>
            <div>
              <dt>Can shrink</dt>
              <dd>
                <Show when={!decision().next.shrink.disabled && decision().next.shrink.to < decision().replicas} fallback={<b>{decision().next.shrink.disabled ? "switched off" : "no further"}</b>}>
                  to <b>{decision().next.shrink.to}</b>, once fewer are asked for during {text(decision().next.shrink.window_ms / 1000, "seconds")}
                </Show>
              </dd>
            </div>
          </dl>
        </section>
      )}
    </Show>
  );
}

/** How far above the maximum the track reaches for what was asked, as a share of the maximum. */
const ABOVE_MAX = 0.35;

function Replicas(props: { data: Columns; workload: swell.Workload | undefined; decisions: swell.Decision[] }) {
  const at = createMemo(() => placeOf(props.data.times, props.data.ready, cursor()));
  const max = (): number | null => props.workload?.autoscaler?.max ?? null;
  const min = (): number | null => props.workload?.autoscaler?.min ?? null;
  const decided = createMemo(() => columnsOf(props.decisions, props.data.times));
  const top = createMemo(() => {
    const most = (...columns: (number | null)[][]): number => columns.flat().reduce<number>((found, value) => Math.max(found, value ?? 0), 0);
    const inside = Math.max(most(props.data.wanted, props.data.ready), max() ?? 1);
    return Math.max(inside, Math.min(most(decided().asked), Math.ceil(inside * (1 + ABOVE_MAX)))) + 0.6;
  });
  const options = (): Omit<uPlot.Options, "width" | "height"> => ({
    scales: { x: { time: true }, y: { range: () => [0, top()] } },
    padding: [4, 0, 2, 0],
    axes: [
      { show: false },
      {
        side: 1,
        size: AXIS_WIDTH,
        gap: 8,
        stroke: token("--chart-axis"),
        font: `11px ${token("--font-ui")}`,
        grid: { show: false },
        ticks: { show: false },
        splits: () => [...new Set([min() ?? 0, max() ?? Math.floor(top())])],
        values: (_plot, splits) => splits.map((split) => (split === max() ? `max ${split}` : split === min() ? `min ${split}` : String(split))),
      },
    ],
    series: [{}, ...[0, 1, 2, 3].map(() => ({ stroke: "transparent", points: { show: false } }))],
    hooks: { drawAxes: [replicasHook(() => ({ min: min(), max: max() }))] },
  });
  const ready = (): number | null => props.data.ready[at()] ?? null;
  const wanted = (): number | null => props.data.wanted[at()] ?? null;
  return (
    <div class="track">
      <div class="track-head" style={{ "--bar": "var(--role-ready)" }}>
        <span class="track-name">Replicas</span>
        <span class="track-value">
          {ready() ?? "unknown"} <span class="unit">ready of {wanted() ?? "unknown"}</span>
        </span>
        <ul class="legend small quiet">
          <Show when={max() !== null}><li><i class="key-asked" /> asked</li></Show>
          <li><i class="key-wanted" /> wanted</li>
          <li><i class="key-ready" /> ready</li>
          <Show when={max() !== null}><li><i class="key-allowed" /> allowed next</li></Show>
        </ul>
      </div>
      <Plot
        stacked
        options={options}
        data={[props.data.times, props.data.wanted, props.data.ready, decided().asked, decided().allowed] as uPlot.AlignedData}
        height={148}
        extra={`${top()} ${min()} ${max()}`}
        label={`Replicas: ${ready() ?? "unknown"} ready of ${wanted() ?? "unknown"}`}
      />
    </div>
  );
}

function Pods(props: { workload: swell.Workload | undefined }) {
  return (
    <section class="panel">
      <header>
        <h2>Pods</h2>
        <span class="small quiet">{props.workload?.pods.length ?? 0}</span>
      </header>
      <Show when={(props.workload?.pods.length ?? 0) > 0} fallback={<Empty>No pod runs.</Empty>}>
        <div class="scroll-x">
          <table>
            <thead>
              <tr>
                <th>Name</th><th>State</th><th class="wide-only">Node</th><th class="wide-only">Address</th>
                <th class="num wide-only">Ready for</th><th class="num">Restarts</th><th class="num">Age</th>
              </tr>
            </thead>
            <tbody>
              <Keyed each={props.workload?.pods ?? []} by={(pod) => pod.name}>
                {(pod) => (
                  <tr>
                    <td class="mono">{pod().name}</td>
                    <td>
                      <Glyph name={pod().deleting ? "unknown" : pod().ready ? "ok" : "pending"} /> {pod().deleting ? "stopping" : pod().ready ? "ready" : (pod().reason ?? pod().phase)}
                    </td>
                    <td class="wide-only soft">{pod().node ?? "none yet"}</td>
                    <td class="wide-only mono soft">{pod().ip ?? "none yet"}</td>
                    <td class="num wide-only">{pod().ready_ms === null ? "" : age(now() - (pod().ready_ms ?? 0) / 1000)}</td>
                    <td class="num">{pod().restarts}</td>
                    <td class="num">{pod().created_ms === null ? "unknown" : age(now() - (pod().created_ms ?? 0) / 1000)}</td>
                  </tr>
                )}
              </Keyed>
            </tbody>
          </table>
        </div>
      </Show>
    </section>
  );
}

/** Events, newest first; `first` of them until the reader asks for all. */
export function Events(props: { events: swell.EventInfo[]; first: number }) {
  const [all, setAll] = createSignal(false);
  const shown = () => (all() ? props.events : props.events.slice(0, props.first));
  return (
    <section class="panel">
      <header>
        <h2>Events</h2>
        <span class="small quiet">newest first</span>
      </header>
      <Show when={props.events.length > 0} fallback={<Empty>Nothing has happened yet.</Empty>}>
        <ol class="feed">
          <Keyed each={shown()} by={(event) => `${event.object.kind} ${event.object.name} ${event.reason} ${event.message}`}>
            {(event) => (
              <li>
                <Glyph name={event().warning ? "warn" : "info"} label={event().warning ? "Warning" : "Normal"} />
                <b>{event().reason}</b>
                <span class="small quiet">{event().at_ms === null ? "" : age(now() - (event().at_ms ?? 0) / 1000)}</span>
                <p>
                  <span class="quiet">{event().object.name}</span> {event().message}
                  <Show when={event().count > 1}><span class="quiet"> × {event().count}</span></Show>
                </p>
              </li>
            )}
          </Keyed>
        </ol>
        <Show when={props.events.length > props.first}>
          <button type="button" class="button plain more" aria-expanded={all()} onClick={() => setAll(!all())}>
            {all() ? "Show fewer" : `Show all ${props.events.length}`}
          </button>
        </Show>
      </Show>
    </section>
  );
}
