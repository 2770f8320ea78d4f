//! Trunks on the command line.

use super::house::House;

#[test]
fn the_trunks_are_listed_for_people_and_for_programs() {
    let house = House::open();
    let listed = house.run("auditor", "trunk list").code(0);
    let listed = listed.says("STATE").says("up").says("udp:127.0.0.1:");
    listed.says("0 of ").says("1 trunk");
    let shown = house.run("administrator", "trunk list --json").code(0);
    let shown = shown.json();
    assert_eq!(shown["state"], "up");
    assert_eq!(shown["targets"][0]["transport"], "udp");
    assert_eq!(shown["targets"][0]["state"], "up");
    house
        .run("agent", "trunk list")
        .code(1)
        .says("SCOPE_MISSING");
}
