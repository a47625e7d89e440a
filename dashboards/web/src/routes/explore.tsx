// PromQL: an editor, a graph with direct labels, a table.
import { createEffect, createMemo, createSignal, For, on, onMount, Show } from "solid-js";
import type uPlot from "uplot";
import * as prometheus from "../api/prometheus";
import { ApiError, fetchJson } from "../api/http";
import { fittingTicks, niceMax, offsetAt, tickText } from "../charts/axis";
import { endLabelsHook, gapHook } from "../charts/paint";
import { Plot } from "../charts/plot";
import { placeOf } from "../charts/track";
import { live } from "../live";
import { Icon } from "../parts/glyphs";
import { Keyed } from "../parts/keyed";
import { Shell } from "../parts/shell";
import { Empty, Failure } from "../parts/states";
import { words } from "../promql-highlight";
import { cursor, isLive, query, setParams, setTitle, timeRange } from "../state";
import { token } from "../theme";
import { bounds, clock, step as stepOf } from "../time-range";
import { significant, text } from "../units";

type View = "graph" | "table";

const POINTS = 480;
/** Lines drawn at most: ten colours can be told apart, with dashes from the fifth on. */
const LINES_MAX = 10;

const DASHES: number[][] = [[], [], [], [], [7, 3], [2, 3], [7, 3, 2, 3], [4, 4], [10, 4], [1, 2]];

const EXAMPLES = [
  "sum by (pod) (rate(container_cpu_usage_seconds_total{container!=\"\"}[10s]))",
  "histogram_quantile(0.95, sum by (le, service) (rate(swell_service_request_duration_seconds_bucket[10s])))",
  "1 - avg(rate(node_cpu_seconds_total{mode=\"idle\"}[10s]))",
];

interface Graph {
  times: number[];
  lines: { name: string; metric: prometheus.Metric; column: (number | null)[] }[];
  all: number;
  answer: prometheus.QueryAnswer;
  step: number;
}

async function graph(expression: string, signal: AbortSignal): Promise<Graph | undefined> {
  if (expression.trim() === "") return undefined;
  const step = stepOf(timeRange().span, POINTS);
  const { start, end } = bounds(timeRange(), Date.now() / 1000, step);
  const answer = await prometheus.range(expression, start, end, step, signal, true);
  const series = answer.data.resultType === "matrix" ? answer.data.result : [];
  const lines = series
    .map((entry) => ({ name: prometheus.labelsOf(entry.metric), metric: entry.metric, column: prometheus.onGrid(entry, start, end, step) }))
    .sort((a, b) => peak(b.column) - peak(a.column))
    .slice(0, LINES_MAX)
    .sort((a, b) => a.name.localeCompare(b.name));
  return {
    times: Array.from({ length: Math.round((end - start) / step) + 1 }, (_, idx) => start + idx * step),
    lines,
    all: series.length,
    answer,
    step,
  };
}

/** Narrower than this there is no room for names at the ends of lines; the table below has them. */
const END_LABELS_MIN_PX = 640;
const END_LABELS_PX = 170;
const VALUE_AXIS_PX = 60;

/** Whether the newest sample of a line is from the end of the time on show. */
const isCurrent = (column: (number | null)[]): boolean => column.slice(-3).some((value) => value !== null);

const peak = (column: (number | null)[]): number => column.reduce<number>((most, value) => Math.max(most, value ?? -Infinity), -Infinity);

