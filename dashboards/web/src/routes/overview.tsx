// The first page: a verdict, capacity, workloads, and what needs attention.
import { createEffect, createMemo, Show } from "solid-js";
import type uPlot from "uplot";
import * as prometheus from "../api/prometheus";
import * as swell from "../api/swell";
import { below } from "../base";
import { Plot } from "../charts/plot";
import { gapHook, hatch } from "../charts/paint";
import { live } from "../live";
import { Glyph } from "../parts/glyphs";
import { Keyed } from "../parts/keyed";
import { Shell } from "../parts/shell";
import { Empty, Failure, Stale } from "../parts/states";
import { GLYPH_OF } from "../charts/lanes";
import { now, setTitle, timeRange } from "../state";
import { token } from "../theme";
import { bounds, step as stepOf } from "../time-range";
import { fittingTicks, niceMax, offsetAt, tickText } from "../charts/axis";
import { age, show, text, type Unit } from "../units";
import { overall } from "../verdict";
import { Events } from "./workload";
import { WorkloadTable } from "./workloads";

interface Capacity {
  times: number[];
  cpu: { used: (number | null)[]; requested: (number | null)[]; installed: number | null };
  memory: { used: (number | null)[]; requested: (number | null)[]; installed: number | null };
  series: number | null;
}

const POINTS = 240;
/** Width of the axis that names what is installed. */
const LIMIT_AXIS_PX = 62;
/** Decisions asked for: most of them hold, and those that changed something should be among them. */
const DECISIONS = 60;

async function capacity(signal: AbortSignal): Promise<Capacity> {
  const step = stepOf(timeRange().span, POINTS);
  const { start, end } = bounds(timeRange(), Date.now() / 1000, step);
  const window = Math.max(3, step * 2);
  const column = async (query: string): Promise<(number | null)[]> => {
    const answer = await prometheus.range(query, start, end, step, signal);
    return prometheus.onGrid(answer.data.resultType === "matrix" ? answer.data.result[0] : undefined, start, end, step);
  };
  const [cpuUsed, cpuAsked, cpuAll, memoryUsed, memoryAsked, memoryAll, series] = await Promise.all([
    column(`sum(rate(node_cpu_seconds_total{mode!~"idle|iowait"}[${window}s]))`),
    column('sum(kube_pod_container_resource_requests{resource="cpu"})'),
    column('count(node_cpu_seconds_total{mode="idle"})'),
    column("sum(node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)"),
    column('sum(kube_pod_container_resource_requests{resource="memory"})'),
    column("sum(node_memory_MemTotal_bytes)"),
    column("sum(swell_tsdb_head_series)"),
  ]);
  const last = (values: (number | null)[]): number | null => values.findLast((value) => value !== null) ?? null;
  return {
    times: Array.from({ length: Math.round((end - start) / step) + 1 }, (_, idx) => start + idx * step),
    cpu: { used: cpuUsed, requested: cpuAsked, installed: last(cpuAll) },
    memory: { used: memoryUsed, requested: memoryAsked, installed: last(memoryAll) },
    series: last(series),
  };
}

