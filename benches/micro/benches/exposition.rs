//! Reads scrape bodies: `cargo bench -p swell-bench-micro --bench exposition`. The item is a sample; what is
//! allocated shows beside the time, and must stay at nothing for a body without escapes.

use std::fmt::Write as _;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use swell_exposition::{Entry, Format, Parser};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// As many as a node exporter tells.
const SERIES_COUNT: usize = 500;

fn main() {
    divan::main();
}

/// A body with the label lengths and value shapes of a node exporter's.
fn body(format: Format) -> String {
    let mut text = String::new();
    for family in 0..SERIES_COUNT / 10 {
        writeln!(text, "# HELP node_family_{family}_seconds_total Time spent in mode {family}.")
            .and_then(|()| writeln!(text, "# TYPE node_family_{family}_seconds counter"))
            .expect("strings take all");
        for idx in 0..10 {
            let value = 12345.67 * (family * 10 + idx + 1) as f64;
            writeln!(
                text,
                "node_family_{family}_seconds_total{{cpu=\"{idx}\",device=\"eth{idx}\",mode=\"user\"}} {value}"
            )
            .expect("strings take all");
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn samples<'a>(
    text: &'a str,
    format: Format,
) -> impl Iterator<Item = swell_exposition::Sample<'a>> {
    Parser::new(text.as_bytes(), format).map(|entry| entry.expect("a good body")).filter_map(
        |entry| match entry {
            Entry::Sample(sample) => Some(sample),
            Entry::Type { .. } | Entry::Help { .. } | Entry::Unit { .. } => None,
            Entry::Histogram(_) => unreachable!("the text has no native histograms"),
        },
    )
}

#[divan::bench]
fn parse_text(bencher: Bencher<'_, '_>) {
    parse(bencher, Format::Text);
}

#[divan::bench]
fn parse_openmetrics(bencher: Bencher<'_, '_>) {
    parse(bencher, Format::OpenMetrics);
}

fn parse(bencher: Bencher<'_, '_>, format: Format) {
    let text = body(format);
    assert_eq!(samples(&text, format).count(), SERIES_COUNT);
    bencher
        .counter(ItemsCount::new(SERIES_COUNT))
        .bench_local(|| samples(black_box(&text), format).map(|sample| sample.value).sum::<f64>());
}

/// What a series costs the first time: its labels are built.
#[divan::bench]
fn build_labels(bencher: Bencher<'_, '_>) {
    let text = body(Format::Text);
    bencher.counter(ItemsCount::new(SERIES_COUNT)).bench_local(|| {
        samples(black_box(&text), Format::Text)
            .map(|sample| sample.series.to_labels().expect("no label twice").len())
            .sum::<usize>()
    });
}