export function Explore() {
  const expression = (): string => query().get("expr") ?? "";
  const view = (): View => (query().get("view") === "table" ? "table" : "graph");
  const [draft, setDraft] = createSignal(expression());
  createEffect(on(expression, setDraft));
  createEffect(() => {
    setTitle("Explore");
  });
  const run = (text: string): void => setParams({ expr: text.trim() === "" ? null : text }, false);

  return (
    <Shell crumbs={[{ name: "Explore" }]}>
      <h1 class="visually-hidden">Explore</h1>
      <section class="panel editor">
        <Editor value={draft()} onInput={setDraft} onRun={() => run(draft())} />
        <div class="editor-bar">
          <button type="button" class="button primary" onClick={() => run(draft())}>
            <Icon name="play" size={14} /> Run
          </button>
          <kbd class="wide-only">Ctrl Enter</kbd>
          <div class="segments" role="group" aria-label="View">
            <button type="button" class="button" aria-pressed={view() === "graph"} onClick={() => setParams({ view: null })}>Graph</button>
            <button type="button" class="button" aria-pressed={view() === "table"} onClick={() => setParams({ view: "table" })}>Table</button>
          </div>
          <Format draft={draft()} onFormat={setDraft} />
        </div>
      </section>
      <Show
        when={expression() !== ""}
        fallback={
          <section class="panel">
            <Empty>Write a query above, or take one of these:</Empty>
            <ul class="examples">
              <For each={EXAMPLES}>{(example) => <li><button type="button" class="button plain mono" onClick={() => run(example)}>{example}</button></li>}</For>
            </ul>
          </section>
        }
      >
        <Show when={view() === "graph"} fallback={<Table expression={expression()} />}>
          <GraphView expression={expression()} />
        </Show>
      </Show>
    </Shell>
  );
}

function Editor(props: { value: string; onInput: (text: string) => void; onRun: () => void }) {
  let field!: HTMLTextAreaElement;
  onMount(() => field.focus());
  return (
    <div class="editor-field">
      <pre aria-hidden="true">
        <For each={words(props.value)}>{(word) => <span class={`word-${word.kind}`}>{word.text}</span>}</For>
        {"\n"}
      </pre>
      <textarea
        ref={field}
        aria-label="PromQL expression"
        spellcheck={false}
        autocapitalize="off"
        rows={Math.max(props.value.split("\n").length, 1)}
        value={props.value}
        placeholder="PromQL, for example up"
        onInput={(event) => props.onInput(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            props.onRun();
          }
        }}
      />
    </div>
  );
}

