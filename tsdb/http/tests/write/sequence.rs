//! Senders repeat their series: they are recognised, also in another order, and never taken for others.

use proptest::prelude::*;
use swell_model::Labels;

use crate::lab::{Lab, NOW_MS, labels};

const FOUND: &str = "swell_remote_write_series_total";

#[tokio::test]
async fn a_repeated_request_is_recognised_series_by_series() {
    let lab = Lab::new();
    let all: Vec<Labels> = (0..50).map(|nr| labels("m", nr)).collect();
    for round in 0..4 {
        let sample = [(NOW_MS + round * 1000, 1.0)];
        let series: Vec<_> = all.iter().map(|labels| (labels, &sample[..])).collect();
        assert_eq!(lab.push_series(&series).await.code, 204);
    }
    assert_eq!(lab.metric(FOUND, "new"), 50.0);
    assert_eq!(lab.metric(FOUND, "by_hash"), 3.0, "the first of each request");
    assert_eq!(lab.metric(FOUND, "in_sequence"), 147.0);
    assert_eq!(lab.metric("swell_remote_write_known_series", ""), 50.0);
    assert_eq!(lab.metric("swell_remote_write_samples_total", ""), 200.0);
    assert_eq!(lab.stored("m").len(), 200);
}

#[tokio::test]
async fn a_series_that_the_storage_forgot_is_made_again() {
    let lab = Lab::new();
    let (old, other) = (labels("old", 0), labels("other", 0));
    let hour = 3_600_000;
    assert_eq!(lab.push_series(&[(&old, &[(NOW_MS - 9 * hour, 1.0)])]).await.code, 204);
    for late in [6, 4, 1] {
        assert_eq!(lab.push_series(&[(&other, &[(NOW_MS - late * hour, 1.0)])]).await.code, 204);
        lab.db.maintain(swell_model::TimestampMs(NOW_MS)).expect("maintained");
    }
    assert_eq!(lab.db.status().head.series_count, 1, "the first series is in a block only");
    let answer = lab.push_series(&[(&old, &[(NOW_MS, 2.0)]), (&other, &[(NOW_MS, 3.0)])]).await;
    assert_eq!(answer.code, 204, "{}", answer.text);
    assert_eq!(lab.stored("old"), [(NOW_MS - 9 * hour, 1.0), (NOW_MS, 2.0)]);
    assert_eq!(lab.stored("other").len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the order of series and the cut into requests, every sample stands in its own series.
    #[test]
    fn samples_find_their_series(
        requests in prop::collection::vec(prop::collection::vec((0_usize..12, any::<bool>()), 1..20), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let lab = Lab::new();
            let mut expected = vec![Vec::new(); 12];
            let mut at = NOW_MS - 1_000_000;
            for request in requests {
                let mut body = Vec::new();
                for (nr, is_unsorted) in request {
                    at += 1;
                    let name = format!("series_{nr}");
                    let sample = [(at, f64::from(u32::try_from(nr).expect("small")))];
                    // Two encodings of one label set.
                    let mut encoded = swell_wire::remote_write::encode_labels(&labels(&name, nr)).into_vec();
                    if is_unsorted {
                        let name_first = swell_wire::remote_write::encode_labels(&Labels::from_pairs([("__name__", &name)]));
                        encoded.drain(..name_first.len());
                        encoded.extend_from_slice(&name_first);
                    }
                    swell_wire::remote_write::put_series(&encoded, &sample, &mut body);
                    expected[nr].extend(sample);
                }
                let answer = lab.push(crate::lab::packed(&body)).await;
                assert_eq!(answer.code, 204, "{}", answer.text);
            }
            for (nr, expected) in expected.iter().enumerate() {
                assert_eq!(&lab.stored(&format!("series_{nr}")), expected);
            }
        });
    }
}
