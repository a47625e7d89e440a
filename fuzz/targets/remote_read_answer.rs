//! Runs the check `remote_read_answer` on made-up inputs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Refusing is an answer too.
    let _is_taken = swell_fuzz_checks::check("remote_read_answer", bytes);
});
