// Why a workload has as many replicas as it has: the steps of one decision, in the order of its record.
import { createSignal, For, Show } from "solid-js";
import type { Decision, DecisionStep, Stage } from "../api/swell";
import { below } from "../base";
import { GLYPH_OF, WORD_OF } from "../charts/lanes";
import { clock } from "../time-range";
import { text } from "../units";
import { Glyph, Icon } from "./glyphs";

const STAGE_NAMES: Record<Exclude<Stage, "asked">, string> = {
  current: "Current",
  unknown_pods: "Pods not counted yet",
  tolerance: "Tolerance",
  stabilisation: "Stabilisation",
  rate_limit: "Rate limit",
  bounds: "Min, max",
  final: "Final",
};

/** `CPU` for the resource `cpu`; other metrics keep their names. */
const metricName = (name: string): string => (name === "cpu" ? "CPU" : name);

function stageName(step: DecisionStep, decision: Decision): string {
  if (step.stage !== "asked") return STAGE_NAMES[step.stage];
  const winner = decision.winner === null ? undefined : decision.signals[decision.winner];
  return winner ? `Asked by ${metricName(winner.name)}` : "Asked";
}

/** A sentence whose numbers stand out. */
function Sentence(props: { text: string }) {
  const parts = () => props.text.split(/(\d+(?:\.\d+)?(?: %| s)?)/);
  return <p class="sentence"><For each={parts()}>{(part, idx) => (idx() % 2 === 1 ? <b>{part}</b> : part)}</For></p>;
}

/** Whether the stage took away from what was asked, or added to it. */
const bit = (step: DecisionStep): boolean => step.before !== step.after && step.stage !== "asked" && step.stage !== "final";

function StepPips(props: { step: DecisionStep; from: number; max: number }) {
  const count = (): number => Math.min(Math.max(props.max, props.step.before, props.step.after, props.from), 24);
  const kind = (idx: number): string => {
    const { before, after } = props.step;
    if (idx < Math.min(after, props.from)) return "on";
    if (idx < after) return "wanted";
    if (bit(props.step) && idx < before) return "cut";
    return "";
  };
  return (
    <span class="pips" aria-hidden="true">
      <For each={Array.from({ length: count() })}>{(_, idx) => <i class={kind(idx())} />}</For>
    </span>
  );
}

function difference(step: DecisionStep): string {
  const change = step.after - step.before;
  if (change === 0) return "=";
  return change > 0 ? `+${change}` : `−${-change}`;
}

/** The time from the sample to the ready pod, in its parts. */
function Latency(props: { decision: Decision }) {
  const parts = (): { name: string; millis: number }[] => {
    const { sampled_ms, decided_ms, acted_ms, running_ms, ready_ms } = props.decision.times;
    const moments: [string, number | undefined][] = [
      ["decide", decided_ms],
      ["write", acted_ms],
      ["start", running_ms],
      ["ready", ready_ms],
    ];
    let last = sampled_ms ?? decided_ms;
    const found: { name: string; millis: number }[] = [];
    for (const [name, at] of moments) {
      if (at === undefined) break;
      found.push({ name, millis: Math.max(at - last, 0) });
      last = Math.max(at, last);
    }
    return found;
  };
  const total = (): number => parts().reduce((sum, part) => sum + part.millis, 0);
  return (
    <Show when={props.decision.direction === "out" && parts().length > 1}>
      <div class="latency">
        <div class="latency-head">
          <span class="small soft">From sample to {parts().at(-1)?.name}</span>
          <b>{text(total() / 1000, "seconds")}</b>
        </div>
        <div class="latency-bar" aria-hidden="true">
          <For each={parts()}>{(part) => <i style={{ flex: `${Math.max(part.millis, total() * 0.01)} 0 0` }} />}</For>
        </div>
        <dl>
          <For each={parts()}>
            {(part) => (
              <div>
                <dt class="small quiet">{part.name}</dt>
                <dd>{text(part.millis / 1000, "seconds")}</dd>
              </div>
            )}
          </For>
        </dl>
      </div>
    </Show>
  );
}

/** Where `swell explain` asks unless told otherwise. */
const DEFAULT_SERVER = "http://127.0.0.1:9090";

export function DecisionCard(props: {
  decision: Decision;
  position: string;
  max: number;
  onPrevious: (() => void) | undefined;
  onNext: (() => void) | undefined;
}) {
  const [copied, setCopied] = createSignal(false);
  const command = (): string => {
    const at = new Date(props.decision.at_ms).toISOString();
    const here = new URL(below("/"), location.href).href.replace(/\/$/, "");
    const server = here === DEFAULT_SERVER ? "" : ` --server ${here}`;
    return `swell explain hpa/${props.decision.policy.name} -n ${props.decision.policy.namespace} --at ${at}${server}`;
  };
  return (
    <section class="panel card" aria-label="Decision">
      <header>
        <h2><Glyph name={GLYPH_OF[props.decision.direction]} size={11} /> {WORD_OF[props.decision.direction]}</h2>
        <time class="soft" datetime={new Date(props.decision.at_ms).toISOString()}>{clock(props.decision.at_ms / 1000)}</time>
        <span class="end small quiet">{props.position}</span>
        <button type="button" class="button icon plain" aria-label="Earlier decision" disabled={!props.onPrevious} onClick={() => props.onPrevious?.()}>
          <Icon name="left" size={16} />
        </button>
        <button type="button" class="button icon plain" aria-label="Later decision" disabled={!props.onNext} onClick={() => props.onNext?.()}>
          <Icon name="right" size={16} />
        </button>
      </header>
      <p class="change">
        <Show when={props.decision.from !== null && props.decision.from !== props.decision.replicas} fallback={<b>{props.decision.replicas}</b>}>
          <b>{props.decision.from}</b>{" "}
          <span class="quiet" role="img" aria-label="to"><Icon name="to" size={28} /></span>{" "}
          <b class="accent">{props.decision.replicas}</b>
        </Show>
        <span class="unit"> replicas</span>
      </p>
      <Sentence text={props.decision.sentence} />
      <ol class="steps">
        <For each={props.decision.steps}>
          {(step) => (
            <li classList={{ bit: bit(step), final: step.stage === "final" }}>
              <div>
                <b>{stageName(step, props.decision)}</b>
                <Show when={step.text !== ""}>
                  <span class="small soft">{step.text}</span>
                </Show>
              </div>
              <StepPips step={step} from={props.decision.from ?? 0} max={props.max} />
              <span class="number">{step.after}</span>
              <span class="difference small">{step.stage === "current" ? "" : step.stage === "final" ? difference({ ...step, before: props.decision.from ?? step.before }) : difference(step)}</span>
            </li>
          )}
        </For>
      </ol>
      <Latency decision={props.decision} />
      <Show when={props.decision.repeated > 0}>
        <p class="small quiet">Came to the same end {props.decision.repeated} more times.</p>
      </Show>
      <div class="command">
        <code>{command()}</code>
        <button
          type="button"
          class="button icon plain"
          aria-label={copied() ? "Copied" : "Copy the command"}
          onClick={() => {
            void navigator.clipboard?.writeText(command()).then(() => setCopied(true));
          }}
        >
          <Show when={copied()} fallback={<Icon name="copy" size={16} />}>
            <Glyph name="ok" />
          </Show>
        </button>
      </div>
    </section>
  );
}
