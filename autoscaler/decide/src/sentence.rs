//! A decision in plain English.

use swell_model::DurationMs;

use crate::behavior::seconds_text;
use crate::metric::Target;
use crate::pass::Decision;
use crate::replicas::milli_text;
use crate::steps::{Reason, Signal, Stage, Step, StepReason};

/// What was measured and against what, without a verb: (`CPU`, `104 % of request`, `50 %`).
fn phrases(signal: &Signal) -> (String, String, String) {
    let name = match (signal.metric_type.as_str(), signal.name.as_str()) {
        ("Resource", "cpu") => "CPU".to_owned(),
        ("Resource", "memory") => "Memory".to_owned(),
        ("ContainerResource", resource) => format!(
            "{} of container {}",
            if resource == "cpu" { "CPU" } else { resource },
            signal.container.as_deref().unwrap_or("?")
        ),
        (_, name) => name.to_owned(),
    };
    let is_memory = signal.name == "memory"
        && matches!(signal.metric_type.as_str(), "Resource" | "ContainerResource");
    let number = |milli: i64| if is_memory { bytes_text(milli / 1000) } else { milli_text(milli) };
    let (measured, target) = match signal.target() {
        Target::Utilization(percent) => (
            format!("{} % of request", signal.utilization.unwrap_or_default()),
            format!("{percent} %"),
        ),
        Target::AverageValue(milli) => {
            (format!("{} per pod", number(signal.milli.unwrap_or_default())), number(milli))
        }
        Target::Value(milli) => (number(signal.milli.unwrap_or_default()), number(milli)),
    };
    (name, measured, target)
}

fn bytes_text(bytes: i64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = i128::from(bytes) * 10;
    let mut idx = 0;
    while scaled >= 10_240 && idx + 1 < units.len() {
        scaled /= 1024;
        idx += 1;
    }
    if scaled % 10 == 0 {
        format!("{} {}", scaled / 10, units[idx])
    } else {
        format!("{}.{} {}", scaled / 10, scaled % 10, units[idx])
    }
}

fn replicas_text(count: i32) -> String {
    format!("{count} {}", if count == 1 { "replica" } else { "replicas" })
}

fn pods_text(count: u32) -> String {
    format!("{count} {}", if count == 1 { "pod" } else { "pods" })
}

