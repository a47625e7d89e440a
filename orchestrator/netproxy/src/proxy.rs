//! Carries a ruleset out: listens, updates endpoints, records.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use parking_lot::Mutex;
use prometheus::Registry;
use swell_client::{Cache, Client, ListParams};
use swell_env::Clock;
use swell_model::Pass;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backend::{Backend, BackendSet, Time};
use crate::config::Config;
use crate::frontend::{self, Listening, Shared};
use crate::metrics::Metrics;
use crate::ruleset::{Frontend, Problem, Protocol, Ruleset, ServiceName, ruleset};
use crate::stats::{Ports, ProxyLabels, ServiceSeries};

/// An address that could not be bound is tried again so often: another process may let go of it.
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long an accept loop may take to notice that it was stopped.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How long requests under way get at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// The service proxy of one node. Clones share everything.
#[derive(Clone)]
pub struct NetProxy {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    time: Time,
    metrics: Metrics,
    labels: ProxyLabels,
    state: Mutex<State>,
}

/// What is carried out now. Never locked across an await, nor by requests.
#[derive(Default)]
struct State {
    frontends: BTreeMap<SocketAddr, Running>,
    services: BTreeMap<ServiceName, ServiceSeries>,
    problems: Vec<Problem>,
    /// Endpoints that left; they live as long as something is under way to them.
    draining: Vec<Weak<Backend>>,
}

/// A frontend that is listened on, or could not be.
struct Running {
    protocol: Protocol,
    shared: Arc<Shared>,
    listening: Result<Listening, String>,
}

/// One frontend, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendStatus {
    /// What is listened on.
    pub address: SocketAddr,
    /// For whom.
    pub service: ServiceName,
    /// Ready endpoints.
    pub endpoint_count: usize,
    /// Why it is not listened on, if so.
    pub fault: Option<String>,
}

