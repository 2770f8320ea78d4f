//! Counts requests by RPC and code. What a client called off before its answer is not among them, and a stream counts as what
//! its beginning was answered with.

use http::Response;
use tonic::{Code, Status};

use super::auth::{METHODS, OPEN};
use super::code;
use crate::meter;

/// Whatever is no method of ours: a path is the client's word and no label.
const UNKNOWN: &str = "unknown";

/// Health and reflection, which need no credential.
const UNGUARDED: &str = "open";

/// The label of the method at this path, such as `CallService/PlaceCall`.
pub(super) fn rpc(path: &str) -> &'static str {
    if OPEN.iter().any(|open| path.starts_with(open)) {
        return UNGUARDED;
    }
    let method = METHODS.iter().find(|method| method.path == path);
    method.map_or(UNKNOWN, |method| {
        let path = method.path;
        path.rsplit_once('.').map_or(path, |(_, name)| name)
    })
}

/// Counts this answer. An error of a method stands in the headers; what has none is OK so far.
pub(super) fn answered<B>(rpc: &'static str, answer: &Response<B>) {
    let status = Status::from_header_map(answer.headers());
    let code = status.map_or(Code::Ok, |status| status.code());
    meter::requested(rpc, code::word(code));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_methods_of_the_contract_and_nothing_a_client_makes_up() {
        assert_eq!(
            rpc("/dialgate.v1.CallService/PlaceCall"),
            "CallService/PlaceCall"
        );
        for path in ["/dialgate.v1.CallService/Made_up", "/+14045550141", ""] {
            assert_eq!(rpc(path), UNKNOWN);
        }
    }
}
