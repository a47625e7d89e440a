//! Requests of remote write out of a generated cluster, and their way through the route.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use swell_bench_gen::Cluster;
use swell_wire::remote_write::{encode_labels, put_series};
use tower::ServiceExt as _;

const REQUEST_SAMPLES: usize = 5_000;

/// One sample of each series a row, target after target.
pub(crate) struct Requests {
    cluster: Cluster,
    /// Of each target's series, as they stand in a request.
    labels: Vec<Vec<Box<[u8]>>>,
    encoder: snap::raw::Encoder,
}

impl Requests {
    pub(crate) fn of(cluster: Cluster) -> Self {
        let labels = cluster.targets.iter();
        let labels =
            labels.map(|target| target.labels.iter().map(encode_labels).collect()).collect();
        Self { cluster, labels, encoder: snap::raw::Encoder::new() }
    }

    pub(crate) fn series_count(&self) -> usize {
        self.cluster.series_count()
    }

    /// The bodies of the next row, packed, and how many samples they have.
    pub(crate) fn next_row(&mut self) -> anyhow::Result<(Vec<Vec<u8>>, usize)> {
        let (mut bodies, mut samples) = (Vec::new(), 0);
        let (mut request, mut count) = (Vec::new(), 0);
        for (target, labels) in self.cluster.targets.iter_mut().zip(&self.labels) {
            let (at_ms, values) = target.scrape();
            for (labels, value) in labels.iter().zip(values) {
                put_series(labels, &[(at_ms, *value)], &mut request);
                (count, samples) = (count + 1, samples + 1);
                if count == REQUEST_SAMPLES {
                    bodies.push(self.encoder.compress_vec(&request)?);
                    request.clear();
                    count = 0;
                }
            }
        }
        bodies.push(self.encoder.compress_vec(&request)?);
        Ok((bodies, samples))
    }
}

/// Sends bodies one after the other; each must be taken.
pub(crate) async fn send(router: &Router, bodies: Vec<Vec<u8>>) -> anyhow::Result<()> {
    for body in bodies {
        let request = Request::post("/api/v1/write").body(Body::from(body))?;
        let answer = router.clone().oneshot(request).await?;
        anyhow::ensure!(answer.status() == 204, "answered {}", answer.status());
    }
    Ok(())
}
