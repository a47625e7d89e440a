//! InfluxDB's line protocol as labelled samples, named as VictoriaMetrics and Telegraf's users know them: each field of
//! a line is a series `measurement_field` with the line's tags as labels.
//!
//! Truths are 1 and 0; fields that are texts are no samples and are passed over. A line that is wrong is told, and the
//! others are read.

mod ends;
mod line;

use swell_model::{LabelledBatch, LabelledFloat, Labels, TimestampMs};

/// Samples of one request.
pub const SAMPLES_MAX: usize = 1 << 20;
/// Bytes of labels that one request may become: each field has all tags of its line.
pub const LABEL_BYTES_MAX: usize = 128 << 20;
/// Faults that are kept as text.
const FAULTS_SHOWN_MAX: usize = 5;
/// Letters of a line that are shown.
const SHOWN_CHARS_MAX: usize = 120;

/// Unit of timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Billionths of a second.
    #[default]
    Nanoseconds,
    /// Millionths.
    Microseconds,
    /// Thousandths.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// By the name that requests give; the empty one is the default.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    const fn millis(self, timestamp: i64) -> i64 {
        match self {
            Self::Nanoseconds => timestamp.div_euclid(1_000_000),
            Self::Microseconds => timestamp.div_euclid(1000),
            Self::Milliseconds => timestamp,
            Self::Seconds => timestamp.saturating_mul(1000),
            Self::Minutes => timestamp.saturating_mul(60_000),
            Self::Hours => timestamp.saturating_mul(3_600_000),
        }
    }
}

/// What a request holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// The samples.
    pub batch: LabelledBatch,
    /// Lines that are wrong.
    pub faulty_lines: usize,
    /// The first of their faults.
    pub faults: Vec<String>,
}

/// A request that becomes more than is stored at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request becomes more than {SAMPLES_MAX} samples or {LABEL_BYTES_MAX} bytes of labels: send fewer lines at once"
)]
pub struct TooMuch;