export function Overview() {
  const data = live(() => "overview", 1, (_, signal) => swell.overview(signal));
  const alerts = live(() => "alerts", 2, (_, signal) => swell.alerts(signal));
  const resources = live(timeRange, 2, (_, signal) => capacity(signal));
  const decisions = live(() => "decisions", 2, (_, signal) => swell.decisions({ limit: DECISIONS }, signal));
  const verdict = createMemo(() => {
    const all = data.value();
    return all ? overall(all, alerts.value() ?? []) : undefined;
  });
  createEffect(() => {
    setTitle("Overview");
  });
  const pods = createMemo(() => data.value()?.workloads.flatMap((workload) => workload.pods) ?? []);
  const nodes = () => data.value()?.nodes ?? [];
  const running = () => pods().filter((pod) => pod.phase === "Running" && !pod.deleting).length;
  const pending = () => pods().filter((pod) => pod.phase === "Pending").length;
  const series = () => show(resources.value()?.series, "count");

  return (
    <Shell crumbs={[{ name: "Overview" }]}>
      <div class="verdict">
        <div>
          <h1>
            <Show when={verdict()} fallback={<span class="quiet">Looking</span>}>
              {(said) => (
                <>
                  <Glyph name={said().glyph} size={20} label={said().glyph} /> {said().title}
                </>
              )}
            </Show>
          </h1>
          <p>{verdict()?.detail} <Stale data={data} after={4} /></p>
        </div>
        <dl class="counts">
          <Count name="Nodes ready" value={String(nodes().filter((node) => node.ready).length)} note={`of ${nodes().length}`} />
          <Count name="Pods running" value={String(running())} note={pending() > 0 ? `${pending()} pending` : ""} />
          <Count name="Series" value={series().value} note={series().unit} />
        </dl>
      </div>
      <Failure error={data.error() ?? resources.error()} />
      <div class="overview-grid">
        <div class="stack">
          <section class="panel">
            <header>
              <h2>Capacity</h2>
              <span class="small quiet">used, requested and installed</span>
            </header>
            <Show when={resources.value()} fallback={<div class="capacity-waiting" />}>
              {(found) => (
                <div class="capacity">
                  <Resource name="CPU" unit="cores" times={found().times} {...found().cpu} />
                  <Resource name="Memory" unit="bytes" times={found().times} {...found().memory} />
                </div>
              )}
            </Show>
          </section>
          <section class="panel">
            <header>
              <h2>Workloads</h2>
              <span class="small quiet wide-only">needing attention first</span>
              <a class="end small quiet link" href={below("/workloads")}>All workloads</a>
            </header>
            <WorkloadTable workloads={data.value()?.workloads} decisions={decisions.value() ?? []} />
          </section>
          <Nodes nodes={nodes()} />
        </div>
        <div class="stack">
          <Attention alerts={alerts.value()} error={alerts.error()} />
          <Decisions decisions={decisions.value() ?? []} />
          <Events events={data.value()?.events ?? []} first={6} />
        </div>
      </div>
    </Shell>
  );
}

function Count(props: { name: string; value: string; note: string }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.value} <small>{props.note}</small></dd>
    </div>
  );
}

function Resource(props: {
  name: string;
  unit: Unit;
  times: number[];
  used: (number | null)[];
  requested: (number | null)[];
  installed: number | null;
}) {
  const last = (column: (number | null)[]): number | null => column.findLast((value) => value !== null) ?? null;
  const percent = (value: number | null): string =>
    value === null || props.installed === null || props.installed === 0 ? "unknown" : `${Math.round((value / props.installed) * 100)} %`;
  const top = (): number => (props.installed === null ? niceMax(1) : props.installed * 1.1);
  const options = (): Omit<uPlot.Options, "width" | "height"> => ({
    scales: { x: { time: true }, y: { range: () => [0, top()] } },
    padding: [4, 0, 0, 0],
    axes: [
      {
        size: 18,
        gap: 4,
        stroke: token("--chart-axis"),
        font: `11px ${token("--font-ui")}`,
        grid: { stroke: token("--chart-grid"), width: 1 },
        ticks: { show: false },
        splits: (plot, _axis, from, to) => fittingTicks(from, to, plot.width - LIMIT_AXIS_PX, offsetAt(to)),
        values: (_plot, splits) => splits.map((split) => tickText(split, timeRange().span)),
      },
      {
        side: 1,
        size: LIMIT_AXIS_PX,
        gap: 8,
        stroke: token("--chart-axis"),
        font: `11px ${token("--font-ui")}`,
        grid: { stroke: token("--line-2"), width: 1 },
        ticks: { show: false },
        splits: () => (props.installed === null ? [] : [props.installed]),
        values: (_plot, splits) => splits.map((split) => text(split, props.unit)),
      },
    ],
    series: [
      {},
      { stroke: token("--text-2"), width: 1.25, points: { show: false }, fill: (plot) => hatch(plot.ctx, token("--hatch"), devicePixelRatio) },
      { stroke: token("--role-ready"), width: 1.5, points: { show: false }, fill: token("--fill-ready") },
    ],
    hooks: { draw: [gapHook(2)] },
  });
  return (
    <div>
      <p class="capacity-key">
        <b>{percent(last(props.used))}</b>
        <span><i class="key-used" /> {props.name} used</span>
        <span><i class="key-requested" /> {percent(last(props.requested))} requested</span>
      </p>
      <Plot
        options={options}
        data={[props.times, props.requested, props.used] as uPlot.AlignedData}
        height={128}
        extra={props.installed}
        label={`${props.name}: ${percent(last(props.used))} used, ${percent(last(props.requested))} requested`}
      />
    </div>
  );
}

