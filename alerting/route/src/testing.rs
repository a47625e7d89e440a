//! Runs conformance cases on what is decided here: matchers, routing, time intervals and configurations (`conformance/alertmanager`,
//! fields as in its README).

use serde_json::{Value, json};
use swell_model::{Labels, Matcher, TimestampMs};

use crate::config::intervals::RawInterval;
use crate::{
    FallbackVerdict, MatchersError, TimeInterval, canonical, is_inside, parse_classic,
    parse_config, parse_fallback, parse_utf8,
};

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// Which case.
    pub id: String,
    /// Whether it passed.
    pub verdict: Verdict,
}

/// Whether a case passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Passed,
    /// It is about something that is reported as not supported.
    NotCovered,
    /// Otherwise, and how.
    Failed(String),
}

impl Verdict {
    /// Passed when `is_good`, else failed with the reason.
    pub fn of(is_good: bool, why: impl FnOnce() -> String) -> Self {
        if is_good { Self::Passed } else { Self::Failed(why()) }
    }
}

/// What is missing in the data, by name.
type Missing = String;

/// A field that is a text.
///
/// # Errors
/// The name of the field, when it is missing or something else.
pub fn text<'a>(object: &'a Value, key: &str) -> Result<&'a str, Missing> {
    object[key].as_str().ok_or_else(|| format!("{key:?} is no text in {object}"))
}

/// A field that is a list.
///
/// # Errors
/// The name of the field, when it is missing or something else.
pub fn list<'a>(object: &'a Value, key: &str) -> Result<&'a Vec<Value>, Missing> {
    object[key].as_array().ok_or_else(|| format!("{key:?} is no list"))
}

/// The data of a file.
///
/// # Errors
/// When it is no JSON.
pub fn parse(file: &str) -> Result<Value, String> {
    serde_json::from_str(file).map_err(|error| format!("no JSON: {error}"))
}

/// The cases of `matchers.json`: two parsers, and which one counts.
///
/// # Errors
/// When the data is not as its README says.
pub fn run_matchers(file: &str) -> Result<Vec<CaseOutcome>, String> {
    let all = json!({"cases": parse(file)?});
    list(&all, "cases")?.iter().map(matchers_case).collect()
}

fn matchers_case(case: &Value) -> Result<CaseOutcome, String> {
    let input = text(case, "input")?;
    let (utf8, classic) = (parse_utf8(input), parse_classic(input));
    let fallback = match parse_fallback(input) {
        Ok((_, FallbackVerdict::Utf8)) => "utf8",
        Ok((_, FallbackVerdict::Classic)) => "classic",
        Ok((_, FallbackVerdict::ClassicDisagreement)) => "classic-disagreement",
        Err(_) => "reject",
    };
    let is_good = printed(&utf8).as_ref() == case["utf8"].as_array()
        && printed(&classic).as_ref() == case["classic"].as_array()
        && fallback == case["fallback"];
    let why = || format!("{input:?}: utf8 {utf8:?}, classic {classic:?}, {fallback}");
    Ok(CaseOutcome { id: case["id"].to_string(), verdict: Verdict::of(is_good, why) })
}

/// What a parser gave, in the form of the data.
fn printed(result: &Result<Vec<Matcher>, MatchersError>) -> Option<Vec<Value>> {
    let print = |matcher: &Matcher| {
        json!({
            "canonical": canonical(matcher), "name": matcher.name, "op": matcher.op.to_string(), "value": matcher.value,
        })
    };
    Some(result.as_ref().ok()?.iter().map(print).collect())
}

/// The cases of `routing.json`: which receivers the alerts of a label set go to.
///
/// # Errors
/// When the data is not as its README says.
pub fn run_routing(file: &str) -> Result<Vec<CaseOutcome>, String> {
    let all = parse(file)?;
    list(&all, "cases")?
        .iter()
        .map(|case| {
            let tree = text(case, "tree")?;
            let config = parse_config(text(&all["trees"], tree)?)
                .map_err(|faults| format!("the tree {tree}: {faults:?}"))?;
            let pairs = case["labels"].as_object().ok_or("labels are missing")?.iter();
            let labels = Labels::from_pairs(
                pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())),
            );
            let route = &config.route;
            let receivers: Vec<&str> = route
                .matches(&labels)
                .iter()
                .map(|id| route.route(*id).receiver.as_str())
                .collect();
            let why = || format!("{receivers:?} instead of {}", case["receivers"]);
            let verdict = Verdict::of(json!(receivers) == case["receivers"], why);
            Ok(CaseOutcome { id: format!("{tree} {labels}"), verdict })
        })
        .collect()
}

/// The cases of `time_intervals.json`: intervals that are refused, or which times are inside.
///
/// # Errors
/// When the data is not as its README says.
pub fn run_intervals(file: &str) -> Result<Vec<CaseOutcome>, String> {
    let all = json!({"cases": parse(file)?});
    list(&all, "cases")?.iter().map(interval_case).collect()
}

fn interval_case(case: &Value) -> Result<CaseOutcome, String> {
    let yaml = text(case, "yaml")?;
    let parsed: Result<Vec<RawInterval>, _> = serde_saphyr::from_str(yaml);
    let intervals: Result<Vec<TimeInterval>, String> = parsed
        .map_err(|error| error.to_string())
        .and_then(|raw| raw.iter().map(RawInterval::check).collect());
    let verdict = match (intervals, case["contains"].as_object()) {
        (Err(_), None) => Verdict::Passed,
        (Err(fault), Some(_)) => Verdict::Failed(format!("{yaml:?}: refused: {fault}")),
        (Ok(_), None) => Verdict::Failed(format!("{yaml:?}: not refused: {}", case["error"])),
        (Ok(intervals), Some(expected)) => {
            let mut wrong = Vec::new();
            for (at, inside) in expected {
                let at: jiff::Timestamp = at.parse().map_err(|_| format!("{at:?} is no time"))?;
                let time = TimestampMs(at.as_millisecond());
                if is_inside(&intervals, time, &jiff::tz::TimeZone::UTC) != *inside {
                    wrong.push(at.to_string());
                }
            }
            Verdict::of(wrong.is_empty(), || format!("{yaml:?}: otherwise at {wrong:?}"))
        }
    };
    Ok(CaseOutcome { id: text(case, "id")?.to_owned(), verdict })
}

/// The cases of `configs.json`: configurations that are accepted or refused. `read` gives the text of a file that a
/// case names. One whose faults lie in what is reported as not supported is not covered.
///
/// # Errors
/// When the data is not as its README says.
pub fn run_configs(
    file: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<CaseOutcome>, String> {
    let is_unsupported = |what: &String| what.contains("_configs") || what.contains("global.");
    list(&parse(file)?, "cases")?
        .iter()
        .map(|case| {
            let result = parse_config(&read(text(case, "file")?)?);
            let verdict = match &result {
                _ if result.is_ok() == (case["verdict"] == "accept") => Verdict::Passed,
                Ok(config) if config.unsupported.iter().any(is_unsupported) => Verdict::NotCovered,
                _ => Verdict::Failed(format!("{result:?}")),
            };
            Ok(CaseOutcome { id: text(case, "name")?.to_owned(), verdict })
        })
        .collect()
}