impl NetProxy {
    /// A proxy that listens on nothing yet.
    ///
    /// # Errors
    /// When its metrics are registered already.
    pub fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let inner = Inner {
            labels: ProxyLabels::new(&config.instance, &config.extra_labels),
            config,
            time: Time::new(clock),
            metrics: Metrics::register(registry)?,
            state: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Follows the Services and Endpoints of the cluster until `shutdown`; then lets requests end.
    pub async fn run(self, client: Client, shutdown: CancellationToken) {
        let services: Cache<Service> =
            Cache::start(client.clone(), None, ListParams::default(), shutdown.clone());
        let endpoints: Cache<Endpoints> =
            Cache::start(client, None, ListParams::default(), shutdown.clone());
        let (mut services_changed, mut endpoints_changed) =
            (services.changed(), endpoints.changed());
        let synced = async { services.synced().await && endpoints.synced().await };
        let is_synced = tokio::select! {
            is_synced = synced => is_synced,
            () = shutdown.cancelled() => false,
        };
        while is_synced && !shutdown.is_cancelled() {
            services_changed.mark_unchanged();
            endpoints_changed.mark_unchanged();
            self.apply(ruleset(&services.list(), &endpoints.list())).await;
            let has_faults = self.status().iter().any(|frontend| frontend.fault.is_some());
            let changed = tokio::select! {
                changed = services_changed.changed() => changed.is_ok(),
                changed = endpoints_changed.changed() => changed.is_ok(),
                () = tokio::time::sleep(BIND_RETRY_INTERVAL), if has_faults => true,
                () = shutdown.cancelled() => false,
            };
            if !changed {
                break;
            }
        }
        self.stop().await;
    }

    /// Makes the rules hold: listens on new addresses, leaves old ones, replaces endpoints. What is under
    /// way to an endpoint that goes is left to end. Carrying out the same rules again changes nothing, but
    /// for addresses that could not be bound, which are tried again.
    pub async fn apply(&self, rules: Ruleset) {
        let (missing, ended) = self.update(&rules);
        let free = futures::future::join_all(ended.iter().map(CancellationToken::cancelled));
        if tokio::time::timeout(CLOSE_DEADLINE, free).await.is_err() {
            warn!("an address that was left is still listened on");
        }
        for address in missing {
            let bound = TcpListener::bind(address).await;
            self.listen(address, bound.map_err(|error| error.to_string()));
        }
        let state = self.inner.state.lock();
        let count = state.frontends.values().filter(|running| running.listening.is_ok()).count();
        self.inner.metrics.frontends.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Writes the counters of all services into the pass, and closes connections idle for too long.
    pub fn record(&self, pass: &mut Pass) {
        let mut state = self.inner.state.lock();
        let State { frontends, services, .. } = &mut *state;
        let mut ports: HashMap<&ServiceName, Ports> = HashMap::new();
        for running in frontends.values() {
            let ports = ports.entry(&running.shared.service).or_default();
            match running.protocol {
                Protocol::Http => ports.has_http = true,
                Protocol::Tcp => ports.has_tcp = true,
            }
            let set = Arc::clone(&running.shared.backends.borrow());
            for backend in &set.backends {
                backend.reap();
            }
        }
        for (service, series) in services {
            let ports = ports.get(service).copied().unwrap_or_default();
            series.record(service, ports, &self.inner.labels, pass);
        }
    }

    /// The frontends, by address.
    #[must_use]
    pub fn status(&self) -> Vec<FrontendStatus> {
        let state = self.inner.state.lock();
        let status = |(address, running): (&SocketAddr, &Running)| FrontendStatus {
            address: *address,
            service: running.shared.service.clone(),
            endpoint_count: running.shared.backends.borrow().backends.len(),
            fault: running.listening.as_ref().err().cloned(),
        };
        state.frontends.iter().map(status).collect()
    }

    /// What Services ask for that is not done.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.inner.state.lock().problems.clone()
    }

    /// Whether nothing goes to this address any more: it is no endpoint of any service, and what was under
    /// way to it when it left has ended. A pod that is told to end only then loses no request.
    #[must_use]
    pub fn is_drained(&self, ip: IpAddr) -> bool {
        let state = self.inner.state.lock();
        let is_of = |backend: &Backend| backend.endpoint.address.ip() == ip;
        let mut sets = state.frontends.values().map(|running| running.shared.backends.borrow());
        let is_endpoint = sets.any(|set| set.backends.iter().any(|backend| is_of(backend)));
        let mut draining = state.draining.iter().filter_map(Weak::upgrade);
        !is_endpoint && !draining.any(|backend| is_of(&backend) && backend.in_flight() > 0)
    }

    /// Stops listening, and waits for requests under way.
    pub async fn stop(&self) {
        let frontends = std::mem::take(&mut self.inner.state.lock().frontends);
        let tasks: Vec<JoinHandle<()>> = frontends
            .into_values()
            .filter_map(|running| running.listening.ok())
            .map(|listening| {
                listening.stop.cancel();
                listening.task
            })
            .collect();
        let ended = futures::future::join_all(tasks);
        if tokio::time::timeout(DRAIN_DEADLINE, ended).await.is_err() {
            warn!("requests were still under way at the end of the drain");
        }
    }

    /// Brings the state in line with the rules, but for sockets; returns the addresses to bind, and the
    /// listeners to wait for, which may stand on the same addresses.
    fn update(&self, rules: &Ruleset) -> (Vec<SocketAddr>, Vec<CancellationToken>) {
        let mut state = self.inner.state.lock();
        let State { frontends, services, problems, draining } = &mut *state;
        draining.retain(|backend| backend.strong_count() > 0);
        for problem in rules.problems.iter().filter(|problem| !problems.contains(problem)) {
            warn!(%problem, "a service is not proxied as it asks for");
        }
        problems.clone_from(&rules.problems);
        let mut ended = Vec::new();
        frontends.retain(|address, running| {
            let is_kept = rules.frontends.get(address).is_some_and(|frontend| {
                frontend.service == running.shared.service
                    && frontend.port_name == running.shared.port_name
                    && frontend.protocol == running.protocol
            });
            if !is_kept {
                ended.extend(running.end(draining));
            }
            is_kept
        });
        let mut missing = Vec::new();
        for (address, frontend) in &rules.frontends {
            let series = services
                .entry(frontend.service.clone())
                .or_insert_with(|| ServiceSeries::new(&frontend.service, &self.inner.labels));
            let running =
                frontends.entry(*address).or_insert_with(|| self.running(frontend, series));
            draining.extend(self.update_backends(&running.shared, frontend, series));
            if running.listening.is_err() {
                missing.push(*address);
            }
        }
        let is_served = |service: &ServiceName| {
            rules.frontends.values().any(|frontend| frontend.service == *service)
        };
        services.retain(|service, _| is_served(service));
        (missing, ended)
    }

    fn running(&self, frontend: &Frontend, series: &ServiceSeries) -> Running {
        let shared = Shared {
            service: frontend.service.clone(),
            port_name: frontend.port_name.clone(),
            stats: Arc::clone(&series.stats),
            time: self.inner.time.clone(),
            endpoint_wait: self.inner.config.endpoint_wait.to_std(),
            backends: watch::Sender::new(Arc::default()),
            turn: AtomicUsize::new(0),
        };
        let listening = Err("it is not bound yet".to_owned());
        Running { protocol: frontend.protocol, shared: Arc::new(shared), listening }
    }

    /// Replaces the endpoints; those that stay keep their connections and counts. Returns those that left.
    fn update_backends(
        &self,
        shared: &Shared,
        frontend: &Frontend,
        series: &mut ServiceSeries,
    ) -> Vec<Weak<Backend>> {
        let before = Arc::clone(&shared.backends.borrow());
        let is_same = before.not_ready_count == frontend.not_ready_count
            && before.backends.iter().map(|backend| &backend.endpoint).eq(&frontend.endpoints);
        if is_same {
            return Vec::new();
        }
        let backends = frontend.endpoints.iter().map(|endpoint| {
            let known = before.backends.iter().find(|backend| backend.endpoint == *endpoint);
            known.map(Arc::clone).unwrap_or_else(|| {
                let labels = &self.inner.labels;
                let stats = match endpoint.pod.as_str() {
                    "" => series.endpoint(&frontend.service, &endpoint.address.to_string(), labels),
                    pod => series.endpoint(&frontend.service, pod, labels),
                };
                Arc::new(Backend::new(endpoint.clone(), stats, self.inner.time.clone()))
            })
        });
        let not_ready_count = frontend.not_ready_count;
        let after = Arc::new(BackendSet { backends: backends.collect(), not_ready_count });
        shared.backends.send_replace(Arc::clone(&after));
        let is_gone = |backend: &&Arc<Backend>| {
            !after.backends.iter().any(|other| Arc::ptr_eq(backend, other))
        };
        let gone = before.backends.iter().filter(is_gone);
        gone.map(|backend| {
            backend.remove();
            Arc::downgrade(backend)
        })
        .collect()
    }

    /// Takes connections on a bound address, or notes why not.
    fn listen(&self, address: SocketAddr, bound: Result<TcpListener, String>) {
        let mut state = self.inner.state.lock();
        // the rules may have changed while the address was being bound
        let Some(running) = state.frontends.get_mut(&address) else { return };
        match bound {
            Ok(listener) => {
                let service = &running.shared.service;
                info!(%address, %service, protocol = ?running.protocol, "a service is proxied");
                running.listening = Ok(frontend::listen(
                    listener,
                    running.protocol,
                    Arc::clone(&running.shared),
                    self.inner.metrics.clone(),
                ));
            }
            Err(fault) => {
                self.inner.metrics.bind_failures.inc();
                if running.listening.as_ref().err() != Some(&fault) {
                    let service = &running.shared.service;
                    warn!(%address, %service, fault, "a service's address cannot be listened on");
                }
                running.listening = Err(fault);
            }
        }
    }
}

impl Running {
    /// Stops listening. Requests under way end by themselves; nobody waits for them. What is returned is
    /// cancelled when the address is free.
    fn end(&self, draining: &mut Vec<Weak<Backend>>) -> Option<CancellationToken> {
        let set = self.shared.backends.send_replace(Arc::default());
        for backend in &set.backends {
            backend.remove();
            draining.push(Arc::downgrade(backend));
        }
        let listening = self.listening.as_ref().ok()?;
        listening.stop.cancel();
        Some(listening.closed.clone())
    }
}

impl fmt::Debug for NetProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetProxy").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
