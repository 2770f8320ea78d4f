//! `TrunkService`: how the trunks of a node stand, over the wire.

use dialgate::domain::time::Micros;
use dialgate::domain::trunk::{
    Failure, RegistrationState, RegistrationStatus, TargetState, TargetStatus, TrunkState,
    TrunkStatus,
};
use dialgate::grpc::pb;

use super::house::House;

fn status() -> TrunkStatus {
    let failure = |reason: &str| {
        Some(Failure {
            at: Micros(3_000_000),
            reason: reason.to_owned(),
        })
    };
    let target = |state, last_failure| TargetStatus {
        transport: "tls",
        address: "192.0.2.1:5061".to_owned(),
        state,
        since: Micros(2_000_000),
        last_failure,
    };
    TrunkStatus {
        name: "carrier".to_owned(),
        state: TrunkState::Unregistered,
        since: Micros(1_000_000),
        targets: vec![
            target(TargetState::Asleep, failure("sip_503")),
            target(TargetState::Up, None),
        ],
        calls: 3,
        channels: 10,
        calls_per_second_milli: 2_500,
        registration: Some(RegistrationStatus {
            state: RegistrationState::Refused,
            since: Micros(4_000_000),
            expires_at: None,
            last_failure: failure("credentials"),
        }),
    }
}

#[tokio::test]
async fn the_trunks_are_told_as_they_stand() {
    let house = House::with_trunks(vec![status()]).await;
    let list = async |role: super::house::Client| {
        let answer = role.trunks().list_trunks(pb::ListTrunksRequest {}).await;
        answer.unwrap().into_inner().trunks
    };
    let told = list(house.administrator().await).await;
    assert_eq!(told, list(house.auditor().await).await);
    let [trunk] = told.try_into().unwrap();
    assert_eq!(trunk.state(), pb::TrunkState::Unregistered);
    assert_eq!((trunk.calls, trunk.channels), (3, 10));
    assert_eq!(trunk.calls_per_second.to_string(), "2.5");
    assert_eq!(trunk.since_time.unwrap().seconds, 1);
    let states = trunk.targets.iter().map(pb::TrunkTarget::state);
    let expected = [pb::TrunkTargetState::Asleep, pb::TrunkTargetState::Up];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    let failure = trunk.targets[0].last_failure.clone().unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.time.unwrap().seconds),
        ("sip_503", 3)
    );
    assert_eq!(trunk.targets[1].last_failure, None);
    let registration = trunk.registration.unwrap();
    assert_eq!(registration.state(), pb::RegistrationState::Refused);
    assert_eq!(registration.expire_time, None);
}
