// All workloads: those that need attention first.
import { createEffect, createMemo, For, Show } from "solid-js";
import * as prometheus from "../api/prometheus";
import * as swell from "../api/swell";
import { GLYPH_OF } from "../charts/lanes";
import { live } from "../live";
import { Glyph } from "../parts/glyphs";
import { Shell } from "../parts/shell";
import { Bullet, Empty, Failure, Pips, Sparkline } from "../parts/states";
import { go, now } from "../state";
import { bounds } from "../time-range";
import { age, show } from "../units";
import { isShort } from "../verdict";

const SPAN = 300;
const STEP = 5;

/** Load of every service over the last minutes, by `namespace/service`. */
async function loads(signal: AbortSignal): Promise<Map<string, (number | null)[]>> {
  const { start, end } = bounds({ span: SPAN, end: null }, Date.now() / 1000, STEP);
  const answer = await prometheus.range("sum by (namespace, service) (rate(swell_service_requests_total[10s]))", start, end, STEP, signal);
  const found = new Map<string, (number | null)[]>();
  for (const series of answer.data.resultType === "matrix" ? answer.data.result : []) {
    found.set(`${series.metric["namespace"]}/${series.metric["service"]}`, prometheus.onGrid(series, start, end, STEP));
  }
  return found;
}

/** Sum of columns; a place that no column knows is unknown. */
function sum(columns: (number | null)[][]): (number | null)[] {
  const length = Math.max(0, ...columns.map((column) => column.length));
  return Array.from({ length }, (_, idx) => {
    const known = columns.map((column) => column[idx] ?? null).filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
  });
}

export function WorkloadTable(props: { workloads: swell.Workload[] | undefined; decisions: swell.Decision[] }) {
  const load = live(() => "loads", 5, (_, signal) => loads(signal));
  const rank = (workload: swell.Workload): number => (isShort(workload) ? 0 : workload.autoscaler ? 1 : 2);
  const sorted = createMemo(() =>
    [...(props.workloads ?? [])].sort((a, b) => rank(a) - rank(b) || `${a.namespace}/${a.name}`.localeCompare(`${b.namespace}/${b.name}`)),
  );
  const columnOf = (workload: swell.Workload): (number | null)[] =>
    sum(workload.services.map((service) => load.value()?.get(`${workload.namespace}/${service}`) ?? []));
  const latest = (workload: swell.Workload): swell.Decision | undefined => {
    const mine = props.decisions.filter((decision) => decision.target.namespace === workload.namespace && decision.target.name === workload.name);
    return mine.find((decision) => decision.direction !== "hold") ?? mine[0];
  };
  return (
    <Show when={sorted().length > 0} fallback={<Empty command="kubectl apply -f examples/demo/">No workload runs yet. Apply a Deployment and it stands here a second later.</Empty>}>
      <div class="scroll-x">
        <table class="workloads">
          <thead>
            <tr>
              <th>Name</th><th colspan="2">Load</th><th colspan="2" class="wide-only">Use against target</th>
              <th colspan="2">Replicas</th><th class="wide-only">Last decision, and why</th><th class="num wide-only">Age</th>
            </tr>
          </thead>
          <tbody>
            <For each={sorted()}>
              {(workload) => {
                const column = () => columnOf(workload);
                const current = () => show(column().findLast((value) => value !== null) ?? null, "requests");
                const scaler = () => workload.autoscaler;
                return (
                  <tr onClick={() => go(`/workloads/${workload.namespace}/${workload.name}`)}>
                    <td class="name">
                      <a href={`/workloads/${workload.namespace}/${workload.name}`}><span class="quiet">{workload.namespace}/</span>{workload.name}</a>
                    </td>
                    <td class="narrow"><Show when={workload.services.length > 0}><Sparkline column={column()} label={`Load of ${workload.name}`} /></Show></td>
                    <td class="num"><Show when={workload.services.length > 0}>{current().value} <span class="quiet">{current().unit}</span></Show></td>
                    <td class="narrow wide-only"><Show when={scaler()?.target_percent}>{(target) => <Bullet value={scaler()?.measured_percent ?? null} target={target()} />}</Show></td>
                    <td class="num wide-only">
                      <Show when={scaler()?.target_percent}>{(target) => <>{scaler()?.measured_percent ?? "unknown"} <span class="quiet">of {target()} %</span></>}</Show>
                    </td>
                    <td class="narrow"><Pips thin ready={workload.replicas_ready} wanted={workload.replicas_wanted} max={scaler()?.max ?? workload.replicas_wanted} /></td>
                    <td class="num">{workload.replicas_ready} <span class="quiet">of {workload.replicas_wanted}</span></td>
                    <td class="why wide-only">
                      <Show when={latest(workload)}>{(decision) => <><Glyph name={GLYPH_OF[decision().direction]} /> {decision().brief}</>}</Show>
                    </td>
                    <td class="num quiet wide-only"><Show when={latest(workload)}>{(decision) => age(now() - decision().at_ms / 1000)}</Show></td>
                  </tr>
                );
              }}
            </For>
          </tbody>
        </table>
      </div>
    </Show>
  );
}

export function Workloads() {
  const data = live(() => "overview", 1, (_, signal) => swell.overview(signal));
  const decisions = live(() => "decisions", 2, (_, signal) => swell.decisions({ limit: 200 }, signal));
  createEffect(() => {
    document.title = "Workloads · Swell";
  });
  return (
    <Shell crumbs={[{ name: "Workloads" }]}>
      <div class="page-head"><h1>Workloads</h1></div>
      <Failure error={data.error()} />
      <section class="panel">
        <WorkloadTable workloads={data.value()?.workloads} decisions={decisions.value() ?? []} />
      </section>
    </Shell>
  );
}
