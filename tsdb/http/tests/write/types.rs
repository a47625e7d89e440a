//! Types and units that come with series of message 2.0, as labels.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use swell_env::MemDir;
use swell_model::{
    Labels, MatchOp, Matcher, MetricKind, MetricMetadata, SelectHints, SeriesSource as _, TimeRange,
};
use swell_tsdb_http::RemoteWriteConfig;
use swell_wire::remote_write::{Message, RequestV2, Sample, SeriesContent};

use crate::lab::{Lab, NOW_MS, labels, packed, storage};

fn lab(type_and_unit_labels: bool) -> Lab {
    let config = RemoteWriteConfig { type_and_unit_labels, ..RemoteWriteConfig::standard() };
    Lab::with(config, storage(), Arc::new(MemDir::new()))
}

fn metadata(kind: MetricKind, unit: &str) -> MetricMetadata {
    MetricMetadata { kind, help: "Help.".to_owned(), unit: unit.to_owned() }
}

impl Lab {
    /// Sends one sample of each series.
    async fn send(&self, at_ms: i64, series: &[(Labels, Option<MetricMetadata>)]) {
        let samples = [Sample { value: 1.0, timestamp_ms: at_ms, start_ms: 0 }];
        let mut request = RequestV2::default();
        for (labels, metadata) in series {
            let content = SeriesContent { samples: &samples, ..SeriesContent::default() };
            request.put_series(labels, &content, metadata.as_ref());
        }
        let content_type = format!("application/x-protobuf;proto={}", Message::V2.name());
        let request = Request::post("/api/v1/write")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(packed(&request.finish())))
            .expect("a request");
        let answer = self.answer(request).await;
        assert_eq!(answer.code, 204, "{}", answer.text);
    }

    /// Series that are stored, with their number of samples.
    fn series(&self) -> Vec<String> {
        let all = Matcher::new("__name__", MatchOp::Regex, ".+").expect("valid");
        let found = self.db.select(&[all], &SelectHints::range(TimeRange::ALL)).expect("selected");
        let shown = found.map(|series| {
            let series = series.expect("read");
            format!("{} {}", series.labels, series.floats.values.len())
        });
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        shown
    }
}

#[tokio::test]
async fn type_and_unit_become_labels_where_that_is_switched_on() {
    let own = |name: &str| {
        Labels::from_pairs([("__name__", name), ("__type__", "mine"), ("__unit__", "mine")])
    };
    let series = [
        (labels("c", 1), Some(metadata(MetricKind::Counter, "seconds"))),
        (labels("u", 1), Some(metadata(MetricKind::Unknown, "bytes"))),
        (labels("g", 1), Some(metadata(MetricKind::Gauge, ""))),
        (labels("n", 1), Some(metadata(MetricKind::Unknown, ""))),
        (labels("o", 1), None),
        (own("p"), Some(metadata(MetricKind::Gauge, ""))),
        (own("q"), Some(metadata(MetricKind::Unknown, ""))),
    ];
    let on = lab(true);
    for round in 0..3 {
        on.send(NOW_MS + round * 1000, &series).await;
    }
    assert_eq!(
        on.series(),
        [
            r#"c{__type__="counter", __unit__="seconds", nr="1"} 3"#,
            r#"g{__type__="gauge", nr="1"} 3"#,
            r#"n{nr="1"} 3"#,
            r#"o{nr="1"} 3"#,
            r#"p{__type__="gauge"} 3"#,
            r#"q{__type__="mine", __unit__="mine"} 3"#,
            r#"u{__unit__="bytes", nr="1"} 3"#,
        ]
    );
    let off = lab(false);
    off.send(NOW_MS, &series).await;
    assert!(off.series().contains(&r#"c{nr="1"} 1"#.to_owned()), "{:?}", off.series());
}

#[tokio::test]
async fn labels_with_another_type_are_another_series() {
    let lab = lab(true);
    let kinds = [MetricKind::Counter, MetricKind::Gauge, MetricKind::Counter, MetricKind::Unknown];
    for (round, kind) in (0..).zip(kinds.repeat(2)) {
        lab.send(NOW_MS + round * 1000, &[(labels("m", 1), Some(metadata(kind, "")))]).await;
    }
    assert_eq!(
        lab.series(),
        [
            r#"m{__type__="counter", nr="1"} 4"#,
            r#"m{__type__="gauge", nr="1"} 2"#,
            r#"m{nr="1"} 2"#,
        ]
    );
}
