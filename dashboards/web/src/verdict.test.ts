import { describe, expect, it } from "vitest";
import type { Overview, Workload } from "./api/swell";
import { ofWorkload, overall } from "./verdict";

const web = (changes: Partial<Workload> = {}): Workload => ({
  namespace: "shop",
  name: "web",
  kind: "Deployment",
  replicas_wanted: 3,
  replicas_ready: 3,
  services: [],
  autoscaler: { name: "web", min: 1, max: 6, target_percent: 50, measured_percent: 51, conditions: [] },
  pods: [],
  ...changes,
});

const all = (changes: Partial<Overview> = {}): Overview => ({ nodes: [], workloads: [web()], events: [], ...changes });

describe("verdict", () => {
  it("is calm when all is well and names what is not, worst first", () => {
    expect(overall(all(), []).glyph).toBe("ok");
    expect(overall(all({ workloads: [] }), []).title).toBe("Nothing runs yet");
    const short = overall(all({ workloads: [web({ replicas_ready: 1 })] }), []);
    expect(short.title).toBe("1 of 1 workload is short of replicas");
    const node = {
      name: "n1", ready: false, reason: "no heartbeat for 40 s", unschedulable: false, pods: 0, pods_max: null,
      cpu_milli: null, cpu_requested_milli: 0, memory_bytes: null, memory_requested_bytes: 0,
    };
    expect(overall(all({ nodes: [node], workloads: [web({ replicas_ready: 1 })] }), []).glyph).toBe("crit");
  });

  it("says how a workload stands against its target", () => {
    expect(ofWorkload(web()).title).toBe("On target.");
    expect(ofWorkload(web({ replicas_ready: 2 })).title).toBe("Starting.");
    const autoscaler = { name: "web", min: 1, max: 6, target_percent: 50, measured_percent: 188, conditions: [] };
    expect(ofWorkload(web({ autoscaler })).title).toBe("Above target.");
    const conditions = [{ type: "ScalingActive", status: "False", reason: "FailedGetResourceMetric", message: "no samples came" }];
    expect(ofWorkload(web({ autoscaler: { ...autoscaler, conditions } })).detail).toContain("no samples came");
  });
});
