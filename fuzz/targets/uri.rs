//! A URI, an address, a Via, a destination, a list. What must hold of it stands in `src/sip/entries.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dialgate::sip::entries::uri(bytes));
