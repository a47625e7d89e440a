//! Any bytes as a request of remote read: queries or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_wire::remote_read::read_request;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = read_request(bytes) {
        assert!(request.queries.len() <= bytes.len());
    }
});
