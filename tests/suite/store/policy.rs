//! Packs, activations and regional stops, and the lock that keeps judging and changing apart.

use std::time::Duration;

use dialgate::domain::ids::{ActivationId, RegionStopId};
use dialgate::domain::policy::{Activation, PackOrigin, RegionStop, RegionStopLift};
use dialgate::store::{ACTIVATION_FIELDS, Engine, NewPack, REGION_STOP_FIELDS};

use super::{NOON, StoreError, TestStore, after, list, tenant};

contract![
    packs_are_kept_by_their_hash,
    activations_are_only_added,
    regions_are_stopped_for_a_time,
    judging_and_changing_are_kept_apart,
];

const FILES: [(&str, &str); 3] = [("a.toml", "same"), ("b.toml", "same"), ("c.toml", "other")];

fn pack<'a>(sha256: &'a str, files: &'a [(&'a str, &'a str)]) -> NewPack<'a> {
    NewPack {
        sha256,
        version: "2026-11-21",
        files,
        actor: "system",
    }
}

fn activation(epoch: i64, base: &str, origin: PackOrigin) -> Activation {
    Activation {
        activation_id: ActivationId::new(after(epoch)),
        epoch,
        sha256: format!("whole-{epoch}"),
        base_sha256: base.to_owned(),
        version: "2026-11-21".to_owned(),
        origin,
        reason: "because".to_owned(),
        actor: "key:anna".to_owned(),
        at: after(epoch),
    }
}

pub async fn packs_are_kept_by_their_hash(store: TestStore) {
    let mut tx = store.write().await;
    tx.insert_pack(&tenant(), pack("one", &FILES), NOON)
        .await
        .unwrap();
    // The same again changes nothing; another pack shares its texts.
    let fewer = [("a.toml", "same")];
    tx.insert_pack(&tenant(), pack("one", &fewer), NOON)
        .await
        .unwrap();
    tx.insert_pack(&tenant(), pack("two", &fewer), NOON)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let named = |files: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        files.iter().map(owned).collect()
    };
    assert_eq!(
        tx.pack_files(&tenant(), "one").await.unwrap(),
        named(&FILES)
    );
    assert_eq!(
        tx.pack_files(&tenant(), "two").await.unwrap(),
        named(&fewer)
    );
    assert_eq!(tx.pack_files(&tenant(), "three").await.unwrap(), []);
}

pub async fn activations_are_only_added(store: TestStore) {
    use PackOrigin::{Configured, Uploaded};
    let mut tx = store.read().await;
    assert_eq!(tx.latest_activation(&tenant()).await.unwrap(), None);
    assert_eq!(tx.policy_in_force(&tenant(), NOON).await.unwrap(), None);
    drop(tx);
    let all = [
        activation(1, "base-1", Configured),
        activation(2, "base-2", Uploaded),
        activation(3, "base-1", Uploaded),
    ];
    for each in &all {
        let mut tx = store.write().await;
        tx.own_policy(&tenant()).await.unwrap();
        tx.insert_activation(&tenant(), each).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut tx = store.write().await;
    let twice = Activation {
        activation_id: ActivationId::new(after(9)),
        ..all[2].clone()
    };
    let refused = tx.insert_activation(&tenant(), &twice).await.unwrap_err();
    assert!(matches!(refused, StoreError::Duplicate { .. }), "{refused}");
    drop(tx);
    let mut tx = store.read().await;
    let latest = tx.latest_activation(&tenant()).await.unwrap();
    assert_eq!(latest.as_ref(), all.last());
    let one = tx
        .activation(&tenant(), all[0].activation_id)
        .await
        .unwrap();
    assert_eq!(one.as_ref(), all.first());
    assert!(tx.was_configured(&tenant(), "base-1").await.unwrap());
    assert!(!tx.was_configured(&tenant(), "base-2").await.unwrap());
    let query = list("origin = \"uploaded\"", ACTIVATION_FIELDS);
    let page = tx.activations(&tenant(), &query).await.unwrap();
    assert_eq!(page.rows, [all[2].clone(), all[1].clone()]);
    let now = tx.policy_in_force(&tenant(), NOON).await.unwrap().unwrap();
    assert_eq!((now.epoch, now.sha256.as_str()), (3, "whole-3"));
}

pub async fn regions_are_stopped_for_a_time(store: TestStore) {
    let stop = |region: &str, from: Option<i64>, until: i64| RegionStop {
        stop_id: RegionStopId::new(NOON),
        region: region.to_owned(),
        reason: "storm".to_owned(),
        starts_at: from.map(after),
        expires_at: after(until),
        actor: "key:anna".to_owned(),
        recorded_at: NOON,
        lift: None,
    };
    let all = [
        stop("US-LA", None, 100),
        stop("US-FL", Some(50), 200),
        stop("US-LA", None, 300),
    ];
    let mut tx = store.write().await;
    let first = activation(1, "base", PackOrigin::Configured);
    tx.insert_activation(&tenant(), &first).await.unwrap();
    for each in &all {
        tx.insert_region_stop(&tenant(), each).await.unwrap();
    }
    tx.commit().await.unwrap();
    let in_force = async |at: i64| {
        let mut tx = store.read().await;
        let policy = tx.policy_in_force(&tenant(), after(at)).await.unwrap();
        policy.unwrap().stops
    };
    assert_eq!(
        in_force(-10).await,
        ["US-LA"],
        "another node's clock may be behind"
    );
    assert_eq!(in_force(49).await, ["US-LA"]);
    assert_eq!(in_force(50).await, ["US-FL", "US-LA"]);
    assert_eq!(in_force(250).await, ["US-LA"]);
    assert_eq!(in_force(300).await, Vec::<String>::new());
    let mut tx = store.write().await;
    let lift = RegionStopLift {
        at: after(60),
        reason: "over".to_owned(),
        actor: "key:bert".to_owned(),
    };
    let id = all[2].stop_id;
    assert!(tx.lift_region_stop(&tenant(), id, &lift).await.unwrap());
    assert!(!tx.lift_region_stop(&tenant(), id, &lift).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(in_force(150).await, ["US-FL"]);
    let mut tx = store.read().await;
    let lifted = tx.region_stop(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(lifted.lift, Some(lift));
    let query = list("region = \"US-FL\"", REGION_STOP_FIELDS);
    let page = tx.region_stops(&tenant(), &query).await.unwrap();
    assert_eq!(page.rows, [all[1].clone()]);
}

/// Whoever changes the policy waits for whoever judges by it, and the other way round; judges do not wait for each other.
pub async fn judging_and_changing_are_kept_apart(store: TestStore) {
    if store.store.engine() == Engine::Sqlite {
        // One writer at a time anyway; the calls must only be harmless.
        let mut tx = store.write().await;
        tx.share_policy(&tenant()).await.unwrap();
        tx.own_policy(&tenant()).await.unwrap();
        return;
    }
    let (mut one, mut two) = (store.write().await, store.write().await);
    one.share_policy(&tenant()).await.unwrap();
    two.share_policy(&tenant()).await.unwrap();
    let mut other = store.write().await;
    let alone = tokio::spawn(async move {
        other.own_policy(&tenant()).await.unwrap();
        other
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!alone.is_finished(), "changed under two who judge");
    one.commit().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!alone.is_finished(), "changed under one who judges");
    two.commit().await.unwrap();
    let other = alone.await.unwrap();
    let mut late = store.write().await;
    let judge = tokio::spawn(async move { late.share_policy(&tenant()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!judge.is_finished(), "judged while it was changed");
    other.commit().await.unwrap();
    judge.await.unwrap().unwrap();
}
