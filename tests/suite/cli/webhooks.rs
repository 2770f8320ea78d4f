//! Webhooks on the command line.

use super::house::House;

/// A webhook that was given up after three changes, and whose section somebody took out meanwhile.
const PARKED: &str = "INSERT INTO webhooks (tenant_id, name, round, delivered, batch_end, state, tries, failing_micros, last_problem,
        epoch, lease_micros, create_time)
    VALUES ('default', 'crm', 1, 3, 5, 'parked', 1234, 0, 'http_503', 7, 0, 0)";

#[test]
fn a_webhook_that_was_given_up_is_shown_and_brought_back() {
    let house = House::open();
    let none = house.run("auditor", "webhook list").code(0);
    none.says("no webhook found");
    house.change(PARKED);
    let listed = house.run("auditor", "webhook list").code(0);
    let listed = listed.says("not configured").says("#3").says("1,234");
    listed.says("http_503").says("1 webhook");
    let resume = "webhook resume crm";
    house.run("auditor", resume).code(1).says("SCOPE_MISSING");
    let resumed = house.run("administrator", resume).code(0);
    resumed.says(
        "webhook crm will go on after change #3; this server's configuration does not have it",
    );
    let shown = house.run("administrator", "webhook list --json").code(0);
    let shown = shown.json();
    assert_eq!(shown["state"], "delivering");
    let again = house.run("administrator", "webhook resume crm --from-start --json");
    assert_eq!(again.code(0).json()["state"], "delivering");
    let nobody = house.run("administrator", "webhook resume erp");
    nobody.code(1).says("WEBHOOK_NOT_FOUND");
}
