//! Trunks and how they stand.

use crate::domain::trunk::{Failure, RegistrationStatus, TargetStatus, TrunkStatus};
use crate::grpc::pb;

use super::{time, time_option, wire};

/// A trunk as it stands.
pub(in crate::grpc) fn trunk(status: TrunkStatus) -> pb::Trunk {
    pb::Trunk {
        name: status.name,
        state: wire(status.state),
        since_time: Some(time(status.since)),
        targets: status.targets.into_iter().map(target).collect(),
        calls: status.calls,
        channels: status.channels,
        calls_per_second: f64::from(status.calls_per_second_milli) / 1_000.0,
        registration: status.registration.map(registration),
    }
}

fn target(status: TargetStatus) -> pb::TrunkTarget {
    pb::TrunkTarget {
        transport: status.transport.to_owned(),
        address: status.address,
        state: wire(status.state),
        since_time: Some(time(status.since)),
        last_failure: status.last_failure.map(failure),
    }
}

fn registration(status: RegistrationStatus) -> pb::TrunkRegistration {
    pb::TrunkRegistration {
        state: wire(status.state),
        since_time: Some(time(status.since)),
        expire_time: time_option(status.expires_at),
        last_failure: status.last_failure.map(failure),
    }
}

fn failure(failure: Failure) -> pb::TrunkFailure {
    pb::TrunkFailure {
        time: Some(time(failure.at)),
        reason: failure.reason,
    }
}