function Format(props: { draft: string; onFormat: (text: string) => void }) {
  const [failed, setFailed] = createSignal("");
  const format = async (): Promise<void> => {
    try {
      const answer = await fetchJson<{ data: string }>("/api/v1/format_query", { query: props.draft });
      setFailed("");
      props.onFormat(answer.data);
    } catch (error) {
      setFailed(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <button type="button" class="button plain" disabled={props.draft.trim() === ""} onClick={() => void format()}>Format</button>
      <Show when={failed() !== ""}><span class="small soft" role="alert">{failed()}</span></Show>
    </>
  );
}

function Remarks(props: { answer: prometheus.QueryAnswer | undefined }) {
  return (
    <For each={[...(props.answer?.warnings ?? []), ...(props.answer?.infos ?? [])]}>{(remark) => <p class="notice small">{remark}</p>}</For>
  );
}

function GraphView(props: { expression: string }) {
  const data = live(() => ({ expression: props.expression, range: timeRange() }), 1, ({ expression }, signal) => graph(expression, signal));
  const lines = createMemo(() => data.value()?.lines ?? []);
  const at = createMemo(() => {
    const found = data.value();
    return found ? placeOf(found.times, lines()[0]?.column ?? [], cursor()) : -1;
  });
  const bounds_ = createMemo(() => {
    let [low, high] = [0, 0];
    for (const line of lines()) {
      for (const value of line.column) {
        if (value === null) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    return [low < 0 ? -niceMax(-low) : 0, high > 0 ? niceMax(high) : low < 0 ? 0 : 1] as const;
  });
  const labelled = (): boolean => innerWidth >= END_LABELS_MIN_PX;
  const options = (): Omit<uPlot.Options, "width" | "height"> => ({
    scales: { x: { time: true }, y: { range: () => [bounds_()[0], bounds_()[1]] } },
    padding: [8, labelled() ? END_LABELS_PX : 8, 0, 0],
    axes: [
      {
        size: 26,
        stroke: token("--chart-axis"),
        font: `11px ${token("--font-ui")}`,
        grid: { stroke: token("--chart-grid"), width: 1 },
        ticks: { show: false },
        splits: (plot, _axis, from, to) => fittingTicks(from, to, plot.width - VALUE_AXIS_PX - (labelled() ? END_LABELS_PX : 8), offsetAt(to)),
        values: (_plot, splits) => splits.map((split) => tickText(split, timeRange().span)),
      },
      {
        size: VALUE_AXIS_PX,
        gap: 8,
        stroke: token("--chart-axis"),
        font: `11px ${token("--font-ui")}`,
        grid: { stroke: token("--chart-grid"), width: 1 },
        ticks: { show: false },
        values: (_plot, splits) => splits.map(significant),
      },
    ],
    series: [
      {},
      ...lines().map((_, idx) => ({
        stroke: token(`--series-${idx + 1}`),
        width: 1.5,
        dash: DASHES[idx] ?? [],
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: {
      draw: [
        ...(lines().length === 1 ? [gapHook(1)] : []),
        ...(labelled() ? [endLabelsHook(() => prometheus.shortNames(lines().map((line) => line.metric)), () => lines().map((_, idx) => token(`--series-${idx + 1}`)))] : []),
      ],
    },
  });
  // A uPlot chart has a fixed number of series: another number makes another chart.
  const shape = createMemo(() => `${lines().map((line) => line.name).join("\n")}`);
  return (
    <>
      <Refusal error={data.error()} expression={props.expression} />
      <Remarks answer={data.value()?.answer} />
      <Show when={data.value() !== undefined}>
        <section class="panel">
          <header>
            <h2>Graph</h2>
            <span class="small quiet wide-only">drag to zoom</span>
            <span class="end small quiet">
              <Show when={data.value()}>{(found) => `${found().all} series, ${samplesRead(found().answer)}${Math.round(found().answer.millis)} ms, step ${found().step} s`}</Show>
            </span>
          </header>
          <Show when={lines().length > 0} fallback={<Empty>No series has samples in this time.</Empty>}>
            <Show when={shape()} keyed>
              <Plot
                options={options}
                data={[data.value()?.times ?? [], ...lines().map((line) => line.column)] as uPlot.AlignedData}
                height={300}
                extra={bounds_()}
                label={`${lines().length} lines of ${props.expression}`}
              />
            </Show>
          </Show>
        </section>
      </Show>
      <Show when={lines().length > 0}>
        <section class="panel">
          <div class="scroll-x">
            <table>
              <thead>
                <tr>
                  <th>Series</th>
                  <th class="num">{cursor() === null ? (isLive() ? "now" : "last") : `at ${clock(data.value()?.times[at()] ?? 0)}`}</th>
                  <th class="num wide-only">min</th><th class="num wide-only">mean</th><th class="num wide-only">max</th>
                </tr>
              </thead>
              <tbody>
                <Keyed each={lines()} by={(line) => line.name}>
                  {(line) => {
                    const idx = (): number => lines().findIndex((other) => other.name === line().name);
                    const here = (): number | null =>
                      cursor() === null && !isCurrent(line().column) ? null : (line().column[placeOf(data.value()?.times ?? [], line().column, cursor())] ?? null);
                    const known = () => line().column.filter((value) => value !== null);
                    return (
                      <tr>
                        <td>
                          <svg class="swatch" width="20" height="8" aria-hidden="true">
                            <path d="M0 4h20" stroke={`var(--series-${idx() + 1})`} stroke-width="2" stroke-dasharray={(DASHES[idx()] ?? []).join(" ")} />
                          </svg>
                          <span class="mono">{line().name}</span>
                        </td>
                        <td class="num"><b classList={{ missing: here() === null }}>{shown(here())}</b></td>
                        <td class="num wide-only">{shown(Math.min(...known()))}</td>
                        <td class="num wide-only">{shown(known().reduce((total, value) => total + value, 0) / known().length)}</td>
                        <td class="num wide-only">{shown(Math.max(...known()))}</td>
                      </tr>
                    );
                  }}
                </Keyed>
              </tbody>
            </table>
          </div>
          <Show when={(data.value()?.all ?? 0) > LINES_MAX}>
            <p class="small quiet">The {LINES_MAX} highest of {data.value()?.all} series are drawn. The table has them all.</p>
          </Show>
        </section>
      </Show>
    </>
  );
}

const samplesRead = (answer: prometheus.QueryAnswer): string =>
  answer.samples === null ? "" : `${text(answer.samples, "count")} samples read, `;

const shown = (value: number | null | undefined): string => (value === null || value === undefined ? "no sample" : significant(value));

/** Line and column of a parse error, both from 1. */
function placeOfError(error: Error | undefined): { line: number; column: number } | null {
  const found = error instanceof ApiError ? /(?:^|\s)(\d+):(\d+): parse error/.exec(error.message) : null;
  return found ? { line: Number(found[1]), column: Number(found[2]) } : null;
}

/** What the server says against a query, with a mark at the place it names. */
function Refusal(props: { error: Error | undefined; expression: string }) {
  const place = () => placeOfError(props.error);
  return (
    <>
      <Failure error={props.error} />
      <Show when={place()}>
        {(at) => (
          <p class="panel refused" role="img" aria-label={`Line ${at().line}, column ${at().column} of the query`}>
            <span>{props.expression.split("\n")[at().line - 1]}</span>
            <b>{`${" ".repeat(Math.max(at().column - 1, 0))}^`}</b>
          </p>
        )}
      </Show>
    </>
  );
}

function Table(props: { expression: string }) {
  const time = (): number | null => timeRange().end;
  const data = live(() => ({ expression: props.expression, time: time() }), 1, ({ expression, time }, signal) => prometheus.instant(expression, time, signal));
  const rows = createMemo((): { name: string; value: string }[] => {
    const result = data.value()?.data;
    if (!result) return [];
    if (result.resultType === "vector") {
      return result.result.map((sample) => ({
        name: prometheus.labelsOf(sample.metric),
        value: sample.value?.[1] ?? `count ${sample.histogram?.[1].count ?? "0"}, sum ${sample.histogram?.[1].sum ?? "0"}`,
      }));
    }
    if (result.resultType === "matrix") {
      return result.result.map((series) => ({
        name: prometheus.labelsOf(series.metric),
        value: (series.values ?? []).map(([at, value]) => `${value} @${at}`).join("  "),
      }));
    }
    return [{ name: result.resultType, value: result.result[1] }];
  });
  return (
    <>
      <Refusal error={data.error()} expression={props.expression} />
      <Remarks answer={data.value()} />
      <Show when={data.value() !== undefined}>
        <section class="panel">
          <header>
            <h2>Table</h2>
            <span class="end small quiet">
              <Show when={data.value()}>{(answer) => `${rows().length} series, ${Math.round(answer().millis)} ms`}</Show>
            </span>
          </header>
          <Show when={rows().length > 0} fallback={<Empty>No series matches at this time.</Empty>}>
            <div class="scroll-x">
              <table>
                <thead><tr><th>Series</th><th class="num">Value</th></tr></thead>
                <tbody>
                  <For each={rows().slice(0, 1000)}>{(row) => <tr><td class="mono">{row.name}</td><td class="num">{row.value}</td></tr>}</For>
                </tbody>
              </table>
            </div>
            <Show when={rows().length > 1000}><p class="small quiet">The first 1000 of {rows().length}.</p></Show>
          </Show>
        </section>
      </Show>
    </>
  );
}
