//! P-02 beyond one machine: the primary is lost for good under load, and its synchronous standby goes on. What was acknowledged
//! is there, and binds.

use std::time::Duration;

use tokio::task::block_in_place;

use super::database::Database;
use super::kill_loop::{conclude, finish, progress};
use super::load::{Load, Mix};
use super::rng::{Rng, seed};
use super::world::{Home, World};

const MIX: Mix = Mix {
    opt_outs: 30,
    lifts: 20,
    consents: 6,
    checks: 4,
    doubled: 15,
    aimed: 0,
};
const CLIENTS: usize = 8;
const PEOPLE: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_p03_an_acknowledged_opt_out_outlives_the_primary() {
    let Some(database) = block_in_place(Database::create_with_standby) else {
        return;
    };
    let seed = seed();
    let mut world = World::build(Home::Postgres(database), 2, PEOPLE).await;
    block_in_place(|| world.nodes[1].start());
    let load = Load::of(&world, MIX, Duration::from_secs(120), usize::MAX).await;
    let mut clients = load.run(seed, CLIENTS);
    let mut rng = Rng::new(seed, 4);
    progress(&load, &mut clients, 200 + rng.below(200)).await;
    tokio::time::sleep(rng.millis(0, 300)).await;
    block_in_place(|| {
        let Home::Postgres(database) = &mut world.home else {
            unreachable!("as it was built")
        };
        database.fail_over();
    });
    progress(&load, &mut clients, 300).await;
    load.stop();
    finish(&mut clients).await;
    conclude(&mut world, &load, true, "one fail-over to a standby").await;
}