function Attention(props: { alerts: swell.Alert[] | undefined; error: Error | undefined }) {
  const sorted = () =>
    [...(props.alerts ?? [])].sort((a, b) => (a.state === b.state ? a.activeAt.localeCompare(b.activeAt) : a.state === "firing" ? -1 : 1));
  return (
    <section class="panel">
      <header><h2>Needs attention</h2></header>
      <Failure error={props.error} />
      <Show when={sorted().length > 0} fallback={<p class="soft">No alert is pending or firing.</p>}>
        <ol class="feed">
          <Keyed each={sorted()} by={(alert) => JSON.stringify(alert.labels)}>
            {(alert) => (
              <li>
                <Glyph
                  name={alert().state === "pending" ? "pending" : alert().labels["severity"] === "critical" ? "crit" : "warn"}
                  label={alert().state}
                />
                <b>{alert().labels["alertname"]}</b>
                <span class="small quiet">{age(now() - Date.parse(alert().activeAt) / 1000)}</span>
                <p>{alert().annotations["summary"] ?? alert().annotations["description"] ?? ""}</p>
              </li>
            )}
          </Keyed>
        </ol>
      </Show>
    </section>
  );
}

function Decisions(props: { decisions: swell.Decision[] }) {
  const changes = () => props.decisions.filter((decision) => decision.direction !== "hold").slice(0, 6);
  return (
    <section class="panel">
      <header><h2>Decisions</h2><span class="small quiet">that changed something</span></header>
      <Show when={changes().length > 0} fallback={<p class="soft">None yet. Each change of size will stand here with its reason.</p>}>
        <ol class="feed">
          <Keyed each={changes()} by={(decision) => String(decision.id)}>
            {(decision) => (
              <li>
                <Glyph name={GLYPH_OF[decision().direction]} />
                <a href={below(`/workloads/${decision().target.namespace}/${decision().target.name}?decision=${decision().id}`)}>
                  <b>{decision().target.namespace}/{decision().target.name} {decision().from} to {decision().replicas}</b>
                </a>
                <span class="small quiet">{age(now() - decision().at_ms / 1000)}</span>
                <p>{decision().brief}</p>
              </li>
            )}
          </Keyed>
        </ol>
      </Show>
    </section>
  );
}

function Nodes(props: { nodes: swell.NodeInfo[] }) {
  const share = (part: number, whole: number | null): string => (whole === null || whole === 0 ? "unknown" : `${Math.round((part / whole) * 100)} %`);
  return (
    <section class="panel">
      <header><h2>Nodes</h2></header>
      <Show when={props.nodes.length > 0} fallback={<Empty command="swell agent --server HOST:9095 --token-file FILE">No node has joined.</Empty>}>
        <div class="scroll-x">
          <table>
            <thead>
              <tr><th>Name</th><th>State</th><th class="num">Pods</th><th class="num">CPU<span class="wide-only"> requested</span></th><th class="num">Memory<span class="wide-only"> requested</span></th></tr>
            </thead>
            <tbody>
              <Keyed each={props.nodes} by={(node) => node.name}>
                {(node) => (
                  <tr>
                    <td>{node().name}</td>
                    <td>
                      <Glyph name={node().ready ? "ok" : "crit"} /> {node().ready ? (node().unschedulable ? "ready, cordoned" : "ready") : node().reason}
                    </td>
                    <td class="num">{node().pods} <span class="quiet wide-only">of {node().pods_max ?? "unknown"}</span></td>
                    <td class="num">{share(node().cpu_requested_milli, node().cpu_milli)} <span class="quiet wide-only">of {text(node().cpu_milli === null ? null : (node().cpu_milli ?? 0) / 1000, "cores")}</span></td>
                    <td class="num">{share(node().memory_requested_bytes, node().memory_bytes)} <span class="quiet wide-only">of {text(node().memory_bytes, "bytes")}</span></td>
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