/// Reads the lines of a request. Samples without a time are of `now`; `database` becomes the label `db` of lines that
/// have no such tag, unless it is empty.
///
/// # Errors
/// [`TooMuch`], however few bytes the request has.
pub fn read(
    bytes: &[u8],
    precision: Precision,
    database: &str,
    now: TimestampMs,
) -> Result<Lines, TooMuch> {
    let mut lines = Lines::default();
    let mut label_bytes = 0;
    for (number, bytes) in ends::lines(bytes) {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes).trim_ascii_start();
        if bytes.is_empty() || bytes.starts_with(b"#") {
            continue;
        }
        let mut tell = |fault: &dyn std::fmt::Display, line: &str| {
            lines.faulty_lines += 1;
            if lines.faults.len() < FAULTS_SHOWN_MAX {
                let line: String = line.chars().take(SHOWN_CHARS_MAX).collect();
                lines.faults.push(format!("line {number}: unable to parse {line:?}: {fault}"));
            }
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            tell(&"it is not UTF-8", &String::from_utf8_lossy(bytes));
            continue;
        };
        let line = match line::parse(text) {
            Ok(line) => line,
            Err(fault) => {
                tell(&fault, text);
                continue;
            }
        };
        let timestamp = line.timestamp.map_or(now, |at| TimestampMs(precision.millis(at)));
        let own = [("db", database)];
        for (field, value) in &line.fields {
            let tags = line.tags.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            let name = format!("{}_{field}", line.measurement);
            let labels = Labels::from_pairs(
                own.into_iter().chain(tags).chain([("__name__", name.as_str())]),
            );
            label_bytes += labels.text_bytes();
            if lines.batch.floats.len() >= SAMPLES_MAX || label_bytes > LABEL_BYTES_MAX {
                return Err(TooMuch);
            }
            let series = lines.batch.add_series(labels);
            let sample = LabelledFloat { series, timestamp, value: *value, start_ms: 0 };
            lines.batch.floats.push(sample);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: TimestampMs = TimestampMs(5000);

    fn shown(text: &str, precision: &str, database: &str) -> Vec<String> {
        let precision = Precision::parse(precision).expect("a known one");
        let lines = read(text.as_bytes(), precision, database, NOW).expect("small");
        let batch = &lines.batch;
        let sample = |it: &LabelledFloat| {
            format!("{} {} @{}", batch.series[it.series as usize], it.value, it.timestamp.0)
        };
        batch.floats.iter().map(sample).chain(lines.faults.iter().cloned()).collect()
    }

    #[test]
    fn fields_are_series_and_tags_labels() {
        let text = "# comment\n\ncpu,host=a idle=0.5,busy=2i 1700000000123456789\r\n  mem used=1\nbad\nx,db=own v=1 3";
        assert_eq!(
            shown(text, "", "telegraf"),
            [
                r#"cpu_idle{db="telegraf", host="a"} 0.5 @1700000000123"#,
                r#"cpu_busy{db="telegraf", host="a"} 2 @1700000000123"#,
                r#"mem_used{db="telegraf"} 1 @5000"#,
                r#"x_v{db="own"} 1 @0"#,
                r#"line 5: unable to parse "bad": it has no fields"#,
            ]
        );
    }

    #[test]
    fn a_text_with_line_ends_makes_no_lines() {
        let text = "log msg=\"x\ncpu,host=a usage_idle=99\n\" 1\n# it's \"\nlog n=2,msg=\"\r\n\\\"\n\" 2\nbad\n";
        assert_eq!(
            shown(text, "ms", ""),
            ["log_n 2 @2", r#"line 8: unable to parse "bad": it has no fields"#]
        );
        // A quote outside of the fields' values is a letter as any other.
        assert_eq!(
            shown("a\"b,t=\"x v=1 1\nm \"q=2 2\nm v=3,w=4\" 5\nm v=6 6", "ms", ""),
            [
                r#"{"a\"b_v", t="\"x"} 1 @1"#,
                r#"{"m_\"q"} 2 @2"#,
                "m_v 6 @6",
                r#"line 3: unable to parse "m v=3,w=4\" 5": value "4\"" is no number, truth or quoted text"#,
            ]
        );
    }

    #[test]
    fn a_text_that_does_not_end_takes_the_rest() {
        let found = shown("m v=1 1\nlog msg=\"x 2\nm v=3 3", "ms", "");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].starts_with("line 2: ") && found[1].contains("does not end"), "{found:?}");
    }

    #[test]
    fn timestamps_have_the_unit_of_the_request() {
        for (unit, expected) in [
            ("ns", 0),
            ("u", 120),
            ("ms", 120_000),
            ("s", 120_000_000),
            ("m", 7_200_000_000_i64),
            ("h", 432_000_000_000),
        ] {
            assert_eq!(shown("a b=1 120000", unit, ""), [format!("a_b 1 @{expected}")], "{unit}");
        }
        assert_eq!(Precision::parse("d"), None);
        assert_eq!(shown("a b=1 9223372036854775807", "h", ""), [format!("a_b 1 @{}", i64::MAX)]);
    }

    #[test]
    fn what_a_request_becomes_is_bounded() {
        let fields: Vec<String> = (0..2000).map(|nr| format!("f{nr}=1")).collect();
        let line = format!("m,tag={} {}", "x".repeat(100_000), fields.join(","));
        assert_eq!(read(line.as_bytes(), Precision::default(), "", NOW), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let lines = read(&bytes, Precision::default(), "db", NOW).expect("small");
            prop_assert!(lines.batch.series.iter().all(|labels| labels.metric_name().is_some()));
        }

        #[test]
        fn any_line_of_letters_with_a_meaning_is_answered(text in r#"[a, ="\\1i\n]{0,30}"#) {
            let lines = read(text.as_bytes(), Precision::default(), "", NOW).expect("small");
            prop_assert!(lines.faulty_lines >= lines.faults.len());
        }
    }
}
