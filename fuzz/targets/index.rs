//! Any bytes as the label index of a block: answers within its bounds or an error; and what is written answers as a scan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_index::{LabelIndex as _, SliceIndex, select, write_index};
use swell_model::{Labels, MatchOp, Matcher};

fn matchers(bytes: &[u8]) -> Vec<Matcher> {
    const PATTERNS: [&str; 6] = ["a", "", "a.*", ".+", ".*b", "[a-c]+|x"];
    const OPS: [MatchOp; 4] =
        [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    bytes
        .iter()
        .map(|byte| {
            let byte = usize::from(*byte);
            let name = ["n", "m", "o"][byte % 3];
            Matcher::new(name, OPS[byte / 3 % 4], PATTERNS[byte / 12 % 6]).expect("valid patterns")
        })
        .collect()
}

fuzz_target!(|bytes: &[u8]| {
    let (chosen, rest) = bytes.split_at(bytes.len().min(2));
    let matchers = matchers(chosen);
    if let Ok(index) = SliceIndex::new(rest) {
        if let Ok(found) = select(&index, &matchers) {
            assert!(found.iter().all(|idx| *idx < index.series_count()));
            if let Ok(labels) = index.labels(&found) {
                assert_eq!(labels.len(), found.len());
            }
            drop(index.values_of(&found, "n"));
            drop(index.names_of(&found));
        }
        drop((index.values_with_counts("n"), index.names_with_counts(), index.with_label("m")));
    }
    // Two letters a label: name and value.
    let mut series: Vec<Labels> = rest
        .chunks(6)
        .map(|text| {
            Labels::from_pairs(text.chunks_exact(2).map(|pair| {
                let name = ["n", "m", "o"][usize::from(pair[0]) % 3];
                (name, char::from(b'a' + pair[1] % 4).to_string())
            }))
        })
        .collect();
    series.sort();
    series.dedup();
    let mut written = Vec::new();
    write_index(&series, &mut written);
    let index = SliceIndex::new(written).expect("just written");
    let satisfies = |labels: &&Labels| {
        matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
    };
    let found = select(&index, &matchers).expect("just written");
    let labels = index.labels(&found).expect("just written");
    assert!(labels.iter().eq(series.iter().filter(satisfies)));
});
