// The queries behind a workload's tracks. Pure.

const quoted = (text: string): string => JSON.stringify(text);
/** RE2 metacharacters escaped, for use inside a matcher. */
const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

export interface Queries {
  load: string;
  latency: string;
  use: string;
  wanted: string;
  ready: string;
  alerts: string;
}

/** Queries for one workload; `window` is the rate window in seconds. */
export function queriesOf(namespace: string, name: string, services: string[], window: number): Queries {
  const inNamespace = `namespace=${quoted(namespace)}`;
  const service = `${inNamespace},service=~${quoted(services.map(literal).join("|"))}`;
  const pods = `${inNamespace},pod=~${quoted(`${literal(name)}-[a-z0-9]+-[a-z0-9]+`)}`;
  const deployment = `${inNamespace},deployment=${quoted(name)}`;
  const over = `[${window}s]`;
  return {
    load: `sum(rate(swell_service_requests_total{${service}}${over}))`,
    latency: `histogram_quantile(0.95, sum by (le) (rate(swell_service_request_duration_seconds_bucket{${service}}${over})))`,
    use: `sum(rate(container_cpu_usage_seconds_total{${pods},container!=""}${over})) / sum(kube_pod_container_resource_requests{${pods},resource="cpu"})`,
    wanted: `kube_deployment_spec_replicas{${deployment}}`,
    ready: `kube_deployment_status_replicas_ready{${deployment}}`,
    alerts: `ALERTS`,
  };
}

/** A rate needs two samples at least; wider steps average over what they stand for. */
export const rateWindow = (step: number): number => Math.max(3, step * 2);
