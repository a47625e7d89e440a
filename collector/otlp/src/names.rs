//! Names: metrics with their unit and type as suffixes, attributes as labels, as Prometheus' translation has them
//! (`prometheus/otlptranslator`).

use crate::settings::Strategy;

/// What a metric's name is told by, beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises.
    Counter,
    /// Anything else.
    Other,
}

/// A name of which nothing is left that could name something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {0:?} has nothing that a name can have")]
pub struct NoName(pub String);

/// UCUM units as Prometheus spells them out.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// Units behind a slash, in the singular.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn looked_up<'a>(table: &[(&str, &'a str)], unit: &'a str) -> &'a str {
    table.iter().find(|(short, _)| *short == unit).map_or(unit, |(_, long)| long)
}

/// Suffixes of a unit: `By/s` is `bytes` and `per_second`. Remarks in braces are no unit.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    let is_unit = |text: &str| !text.is_empty() && !text.contains(['{', '}']);
    let main = if is_unit(main) { looked_up(&UNITS, main).to_owned() } else { String::new() };
    let per = if is_unit(per) { looked_up(&PER_UNITS, per) } else { "" };
    (main, if per.is_empty() { String::new() } else { format!("per_{per}") })
}

/// A unit as the metadata of a metric has it: `By/s` is `bytes_per_second`. Of other characters than classic names have, an
/// underscore between two words is left.
#[must_use]
pub fn unit_words(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (plain_unit(&main), plain_unit(&per));
    let words = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (true, false) => per,
        _ => main,
    };
    words.trim_matches('_').to_owned()
}

const fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == ':'
}

/// What of a unit a classic name can have; runs of other characters become one underscore, none in front.
fn plain_unit(unit: &str) -> String {
    let mut plain = String::new();
    for letter in unit.chars() {
        if is_plain(letter) {
            plain.push(letter);
        } else if !plain.ends_with('_') {
            plain.push('_');
        }
    }
    plain.trim_start_matches('_').to_owned()
}

fn starts_with_digit(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_digit())
}

/// A name of classic characters with suffixes; separators between words become one underscore each.
fn classic_with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let mut words: Vec<&str> =
        name.split(|letter| !is_plain(letter)).filter(|word| !word.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (plain_unit(&main), plain_unit(&per));
    let (mut main, mut per) = (main.as_str(), per.as_str());
    if words.contains(&main) {
        main = "";
    }
    per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(per) };
    if words.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let mut move_last = |word: &'static str| {
        words.retain(|it| *it != word);
        words.push(word);
    };
    if kind == Kind::Counter {
        move_last("total");
    }
    // Counters of things often have the unit 1 and are no ratios.
    if kind == Kind::Gauge && unit == "1" {
        move_last("ratio");
    }
    words.join("_")
}

/// The name without a suffix and the letter before it.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(rest) = name.strip_suffix(suffix) else { return name };
    let mut letters = rest.chars();
    match letters.next_back() {
        Some(_) if !letters.as_str().is_empty() => letters.as_str(),
        _ => name,
    }
}

/// The name as it is, with suffixes.
fn full_with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = unit_suffixes(unit);
    let is_ratio = kind == Kind::Gauge && unit == "1";
    let mut name = name;
    for (is_there, suffix) in
        [(is_ratio, "ratio"), (kind == Kind::Counter, "total"), (!per.is_empty(), per.as_str())]
    {
        if is_there {
            name = without_suffix(name, suffix);
        }
    }
    let mut name = name.to_owned();
    let innermost = if name.ends_with(&main) { "" } else { main.as_str() };
    let total = if kind == Kind::Counter { "total" } else { "" };
    let ratio = if is_ratio { "ratio" } else { "" };
    for suffix in [innermost, &per, total, ratio] {
        if !suffix.is_empty() {
            name.push('_');
            name.push_str(suffix);
        }
    }
    name
}

/// A name of classic characters and no suffixes.
fn classic(name: &str) -> String {
    let words = name.split(|letter| !is_plain(letter) && letter != '_');
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// Whether nothing in it tells it apart.
fn is_blank(name: &str) -> bool {
    name.chars().all(|letter| letter == '_')
}

/// The name under which a metric is stored.
///
/// # Errors
/// [`NoName`] when nothing is left of it.
pub fn metric_name(
    strategy: Strategy,
    name: &str,
    unit: &str,
    kind: Kind,
) -> Result<String, NoName> {
    let built = match (strategy.escapes(), strategy.adds_suffixes()) {
        (false, true) if !name.is_empty() => full_with_suffixes(name, unit, kind),
        (false, _) => name.to_owned(),
        (true, true) => classic_with_suffixes(name, unit, kind),
        (true, false) => classic(name),
    };
    let built =
        if strategy.escapes() && starts_with_digit(&built) { format!("_{built}") } else { built };
    if built.is_empty() || (is_blank(&built) && built != name) {
        return Err(NoName(name.to_owned()));
    }
    Ok(built)
}

/// How attributes become labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelRules {
    /// Whether names keep what they have.
    pub is_utf8: bool,
    /// Whether a name that starts with one underscore gets `key` in front of it.
    pub key_before_underscore: bool,
    /// Whether underscores in a row stay as many as they are.
    pub keeps_underscores: bool,
}

