// Swell's own API, as far as the pages use it.
import { fetchJson } from "./http";

export interface ObjectName {
  kind: string;
  namespace: string;
  name: string;
}

export interface Pod {
  name: string;
  node: string | null;
  ip: string | null;
  phase: string;
  ready: boolean;
  deleting: boolean;
  restarts: number;
  /** Why it waits or failed, in the node agent's words. */
  reason: string | null;
  created_ms: number | null;
  ready_ms: number | null;
}

export interface Autoscaler {
  name: string;
  min: number;
  max: number;
  /** Whole per cent of the request, where CPU utilisation is the target. */
  target_percent: number | null;
  measured_percent: number | null;
  conditions: { type: string; status: string; reason: string; message: string }[];
}

export interface Workload {
  namespace: string;
  name: string;
  kind: string;
  replicas_wanted: number;
  replicas_ready: number;
  services: string[];
  autoscaler: Autoscaler | null;
  pods: Pod[];
}

export interface NodeInfo {
  name: string;
  ready: boolean;
  reason: string;
  unschedulable: boolean;
  pods: number;
  pods_max: number | null;
  cpu_milli: number | null;
  cpu_requested_milli: number;
  memory_bytes: number | null;
  memory_requested_bytes: number;
}

export interface EventInfo {
  at_ms: number | null;
  warning: boolean;
  reason: string;
  message: string;
  count: number;
  object: ObjectName;
}

export interface Overview {
  nodes: NodeInfo[];
  workloads: Workload[];
  events: EventInfo[];
}

export type Stage =
  | "current" | "asked" | "unknown_pods" | "tolerance" | "stabilisation" | "rate_limit" | "bounds" | "final";

export interface DecisionStep {
  stage: Stage;
  before: number;
  after: number;
  text: string;
}

export interface Signal {
  type: string;
  name: string;
  target_type: string;
  target_value: number;
  utilization?: number;
  formula?: string;
  proposal?: number;
  error?: string;
}

export interface Decision {
  id: number;
  policy: ObjectName;
  target: ObjectName;
  at_ms: number;
  from: number | null;
  replicas: number;
  direction: "out" | "in" | "hold";
  reason: string;
  limited_by: Stage | null;
  signals: Signal[];
  winner: number | null;
  steps: DecisionStep[];
  sentence: string;
  brief: string;
  next: {
    grow: { to: number; not_before_ms?: number; more_at_ms?: number; more_to?: number };
    shrink: { to: number; not_before_ms?: number; window_ms: number; disabled: boolean };
  };
  times: { sampled_ms?: number; decided_ms: number; acted_ms?: number; running_ms?: number; ready_ms?: number };
  repeated: number;
  last_ms?: number;
}

export interface Alert {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  state: "inactive" | "pending" | "firing";
  activeAt: string;
  value: string;
}

/** Everything the first page shows. */
export function overview(signal?: AbortSignal): Promise<Overview> {
  return fetchJson("/api/swell/v1/overview", {}, signal);
}

/** One workload with its pods and events. */
export function workload(namespace: string, name: string, signal?: AbortSignal): Promise<Workload & { events: EventInfo[] }> {
  const path = `/api/swell/v1/workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  return fetchJson(path, {}, signal);
}

/** Decisions, newest first. */
export async function decisions(params: Record<string, string | number>, signal?: AbortSignal): Promise<Decision[]> {
  const answer = await fetchJson<{ decisions: Decision[] }>("/api/swell/v1/decisions", params, signal);
  return answer.decisions;
}

/** Alerts that are pending or firing. */
export async function alerts(signal?: AbortSignal): Promise<Alert[]> {
  const answer = await fetchJson<{ data: { alerts: Alert[] } }>("/api/v1/alerts", {}, signal);
  return answer.data.alerts;
}
