//! An SDP offer, and behind a NUL the answer to it. What must hold of it stands in `src/sip/entries.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dialgate::sip::entries::session(bytes));
