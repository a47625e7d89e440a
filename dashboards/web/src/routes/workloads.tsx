// All workloads: those that need attention first.
import { createEffect, createMemo, Show } from "solid-js";
import * as prometheus from "../api/prometheus";
import * as swell from "../api/swell";
import { below } from "../base";
import { GLYPH_OF } from "../charts/lanes";
import { live } from "../live";
import { Glyph } from "../parts/glyphs";
import { Keyed } from "../parts/keyed";
import { Shell } from "../parts/shell";
import { Bullet, Empty, Failure, Pips, Sparkline } from "../parts/states";
import { go, now, setTitle, timeRange } from "../state";
import { bounds, step as stepOf } from "../time-range";
import { age, show } from "../units";
import { isShort } from "../verdict";

/** Points of a small curve: one a pixel would be more than it can show. */
const POINTS = 60;

/** Load of every service over the time on show, by `namespace/service`. */
async function loads(signal: AbortSignal): Promise<Map<string, (number | null)[]>> {
  const step = stepOf(timeRange().span, POINTS);
  const { start, end } = bounds(timeRange(), Date.now() / 1000, step);
  const window = Math.max(5, step * 2);
  const answer = await prometheus.range(`sum by (namespace, service) (rate(swell_service_requests_total[${window}s]))`, start, end, step, signal);
  const found = new Map<string, (number | null)[]>();
  for (const series of answer.data.resultType === "matrix" ? answer.data.result : []) {
    found.set(`${series.metric["namespace"]}/${series.metric["service"]}`, prometheus.onGrid(series, start, end, step));
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
  const load = live(timeRange, 2, (_, signal) => loads(signal));
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
              <th>Name</th><th class="wide-only" colspan="2">Load</th><th class="narrow-only num">Load</th>
              <th colspan="2" class="wide-only">Use against target</th>
              <th class="wide-only" colspan="2">Replicas</th><th class="narrow-only num">Replicas</th><th class="wide-only">Last decision, and why</th><th class="num wide-only">Age</th>
            </tr>
          </thead>
          <tbody>
            <Keyed each={sorted()} by={(workload) => `${workload.namespace}/${workload.name}`}>
              {(workload) => {
                const column = createMemo(() => columnOf(workload()));
                const current = () => show(column().findLast((value) => value !== null) ?? null, "requests");
                const scaler = () => workload().autoscaler;
                const place = () => `/workloads/${workload().namespace}/${workload().name}`;
                const newest = createMemo(() => latest(workload()));
                return (
                  <tr onClick={(event) => !(event.target instanceof Element && event.target.closest("a")) && go(place())}>
                    <td class="name">
                      <a href={below(place())}><span class="quiet">{workload().namespace}/</span>{workload().name}</a>
                      <p class="narrow-only small soft"><Show when={newest()}>{(decision) => <><Glyph name={GLYPH_OF[decision().direction]} size={10} /> {decision().brief}</>}</Show></p>
                    </td>
                    <td class="narrow wide-only"><Show when={workload().services.length > 0}><Sparkline column={column()} label={`Load of ${workload().name}`} /></Show></td>
                    <td class="num"><Show when={workload().services.length > 0}>{current().value} <span class="quiet">{current().unit}</span></Show></td>
                    <td class="narrow wide-only"><Show when={scaler()?.target_percent}>{(target) => <Bullet value={scaler()?.measured_percent ?? null} target={target()} />}</Show></td>
                    <td class="num wide-only">
                      <Show when={scaler()?.target_percent}>{(target) => <>{scaler()?.measured_percent ?? "unknown"} <span class="quiet">of {target()} %</span></>}</Show>
                    </td>
                    <td class="narrow wide-only"><Pips thin ready={workload().replicas_ready} wanted={workload().replicas_wanted} max={scaler()?.max ?? workload().replicas_wanted} /></td>
                    <td class="num">{workload().replicas_ready} <span class="quiet">of {workload().replicas_wanted}</span></td>
                    <td class="why wide-only">
                      <Show when={newest()}>{(decision) => <span class="brief"><Glyph name={GLYPH_OF[decision().direction]} /> <span>{decision().brief}</span></span>}</Show>
                    </td>
                    <td class="num quiet wide-only"><Show when={newest()}>{(decision) => age(now() - decision().at_ms / 1000)}</Show></td>
                  </tr>
                );
              }}
            </Keyed>
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
    setTitle("Workloads");
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