/// The label's name of an attribute.
///
/// # Errors
/// [`NoName`] when nothing is left of it.
pub fn label_name(rules: LabelRules, name: &str) -> Result<String, NoName> {
    if rules.is_utf8 {
        return if name.is_empty() { Err(NoName(String::new())) } else { Ok(name.to_owned()) };
    }
    let mut built = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        let letter = if letter.is_ascii_alphanumeric() { letter } else { '_' };
        if letter != '_' || rules.keeps_underscores || !built.ends_with('_') {
            built.push(letter);
        }
    }
    if starts_with_digit(&built) {
        built.insert_str(0, "key_");
    } else if rules.key_before_underscore && built.starts_with('_') && !built.starts_with("__") {
        built.insert_str(0, "key");
    }
    if is_blank(&built) {
        return Err(NoName(name.to_owned()));
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    const CLASSIC: LabelRules =
        LabelRules { is_utf8: false, key_before_underscore: true, keeps_underscores: true };

    fn check(strategy: Strategy, name: &str, unit: &str, kind: Kind, expected: &str) {
        let found = metric_name(strategy, name, unit, kind).unwrap_or_default();
        assert_eq!(found, expected, "{strategy:?} {name} {unit} {kind:?}");
    }

    #[test]
    fn classic_names_get_unit_and_type() {
        let with = Strategy::UnderscoreEscapingWithSuffixes;
        for (name, unit, kind, expected) in [
            ("http.server.duration", "s", Kind::Other, "http_server_duration_seconds"),
            ("system.io", "By", Kind::Counter, "system_io_bytes_total"),
            ("system.io.bytes", "By", Kind::Counter, "system_io_bytes_total"),
            ("requests.total", "", Kind::Counter, "requests_total"),
            ("total.requests", "", Kind::Counter, "requests_total"),
            ("requests", "{request}", Kind::Counter, "requests_total"),
            ("cpu.used", "1", Kind::Gauge, "cpu_used_ratio"),
            ("cpu.used", "1", Kind::Other, "cpu_used"),
            ("speed", "km/h", Kind::Gauge, "speed_km_per_hour"),
            ("rate", "By/s", Kind::Gauge, "rate_bytes_per_second"),
            ("rate", "{packet}/s", Kind::Gauge, "rate_per_second"),
            ("rate", "m/{x}", Kind::Gauge, "rate_meters"),
            ("temperature", "Cel", Kind::Gauge, "temperature_celsius"),
            ("load", "%", Kind::Gauge, "load_percent"),
            ("a__b..c", "", Kind::Gauge, "a_b_c"),
            ("2xx", "", Kind::Gauge, "_2xx"),
            ("größe", "", Kind::Gauge, "gr_e"),
            ("odd", "__weird___unit", Kind::Gauge, "odd_weird_unit"),
            ("odd", "weird_/_per", Kind::Gauge, "odd_weird_per_per"),
            ("a:b", "", Kind::Gauge, "a:b"),
        ] {
            check(with, name, unit, kind, expected);
        }
    }

    #[test]
    fn each_strategy_has_its_own_names() {
        use Strategy::{
            NoTranslation, NoUtf8EscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes,
        };
        check(NoUtf8EscapingWithSuffixes, "my.io", "By", Kind::Counter, "my.io_bytes_total");
        check(NoUtf8EscapingWithSuffixes, "my.bytes.total", "By", Kind::Counter, "my.bytes_total");
        check(NoUtf8EscapingWithSuffixes, "my.ratio", "1", Kind::Gauge, "my_ratio");
        check(NoUtf8EscapingWithSuffixes, "a", "By/s", Kind::Gauge, "a_bytes_per_second");
        check(NoTranslation, "my.io", "By", Kind::Counter, "my.io");
        check(NoTranslation, "größe", "By", Kind::Counter, "größe");
        check(UnderscoreEscapingWithoutSuffixes, "my.io", "By", Kind::Counter, "my_io");
        check(UnderscoreEscapingWithoutSuffixes, "a__b", "By", Kind::Counter, "a__b");
        check(UnderscoreEscapingWithoutSuffixes, "2x", "", Kind::Gauge, "_2x");
    }

    #[test]
    fn of_some_names_nothing_is_left() {
        for strategy in Strategy::ALL {
            assert!(metric_name(strategy, "", "", Kind::Gauge).is_err(), "{strategy:?}");
        }
        assert!(
            metric_name(Strategy::UnderscoreEscapingWithSuffixes, "...", "", Kind::Gauge).is_err()
        );
        for name in ["", "__", "..", "日本"] {
            assert!(label_name(CLASSIC, name).is_err(), "{name}");
        }
    }

    #[test]
    fn labels_are_escaped_as_told() {
        let check = |rules, name, expected: &str| {
            assert_eq!(label_name(rules, name).as_deref(), Ok(expected), "{name}");
        };
        check(CLASSIC, "http.method", "http_method");
        check(CLASSIC, "2xx", "key_2xx");
        check(CLASSIC, "_private", "key_private");
        check(CLASSIC, "__reserved__", "__reserved__");
        check(CLASSIC, "a..b", "a__b");
        check(CLASSIC, "a:b", "a_b");
        check(CLASSIC, "ß", "key_");
        check(LabelRules { keeps_underscores: false, ..CLASSIC }, "a..b", "a_b");
        check(LabelRules { key_before_underscore: false, ..CLASSIC }, "_private", "_private");
        check(LabelRules { is_utf8: true, ..CLASSIC }, "http.method", "http.method");
    }

    proptest! {
        #[test]
        fn classic_names_are_classic(name in ".{0,20}", unit in ".{0,8}") {
            for kind in [Kind::Gauge, Kind::Counter, Kind::Other] {
                for strategy in Strategy::ALL.into_iter().filter(|it| it.escapes()) {
                    if let Ok(built) = metric_name(strategy, &name, &unit, kind) {
                        prop_assert!(!starts_with_digit(&built));
                        prop_assert!(built.chars().all(|letter| is_plain(letter) || letter == '_'), "{}", built);
                    }
                }
            }
            if let Ok(built) = label_name(CLASSIC, &name) {
                prop_assert!(!starts_with_digit(&built));
                prop_assert!(built.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'));
            }
        }
    }
}
