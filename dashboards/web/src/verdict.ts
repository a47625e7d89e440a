// What a page says in its first sentence. Pure.
import type { Alert, Overview, Workload } from "./api/swell";
import type { GlyphName } from "./parts/glyphs";

export interface Verdict {
  glyph: GlyphName;
  title: string;
  detail: string;
}

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

/** Whether a workload has fewer ready replicas than it wants. */
export const isShort = (workload: Workload): boolean => workload.replicas_ready < workload.replicas_wanted;

/** The state of everything, worst first. */
export function overall(data: Overview, alerts: Alert[]): Verdict {
  const lost = data.nodes.filter((node) => !node.ready);
  if (lost.length > 0) {
    const names = lost.map((node) => node.name).join(", ");
    return {
      glyph: "crit",
      title: `${plural(lost.length, "node is", "nodes are")} not ready`,
      detail: `${names}: ${lost[0]?.reason || "no heartbeat"}`,
    };
  }
  const firing = alerts.filter((alert) => alert.state === "firing");
  const short = data.workloads.filter(isShort);
  const first = short[0];
  if (first) {
    const count = data.workloads.length;
    return {
      glyph: "warn",
      title: `${short.length} of ${plural(count, "workload is", "workloads are")} short of replicas`,
      detail: `${first.namespace}/${first.name} wants ${first.replicas_wanted} and has ${first.replicas_ready}.`,
    };
  }
  if (firing.length > 0) {
    const names = [...new Set(firing.map((alert) => alert.labels["alertname"] ?? "unnamed"))].join(", ");
    return { glyph: "warn", title: `${plural(firing.length, "alert fires", "alerts fire")}`, detail: names };
  }
  if (data.workloads.length === 0) {
    return { glyph: "info", title: "Nothing runs yet", detail: "Metrics of the nodes are being collected." };
  }
  return {
    glyph: "ok",
    title: "All is well",
    detail: `${plural(data.workloads.length, "workload has the replicas it wants", "workloads have the replicas they want")}, no alert fires.`,
  };
}

/** The state of one workload in a sentence. */
export function ofWorkload(workload: Workload): Verdict {
  const { replicas_ready: ready, replicas_wanted: wanted, autoscaler } = workload;
  const replicas = `${ready} of ${wanted} ${wanted === 1 ? "replica" : "replicas"} ready`;
  const measured = autoscaler?.measured_percent ?? null;
  const target = autoscaler?.target_percent ?? null;
  const use = measured === null || target === null ? "" : `, CPU ${measured} % of request against a target of ${target} %`;
  const inactive = autoscaler?.conditions.find((condition) => condition.type === "ScalingActive" && condition.status === "False");
  if (inactive) return { glyph: "warn", title: "Not scaling.", detail: `${inactive.message || inactive.reason}. ${replicas}.` };
  if (ready < wanted) {
    const waiting = workload.pods.find((pod) => !pod.ready && !pod.deleting && pod.reason !== null);
    const why = waiting ? ` ${waiting.name}: ${waiting.reason}.` : "";
    return { glyph: "pending", title: "Starting.", detail: `${replicas}${use}.${why}` };
  }
  if (measured !== null && target !== null) {
    if (measured > target * 1.1) return { glyph: "warn", title: "Above target.", detail: `${replicas}${use}.` };
    if (measured < target * 0.9) return { glyph: "ok", title: "Room to spare.", detail: `${replicas}${use}.` };
    return { glyph: "ok", title: "On target.", detail: `${replicas}${use}.` };
  }
  return { glyph: "ok", title: "Running.", detail: `${replicas}.` };
}
