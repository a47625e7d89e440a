import { Match, Show, Switch } from "solid-js";
import { render } from "solid-js/web";
import "uplot/dist/uPlot.min.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/pages.css";
import { below } from "./base";
import { Shell } from "./parts/shell";
import { Empty } from "./parts/states";
import { Explore } from "./routes/explore";
import { Overview } from "./routes/overview";
import { Workload } from "./routes/workload";
import { Workloads } from "./routes/workloads";
import { path, start } from "./state";
import { follow } from "./theme";

interface Place {
  namespace: string;
  name: string;
}

/** `/workloads/NAMESPACE/NAME`. */
function workloadOf(page: string): Place | undefined {
  const [, section, namespace, name, ...rest] = page.split("/").map(decodeURIComponent);
  if (section !== "workloads" || !namespace || !name || rest.length > 0) return undefined;
  return { namespace, name };
}

function App() {
  return (
    <Switch
      fallback={
        <Shell crumbs={[{ name: "Not found" }]}>
          <Empty>There is no page {path()}. <a class="link" href={below("/")}>The overview</a> has everything.</Empty>
        </Shell>
      }
    >
      <Match when={path() === "/"}><Overview /></Match>
      <Match when={path() === "/workloads"}><Workloads /></Match>
      <Match when={path() === "/explore"}><Explore /></Match>
      <Match when={workloadOf(path())}>
        {(place) => (
          <Show when={`${place().namespace}/${place().name}`} keyed>
            <Workload namespace={place().namespace} name={place().name} />
          </Show>
        )}
      </Match>
    </Switch>
  );
}

follow();
start();
const host = document.getElementById("app");
if (host) render(() => <App />, host);
