//! Series that the server makes itself: about the objects, and about its own work.

use std::sync::Arc;

use anyhow::Context;
use swell_client::Client;
use swell_env::Clock;
use swell_model::{DurationMs, TimestampMs};
use swell_source_objects::ObjectSource;
use swell_stream::DirectLink;
use swell_telemetry::Registry;

use crate::adapters::{AnnouncingSink, SelfMetrics};
use crate::collect::{self, Source};
use crate::shutdown::Tasks;

/// The server's instance label: there is one core.
const INSTANCE: &str = "core";
/// Our own metrics change slowly; reading them costs more than reading /proc.
const SELF_METRICS_INTERVAL: DurationMs = DurationMs::from_secs(10);

/// Starts both passes, each interval. With `type_labels` the types of the server's own metrics are labels.
pub(crate) fn start(
    client: &Client,
    registry: &Registry,
    sink: &Arc<AnnouncingSink>,
    (interval, type_labels): (DurationMs, bool),
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let mut objects = ObjectSource::start(client, &tasks.stop_token());
    let object_source: Source = Box::new(move |_: TimestampMs, pass| objects.record(pass));
    let mut own = SelfMetrics::new(registry.clone(), INSTANCE.to_owned(), type_labels);
    let own_source: Source = Box::new(move |_: TimestampMs, pass| own.record(pass));
    for (source, interval) in
        [(object_source, interval), (own_source, SELF_METRICS_INTERVAL.max(interval))]
    {
        // Its metrics stand in a registry of their own: the node's link counts under the same names.
        let link = DirectLink::new(
            sink.clone(),
            swell_stream::ClientConfig::SPOOL_BYTES_MAX,
            &Registry::new(),
        )
        .context("set up the link of the server's own series")?;
        let stop = tasks.stop_token();
        tasks.spawn(
            "the collector of the server's own series",
            collect::run(vec![source], interval, Arc::new(link), clock.clone(), stop),
        );
    }
    Ok(())
}
