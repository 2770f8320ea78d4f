//! Bytes of a stream, in pieces that the first byte chooses. What must hold of it stands in `src/sip/entries.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dialgate::sip::entries::framing(bytes));
