//! Any text as a notification configuration: a checked one or faults, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(faults) = swell_route::parse_config(text) {
        assert!(!faults.is_empty());
    }
});
