//! `swell test rules`: unit tests of rules, on the engine in memory.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use swell_alert_runner::{
    CheckOptions, TestBench, UnitTestOptions, UnitTestOutcome, run_unit_tests,
};
use swell_engine::{Config, Db};
use swell_env::{ManualClock, MemDir};
use swell_model::{DurationMs, SampleSink, TimestampMs};
use swell_promql::{Budget, EvalParams, Features};
use swell_telemetry::{Registry, chain};
use swell_tsdb_http::ActiveQueries;

use crate::adapters::{Asker, PromqlEvaluator, StandingMetrics, StandingQueries};
use crate::args::{OutputForm, TestRulesArgs};

/// Tests may reach as far as dates do; the storage refuses what is ahead of its clock.
const NOW: TimestampMs = TimestampMs(253_402_300_799_000);

/// Runs the tests and prints what became of them; tells whether all passed.
pub(crate) fn run(args: &TestRulesArgs) -> bool {
    let options = UnitTestOptions {
        run: args.run.clone(),
        check: CheckOptions {
            ignore_unknown_fields: args.ignore_unknown_fields,
            ..CheckOptions::default()
        },
    };
    let features = match crate::config::features(&args.enable_features) {
        Ok(features) => features,
        Err(why) => {
            eprintln!("swell: {why}");
            return false;
        }
    };
    let bench = |subquery_step| bench(subquery_step, features);
    let mut good = true;
    let mut report = Vec::new();
    for path in &args.files {
        let outcome =
            run_unit_tests(path, &options, &bench).map_err(|error| chain(&error).to_string());
        good &= outcome
            .as_ref()
            .is_ok_and(|outcomes| outcomes.iter().all(|outcome| outcome.failures.is_empty()));
        match args.output {
            OutputForm::Text => print(path, &outcome),
            OutputForm::Json => report.push(as_json(path, &outcome)),
        }
    }
    if args.output == OutputForm::Json {
        println!("{}", json!({"passed": good, "files": report}));
    }
    good
}

fn bench(subquery_step: DurationMs, features: Features) -> Result<TestBench, String> {
    let clock = Arc::new(ManualClock::new(NOW));
    let dir = Arc::new(MemDir::new());
    let db = Db::open(dir, Config::standard(), clock.clone(), &Registry::new())
        .map_err(|error| chain(&error).to_string())?;
    let db = Arc::new(db);
    let sink: Arc<dyn SampleSink> = db.clone();
    let metrics = StandingMetrics::new(&Registry::new()).map_err(|error| error.to_string())?;
    let queries = StandingQueries::new(db, Asker::Rules, &metrics);
    let evaluator = PromqlEvaluator {
        queries,
        lookback: EvalParams::instant(NOW).lookback,
        subquery_step: Box::new(move || subquery_step),
        samples_max: Budget::SAMPLES_MAX_DEFAULT,
        series_max: None,
        bytes_max: None,
        features,
        active: ActiveQueries::in_memory(clock.clone()),
    };
    Ok(TestBench { sink, evaluator: Arc::new(evaluator), clock })
}

fn print(path: &Path, outcome: &Result<Vec<UnitTestOutcome>, String>) {
    println!("{}", path.display());
    match outcome {
        Err(why) => println!("  FAILED: {why}"),
        Ok(outcomes) => {
            for outcome in outcomes {
                let verdict = if outcome.failures.is_empty() { "ok" } else { "FAILED" };
                println!("  {verdict}: {}", outcome.name);
                for failure in &outcome.failures {
                    println!("    {failure}");
                }
            }
            let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
            println!("  {} passed, {failed} failed", outcomes.len() - failed);
        }
    }
}

fn as_json(path: &Path, outcome: &Result<Vec<UnitTestOutcome>, String>) -> Value {
    match outcome {
        Err(why) => json!({"file": path, "error": why}),
        Ok(outcomes) => {
            let tests: Vec<Value> = outcomes
                .iter()
                .map(|outcome| json!({"name": outcome.name, "failures": outcome.failures}))
                .collect();
            json!({"file": path, "tests": tests})
        }
    }
}