fn percent_text(ppm: i64) -> String {
    let tenths = ppm / 1000;
    if tenths % 10 == 0 {
        format!("{} %", tenths / 10)
    } else {
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

/// The words beside one step.
pub(crate) fn step_text(step: &Step, signals: &[Signal]) -> String {
    match &step.reason {
        StepReason::Found { counted_pods: 0 } => String::new(),
        StepReason::Found { counted_pods } => format!("{} counted", pods_text(*counted_pods)),
        StepReason::Formula { signal, formula } => {
            let signal = usize::try_from(*signal).ok().and_then(|idx| signals.get(idx));
            match signal.map(phrases) {
                Some((name, measured, target)) => {
                    format!("{name} {measured} against {target}: {formula}")
                }
                None => formula.clone(),
            }
        }
        StepReason::Joined { unready, missing, formula, cancelled } => {
            let mut text = joined_text(*unready, *missing);
            text.push_str(if *cancelled {
                ", and could turn it round: no change"
            } else {
                ", counted with caution: "
            });
            if !cancelled {
                text.push_str(formula);
            }
            text
        }
        StepReason::Band { ratio_ppm, low_ppm, high_ppm, inside } => format!(
            "{} of the target, {} {} to {}",
            percent_text(*ratio_ppm),
            if *inside { "inside" } else { "outside" },
            percent_text(*low_ppm),
            percent_text(*high_ppm)
        ),
        StepReason::NotHeld { window_ms: 0 } => "no window".to_owned(),
        StepReason::NotHeld { window_ms } => {
            format!("nothing in the last {} holds it", seconds_text(DurationMs(*window_ms)))
        }
        StepReason::Held { window_ms, replicas, .. } => {
            format!("{replicas} asked for in the last {}", seconds_text(DurationMs(*window_ms)))
        }
        StepReason::Rate { limit: None, .. } => "no change asked for".to_owned(),
        StepReason::Rate { limit: Some(limit), policy } => format!("{policy}: to {limit} now"),
        StepReason::Range { min, max } => format!("{min} to {max}"),
        StepReason::Plain => String::new(),
    }
}

fn joined_text(unready: u32, missing: u32) -> String {
    match (unready, missing) {
        (unready, 0) => format!("{} starting", pods_text(unready)),
        (0, missing) => format!("{} without a sample", pods_text(missing)),
        (unready, missing) => {
            format!("{} starting and {missing} without a sample", pods_text(unready))
        }
    }
}

/// A decision in a few sentences.
pub(crate) fn sentence(decision: &Decision) -> String {
    let Some(from) = decision.from else {
        return format!("The target's size could not be read. {}", last_event(decision));
    };
    let to = decision.replicas;
    match decision.reason {
        Reason::ScalingDisabled => {
            return "The target is at zero replicas by hand, so it is left alone.".to_owned();
        }
        Reason::AboveMaximum => {
            return format!(
                "{} were found, above the maximum: {from} to {to}.",
                replicas_text(from)
            );
        }
        Reason::BelowMinimum => {
            return format!(
                "{} were found, below the minimum: {from} to {to}.",
                replicas_text(from)
            );
        }
        Reason::SelectorUnusable => {
            return format!("Held at {to}: {}.", last_event(decision));
        }
        Reason::MetricsUnavailable => {
            let error = decision.signals.iter().find_map(|signal| signal.error.as_deref());
            return format!("Held at {to}: {}.", error.unwrap_or("the policy names no metric"));
        }
        _ => {}
    }
    let Some(signal) = decision.winner.and_then(|idx| decision.signals.get(idx)) else {
        return format!("{}. {}", change_text(from, to), last_event(decision));
    };
    let (name, measured, target) = phrases(signal);
    let mut text = format!("{name} was {measured} against a target of {target}.");
    let asked =
        decision.steps.iter().find(|step| step.stage == Stage::Asked).map(|step| step.after);
    if let (Some(asked), false) = (asked, decision.reason == Reason::InsideTolerance) {
        text.push_str(&format!(" That asks for {}.", replicas_text(asked)));
    }
    for step in &decision.steps {
        push_step(&mut text, step, decision);
    }
    if decision.reason == Reason::WriteFailed {
        text.push_str(&format!(" The new size could not be written: {}.", last_event(decision)));
    }
    text
}

fn push_step(text: &mut String, step: &Step, decision: &Decision) {
    let from = decision.from.unwrap_or_default();
    let added = match (&step.reason, step.stage) {
        (StepReason::Joined { unready, missing, cancelled, .. }, _) => {
            let who = joined_text(*unready, *missing);
            if *cancelled {
                format!(" With {who} the need is not certain, so nothing changes.")
            } else if step.bit() {
                format!(" With {who} it is {}.", replicas_text(step.after))
            } else {
                return;
            }
        }
        (StepReason::Band { low_ppm, high_ppm, inside: true, .. }, _) => {
            let target =
                decision.winner.and_then(|idx| decision.signals.get(idx)).map(Signal::target);
            match target {
                Some(Target::Utilization(percent)) => format!(
                    " That is inside the tolerance ({} to {}), so {from} {}.",
                    percent_text(low_ppm.saturating_mul(percent) / 100),
                    percent_text(high_ppm.saturating_mul(percent) / 100),
                    if from == 1 { "stays" } else { "stay" }
                ),
                _ => format!(
                    " That is inside the tolerance ({} to {} of the target), so {from} {}.",
                    percent_text(*low_ppm),
                    percent_text(*high_ppm),
                    if from == 1 { "stays" } else { "stay" }
                ),
            }
        }
        (StepReason::Held { window_ms, replicas, .. }, _) if step.bit() => {
            let window = seconds_text(DurationMs(*window_ms));
            if step.after > step.before {
                format!(
                    " Held at {}: within the last {window} as many as {replicas} were asked for.",
                    step.after
                )
            } else {
                format!(
                    " Held at {}: within the last {window} as few as {replicas} were asked for.",
                    step.after
                )
            }
        }
        (StepReason::Rate { .. }, _) if step.bit() => {
            let way = if step.before > from { "scale-out" } else { "scale-in" };
            let count = step.after.abs_diff(from);
            let verb = if step.before > from { "start" } else { "stop" };
            if count == 0 {
                format!(" The {way} rate is used up for now.")
            } else {
                format!(" The {way} rate let {count} {verb} at once.")
            }
        }
        (StepReason::Range { min, max }, _) if step.bit() => {
            if step.after < step.before {
                format!(" The maximum is {max}.")
            } else {
                format!(" The minimum is {min}.")
            }
        }
        (_, Stage::Final) if step.before != step.after => {
            format!(" {}.", change_text(step.before, step.after))
        }
        _ => return,
    };
    text.push_str(&added);
}

fn change_text(from: i32, to: i32) -> String {
    if from == to { format!("{} stay", replicas_text(to)) } else { format!("{from} to {to}") }
}

/// A decision on one line.
pub(crate) fn brief(decision: &Decision) -> String {
    let Some(signal) = decision.winner.and_then(|idx| decision.signals.get(idx)) else {
        return sentence(decision);
    };
    let (name, _, target) = phrases(signal);
    let measured = match signal.target() {
        Target::Utilization(_) => format!("{} %", signal.utilization.unwrap_or_default()),
        _ => phrases(signal).1,
    };
    let asked =
        decision.steps.iter().find(|step| step.stage == Stage::Asked).map_or(0, |step| step.after);
    let formula = signal.formula.as_deref().unwrap_or_default();
    let limit = match decision.reason {
        Reason::InsideTolerance => return format!("{name} {measured}, inside the tolerance."),
        Reason::AsAsked => "Nothing limits it.".to_owned(),
        Reason::UnknownPods => "Starting or unsampled pods leave it uncertain: held.".to_owned(),
        Reason::ScaleUpStabilized => {
            format!("Held at {} by the scale-out window.", decision.replicas)
        }
        Reason::ScaleDownStabilized => {
            format!("Held at {} by the scale-in window.", decision.replicas)
        }
        Reason::ScaleUpLimit => format!("The scale-out rate allows {}.", decision.replicas),
        Reason::ScaleDownLimit => format!("The scale-in rate allows {}.", decision.replicas),
        Reason::TooManyReplicas => format!("The maximum is {}.", decision.replicas),
        Reason::TooFewReplicas => format!("The minimum is {}.", decision.replicas),
        Reason::WriteFailed => "The new size could not be written.".to_owned(),
        _ => String::new(),
    };
    format!("{name} {measured} against {target} asks for {asked}: {formula}. {limit}")
}

fn last_event(decision: &Decision) -> &str {
    decision.events.last().map_or("", |event| event.message.as_str())
}
