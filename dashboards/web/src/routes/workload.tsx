// Why a workload has as many replicas as it has: one time axis for load, latency, use, decisions, replicas, alerts.
import { createEffect, createMemo, For, Show } from "solid-js";
import type uPlot from "uplot";
import * as prometheus from "../api/prometheus";
import * as swell from "../api/swell";
import { AlertLane, DecisionLane, TimeAxis, type AlertBar } from "../charts/lanes";
import { momentHook, replicasHook, targetHook } from "../charts/paint";
import { placeOf, Track } from "../charts/track";
import { Plot } from "../charts/plot";
import { AXIS_WIDTH } from "../charts/track";
import { live } from "../live";
import { DecisionCard } from "../parts/decision-card";
import { Glyph } from "../parts/glyphs";
import { Shell } from "../parts/shell";
import { Empty, Failure, Stale } from "../parts/states";
import { cursor, isLive, now, query, setParams, timeRange } from "../state";
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
      const found = await swell.decisions(
        { namespace: props.namespace, kind: "Deployment", name: props.name, from: start, to: end + 2, limit: 500 },
        signal,
      );
      return found.sort((a, b) => a.at_ms - b.at_ms);
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
    document.title = `${props.namespace}/${props.name} · Swell`;
  });

  const target = (): number | null => {
    const percent = info.value()?.autoscaler?.target_percent ?? null;
    return percent === null ? null : percent / 100;
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
      <div class="workload-grid">
        <div class="stack">
          <Show when={info.value()?.autoscaler}>
            <NextDecision decision={decisions.value()?.at(-1)} />
          </Show>
          <section class="panel tracks" aria-label="Over time">
            <Show when={columns.value()} fallback={<div class="tracks-waiting" />}>
              {(data) => (
                <>
                  <Track name="Load" unit="requests" colour="--role-load" fill="--fill-load" times={data().times} column={data().load} height={96}
                    above={[momentHook(moment)]} extra={decision()?.id} />
                  <Track name="Latency p95" unit="seconds" colour="--role-latency" times={data().times} column={data().latency} height={76}
                    above={[momentHook(moment)]} extra={decision()?.id} />
                  <Track name="CPU of request" unit="percent" colour="--role-use" times={data().times} column={data().use} height={128}
                    reach={(target() ?? 0) * 1.4}
                    note={target() === null ? undefined : <>target {text(target(), "percent")}</>}
                    below={target() === null ? [] : [targetHook(target() ?? 0, (target() ?? 0) * 0.9, (target() ?? 0) * 1.1, 1)]}
                    above={[momentHook(moment)]} extra={`${decision()?.id} ${target()}`} />
                  <DecisionLane decisions={decisions.value() ?? []} span={span()} selected={decision()?.id ?? null} onSelect={(id) => setParams({ decision: String(id) })} />
                  <Replicas data={data()} workload={info.value()} moment={moment} decision={decision()?.id} />
                  <AlertLane bars={data().alerts} span={span()} />
                  <TimeAxis span={span()} />
                </>
              )}
            </Show>
          </section>
          <Pods workload={info.value()} />
          <Events events={info.value()?.events ?? []} />
        </div>
        <div class="stack">
          <Show
            when={decision()}
            fallback={
              <section class="panel">
                <header><h2>Decisions</h2></header>
                <Show when={info.value()?.autoscaler} fallback={<Empty command={`kubectl autoscale deployment ${props.name} --cpu-percent=50 --min=1 --max=6 -n ${props.namespace}`}>No autoscaler looks after {props.name}. With one, each decision and its reason stands here.</Empty>}>
                  <Empty>No decision fell in the time on show.</Empty>
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
        </div>
      </div>
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

function Replicas(props: { data: Columns; workload: swell.Workload | undefined; moment: () => number | null; decision: number | undefined }) {
  const at = createMemo(() => placeOf(props.data.times, props.data.ready, cursor()));
  const max = (): number | null => props.workload?.autoscaler?.max ?? null;
  const min = (): number | null => props.workload?.autoscaler?.min ?? null;
  const top = createMemo(() => {
    const highest = [...props.data.wanted, ...props.data.ready].reduce<number>((most, value) => Math.max(most, value ?? 0), max() ?? 1);
    return highest + 0.6;
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
    series: [{}, { stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } }],
    hooks: { drawAxes: [replicasHook(min(), max())], draw: [momentHook(props.moment)] },
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
          <li><i class="key-wanted" /> wanted</li>
          <li><i class="key-ready" /> ready</li>
        </ul>
      </div>
      <Plot
        options={options}
        data={[props.data.times, props.data.wanted, props.data.ready] as uPlot.AlignedData}
        height={140}
        extra={`${props.decision} ${min()} ${max()}`}
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
                <th class="num">Ready in</th><th class="num">Restarts</th><th class="num">Age</th>
              </tr>
            </thead>
            <tbody>
              <For each={props.workload?.pods}>
                {(pod) => (
                  <tr>
                    <td class="mono">{pod.name}</td>
                    <td>
                      <Glyph name={pod.deleting ? "unknown" : pod.ready ? "ok" : "pending"} /> {pod.deleting ? "stopping" : pod.ready ? "ready" : (pod.reason ?? pod.phase)}
                    </td>
                    <td class="wide-only soft">{pod.node ?? "none yet"}</td>
                    <td class="wide-only mono soft">{pod.ip ?? "none yet"}</td>
                    <td class="num">{pod.ready_ms !== null && pod.created_ms !== null ? text(Math.max(pod.ready_ms - pod.created_ms, 0) / 1000, "seconds") : ""}</td>
                    <td class="num">{pod.restarts}</td>
                    <td class="num">{pod.created_ms === null ? "unknown" : age(now() - pod.created_ms / 1000)}</td>
                  </tr>
                )}
              </For>
            </tbody>
          </table>
        </div>
      </Show>
    </section>
  );
}

export function Events(props: { events: swell.EventInfo[] }) {
  return (
    <section class="panel">
      <header>
        <h2>Events</h2>
        <span class="small quiet">newest first</span>
      </header>
      <Show when={props.events.length > 0} fallback={<Empty>Nothing has happened yet.</Empty>}>
        <ol class="feed">
          <For each={props.events}>
            {(event) => (
              <li>
                <Glyph name={event.warning ? "warn" : "info"} label={event.warning ? "Warning" : "Normal"} />
                <b>{event.reason}</b>
                <span class="small quiet">{event.at_ms === null ? "" : age(now() - event.at_ms / 1000)}</span>
                <p>
                  <span class="quiet">{event.object.name}</span> {event.message}
                  <Show when={event.count > 1}><span class="quiet"> × {event.count}</span></Show>
                </p>
              </li>
            )}
          </For>
        </ol>
      </Show>
    </section>
  );
}
