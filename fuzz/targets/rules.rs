//! Any text as a rule file: checked rules or findings, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match swell_rules::parse_rule_file(text) {
        Ok(_) => assert!(swell_rules::check_rules(text).is_empty()),
        Err(findings) => assert!(!findings.is_empty()),
    }
});
