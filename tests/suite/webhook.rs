//! Webhooks over real sockets: receivers that fail, hang and lie, outages, two nodes, a node that dies in between, and addresses
//! that lead inside. The clock is held by hand; nothing here waits for real time but for receivers that never answer.

mod addresses;
mod house;

use crate::gate::on_both;

on_both! {
    p32_every_change_arrives_in_order_whatever_the_receiver_does,
    p32_an_outage_loses_nothing_and_repeats_whole_messages,
    p32_after_its_hours_it_is_parked_and_goes_on_where_it_stood,
    p32_who_says_that_nobody_is_there_is_parked_at_once,
    p32_who_asks_for_time_gets_it,
    p32_two_nodes_deliver_one_at_a_time,
    p32_a_node_that_dies_in_between_repeats_the_message_and_nothing_else,
    p32_a_message_is_signed_by_every_secret_in_use,
    a_new_webhook_begins_with_what_happens_from_then_on,
    one_that_is_sent_back_to_the_beginning_tells_everything_again,
    what_is_overdue_is_shown,
    a_new_webhook_is_begun_before_anybody_is_served,
    a_node_that_stops_breaks_off_and_gives_its_turn_back,
}

mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use dialgate::clock::Clock;
    use dialgate::domain::webhook::WebhookState;
    use dialgate::gate::GateError;
    use dialgate::store::Store;
    use dialgate::webhook::{BATCH_MAX, Turn, WebhookConfig, Webhooks};
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;

    use super::house::{House, PREVIOUS, SECRET};
    use crate::gate::bench::Bench;
    use crate::support::receiver::{Manner, Message, TAKES};

    const HOUR: Duration = Duration::from_hours(1);

    pub async fn p32_every_change_arrives_in_order_whatever_the_receiver_does(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        let mut hurried = house.post_of(&WebhookConfig {
            timeout_ms: 300,
            ..house.config()
        });
        assert_eq!(house.turn(&mut post).await, Turn::Nothing);
        let mut count = 0;
        for (manner, problem) in [
            (Manner::Says(500, "", "ok"), "http_500"),
            (Manner::Says(404, "", ""), "http_404"),
            (Manner::Says(199, "", ""), "http_199"),
            (Manner::Redirects(301), "http_301"),
            (Manner::Redirects(307), "http_307"),
            (Manner::Redirects(308), "http_308"),
            (Manner::Says(304, "", ""), "http_304"),
            (Manner::Closes, "broken"),
            (Manner::Half, "broken"),
            (Manner::Babbles, "broken"),
            (Manner::Hangs, "timeout"),
            (Manner::Drips, "timeout"),
        ] {
            house.stop_calls(2).await;
            count += 2;
            house.receiver.does(manner.clone());
            let trying = match manner {
                Manner::Hangs | Manner::Drips => &mut hurried,
                _ => &mut post,
            };
            assert_eq!(house.turn(trying).await, Turn::Failed, "{manner:?}");
            let row = house.row().await;
            let told = row.progress.last_problem.as_deref();
            // 199 is no final answer: whoever sends it and closes has broken off.
            let is_told = told == Some(problem) || problem == "http_199" && told == Some("broken");
            assert!(is_told, "{manner:?}: {told:?}");
            assert_eq!(row.progress.delivered, count - 2, "{manner:?}");
            house.receiver.does(TAKES);
            assert_eq!(house.turn(&mut post).await, Turn::Nothing, "not yet");
            house.bench.clock.advance(Duration::from_secs(1));
            assert_eq!(house.turn(&mut post).await, Turn::Delivered);
            assert_eq!(house.row().await.progress.delivered, count);
        }
        house.stop_calls(1).await;
        house.receiver.does(Manner::Large);
        assert_eq!(house.turn(&mut post).await, Turn::Delivered);
        assert_eq!(house.receiver.positions(), (1..=25).collect::<Vec<_>>());
        let messages = house.receiver.messages();
        assert!(
            messages
                .iter()
                .all(|message| message.line == "POST /hook HTTP/1.1")
        );
        assert!(messages.iter().all(is_signed));
        // Whoever keeps a copy finds the suppression by its key.
        let first = &messages[0].json()["changes"][0];
        assert_eq!(first["kind"], "recorded");
        let key = first["suppression"]["number_key"].as_str().unwrap();
        assert_eq!(key, house.number_key(1).hex());
    }

    pub async fn p32_an_outage_loses_nothing_and_repeats_whole_messages(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        house.turn(&mut post).await;
        house.receiver.does(Manner::Says(503, "", ""));
        house.stop_calls(130).await;
        assert_eq!(house.turn(&mut post).await, Turn::Failed);
        // More comes while nobody is there; the message stays as it was.
        house.stop_calls(120).await;
        for _ in 0..12 {
            house.bench.clock.advance(Duration::from_mins(10));
            assert_eq!(house.turn(&mut post).await, Turn::Failed);
        }
        let ids: Vec<String> = (house.receiver.messages().iter())
            .map(|message| message.id().to_owned())
            .collect();
        assert_eq!(ids, vec!["crm_1_1-100"; 13]);
        house.receiver.does(TAKES);
        house.bench.clock.advance(Duration::from_mins(10));
        while house.turn(&mut post).await == Turn::Delivered {}
        assert_eq!(house.receiver.positions(), (1..=250).collect::<Vec<_>>());
        let sizes: Vec<usize> = (house.receiver.taken().iter())
            .map(|message| message.positions().len())
            .collect();
        assert_eq!(sizes, [100, 100, 50]);
        assert_eq!(BATCH_MAX, 100);
    }

    pub async fn p32_after_its_hours_it_is_parked_and_goes_on_where_it_stood(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        house.turn(&mut post).await;
        house.stop_calls(3).await;
        house.receiver.does(Manner::Says(500, "", "ok"));
        let begin = house.bench.now();
        let mut tries = 0;
        while house.row().await.progress.state == WebhookState::Delivering {
            assert_eq!(house.turn(&mut post).await, Turn::Failed);
            tries += 1;
            house.bench.clock.advance(HOUR);
        }
        let lasted = house.bench.now().since(begin) / 3_600_000_000;
        assert!((24..=26).contains(&lasted), "{lasted} hours, {tries} tries");
        house.receiver.does(TAKES);
        house.stop_calls(1).await;
        for _ in 0..3 {
            house.bench.clock.advance(24 * HOUR);
            assert_eq!(house.turn(&mut post).await, Turn::Nothing);
        }
        let status = house.status().await;
        assert_eq!(status.progress.state, WebhookState::Parked);
        assert_eq!(status.progress.last_problem.as_deref(), Some("http_500"));
        assert_eq!((status.lag.changes, status.configured), (4, true));
        assert!(status.is_overdue(house.bench.now()));
        assert!(house.receiver.positions().is_empty());

        let ask = house.bench.ask("admin");
        let resumed = house.gate.resume_webhook(&ask, "crm", false).await.unwrap();
        assert_eq!(resumed.progress.state, WebhookState::Delivering);
        // Asked twice under one name, it is done once.
        let again = house.gate.resume_webhook(&ask, "crm", false).await.unwrap();
        assert_eq!(again, resumed);
        while house.turn(&mut post).await == Turn::Delivered {}
        assert_eq!(house.receiver.positions(), [1, 2, 3, 4]);
        assert_eq!(house.receiver.taken()[0].id(), "crm_1_1-3");
        let audit = house.bench.audit().await;
        assert_eq!(audit, ["webhook.parked", "webhook.resumed"]);
        let ask = house.bench.ask("admin");
        let nobody = house.gate.resume_webhook(&ask, "erp", false);
        let refused = nobody.await.unwrap_err();
        assert!(matches!(refused, GateError::NotFound { what: "webhook" }));
    }

    pub async fn p32_who_says_that_nobody_is_there_is_parked_at_once(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        house.turn(&mut post).await;
        house.stop_calls(1).await;
        house.receiver.does(Manner::Says(410, "", ""));
        assert_eq!(house.turn(&mut post).await, Turn::Failed);
        assert_eq!(house.turn(&mut post).await, Turn::Nothing);
        let progress = house.row().await.progress;
        assert_eq!(progress.state, WebhookState::Parked);
        assert_eq!(progress.last_problem.as_deref(), Some("http_410"));
        assert_eq!(house.bench.audit().await, ["webhook.parked"]);
    }

    pub async fn p32_who_asks_for_time_gets_it(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        house.turn(&mut post).await;
        house.stop_calls(1).await;
        for (status, header, seconds) in [
            (503, "Retry-After: 120\r\n", 120),
            (429, "Retry-After: 300\r\n", 300),
            (503, "Retry-After: 86400\r\n", 3600),
        ] {
            house.receiver.does(Manner::Says(status, header, ""));
            assert_eq!(house.turn(&mut post).await, Turn::Failed);
            house.bench.clock.advance(Duration::from_secs(seconds - 1));
            assert_eq!(house.turn(&mut post).await, Turn::Nothing, "{header}");
            house.bench.clock.advance(Duration::from_secs(1));
        }
        house.receiver.does(TAKES);
        assert_eq!(house.turn(&mut post).await, Turn::Delivered);
    }

    pub async fn p32_two_nodes_deliver_one_at_a_time(bench: Bench) {
        let house = House::over(bench).await;
        let other = Store::open(&house.bench.store.config).await.unwrap();
        let (mut one, mut two) = (house.post(), house.post_over(other));
        house.turn(&mut one).await;
        house.turn(&mut two).await;
        house.stop_calls(950).await;
        let closing = tokio_util::sync::CancellationToken::new();
        let all = async |post: &mut dialgate::webhook::Post| {
            let mut delivered = 0;
            while house.row().await.progress.delivered < 950 {
                match post.turn(&closing).await {
                    Ok(Turn::Delivered) => delivered += 1,
                    Ok(Turn::Nothing | Turn::Another) => tokio::task::yield_now().await,
                    other => panic!("{other:?}"),
                }
            }
            delivered
        };
        let (by_one, by_two) = tokio::join!(all(&mut one), all(&mut two));
        assert_eq!(house.receiver.positions(), (1..=950).collect::<Vec<_>>());
        assert_eq!(house.receiver.most_under_way(), 1);
        assert_eq!(by_one + by_two, house.receiver.messages().len());
        // While one waits for its answer, the other one finds nothing to do.
        house.stop_calls(1).await;
        house.receiver.does(Manner::SaysLater(200));
        let held = async {
            house.receiver.has(house.receiver.taken().len() + 1).await;
            assert_eq!(two.turn(&closing).await.unwrap(), Turn::Another);
            house.receiver.go();
        };
        let (turn, ()) = tokio::join!(one.turn(&closing), held);
        assert_eq!(turn.unwrap(), Turn::Delivered);
        assert_eq!(house.receiver.most_under_way(), 1);
    }

    pub async fn p32_a_node_that_dies_in_between_repeats_the_message_and_nothing_else(
        bench: Bench,
    ) {
        let house = House::over(bench).await;
        let (mut dying, mut other) = (house.post(), house.post());
        house.turn(&mut dying).await;
        house.stop_calls(3).await;
        // The receiver has it and says so; nobody is there to hear it.
        house.receiver.does(Manner::SaysLater(200));
        let closing = tokio_util::sync::CancellationToken::new();
        tokio::select! {
            turn = dying.turn(&closing) => panic!("{turn:?}"),
            () = house.receiver.has(1) => {}
        }
        drop(dying);
        house.receiver.go();
        house.stop_calls(2).await;
        house.receiver.does(TAKES);
        assert_eq!(house.turn(&mut other).await, Turn::Another);
        // The time-out of a delivery and some seconds, on its own clock.
        house.bench.clock.advance(Duration::from_millis(19_999));
        assert_eq!(house.turn(&mut other).await, Turn::Another);
        house.bench.clock.advance(Duration::from_millis(1));
        while house.turn(&mut other).await == Turn::Delivered {}
        let messages = house.receiver.messages();
        let ids: Vec<&str> = messages.iter().map(Message::id).collect();
        // What was taken before the end is the same message, whatever came since.
        assert_eq!(ids, ["crm_1_1-3", "crm_1_1-3", "crm_1_4-5"]);
        assert_eq!(messages[0].body, messages[1].body);
    }

    pub async fn p32_a_message_is_signed_by_every_secret_in_use(bench: Bench) {
        let house = House::over(bench).await;
        let row = WebhookConfig {
            previous_secret_file: Some(house.secret("previous", PREVIOUS)),
            ..house.config()
        };
        let mut post = house.post_of(&row);
        house.turn(&mut post).await;
        house.stop_calls(1).await;
        assert_eq!(house.turn(&mut post).await, Turn::Delivered);
        let message = &house.receiver.taken()[0];
        let signatures: Vec<&str> = message.headers["webhook-signature"].split(' ').collect();
        assert_eq!(
            signatures,
            [signature(SECRET, message), signature(PREVIOUS, message)]
        );
        let seconds = house.bench.now().0 / 1_000_000;
        assert_eq!(message.headers["webhook-timestamp"], seconds.to_string());
    }

    /// The header as the specification has it, made from what arrived.
    fn signature(secret: &str, message: &Message) -> String {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
        let (id, time) = (message.id(), &message.headers["webhook-timestamp"]);
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(&message.body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    fn is_signed(message: &Message) -> bool {
        message.headers["webhook-signature"] == signature(SECRET, message)
    }

    pub async fn a_new_webhook_begins_with_what_happens_from_then_on(bench: Bench) {
        let house = House::over(bench).await;
        // More than are numbered at once.
        house.stop_calls(300).await;
        let mut post = house.post();
        assert_eq!(house.turn(&mut post).await, Turn::Nothing);
        assert_eq!(house.row().await.progress.delivered, 300);
        house.stop_calls(1).await;
        // Of one that was recorded before, what happens now is told.
        house.ask_for_lift(7).await;
        assert_eq!(house.turn(&mut post).await, Turn::Delivered);
        let message = &house.receiver.taken()[0];
        let mut kinds: Vec<_> = (message.json()["changes"].as_array().unwrap().iter())
            .map(|change| change["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        assert_eq!(kinds, ["lift_requested", "recorded"]);
    }

    pub async fn one_that_is_sent_back_to_the_beginning_tells_everything_again(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        house.turn(&mut post).await;
        house.stop_calls(2).await;
        assert_eq!(house.turn(&mut post).await, Turn::Delivered);
        house.stop_calls(1).await;
        // While a message is under way: what comes of that one moves nothing any more.
        house.receiver.does(Manner::SaysLater(200));
        let back = async {
            house.receiver.has(2).await;
            let ask = house.bench.ask("admin");
            let status = house.gate.resume_webhook(&ask, "crm", true).await.unwrap();
            assert_eq!(status.lag.changes, 3);
            house.receiver.go();
        };
        let (_, ()) = tokio::join!(house.turn(&mut post), back);
        house.receiver.does(TAKES);
        while house.turn(&mut post).await == Turn::Delivered {}
        let messages = house.receiver.taken();
        let ids: Vec<&str> = messages.iter().map(Message::id).collect();
        assert_eq!(ids, ["crm_1_1-2", "crm_1_3-3", "crm_2_1-3"]);
    }

    pub async fn what_is_overdue_is_shown(bench: Bench) {
        let house = House::over(bench).await;
        let mut post = house.post();
        house.turn(&mut post).await;
        house.receiver.does(Manner::Says(500, "", ""));
        house.stop_calls(2).await;
        let at = house.bench.now();
        house.turn(&mut post).await;
        house.bench.clock.advance(Duration::from_secs(60));
        assert!(!house.status().await.is_overdue(house.bench.now()));
        house.bench.clock.advance(Duration::from_secs(1));
        let status = house.status().await;
        assert!(status.is_overdue(house.bench.now()));
        assert_eq!((status.lag.changes, status.lag.oldest_at), (2, Some(at)));
        // A node whose configuration does not have it shows it all the same.
        let elsewhere = house
            .bench
            .gate
            .webhooks(&Default::default())
            .await
            .unwrap();
        assert_eq!((elsewhere.len(), elsewhere[0].configured), (1, false));
    }

    /// Who is served after it has started may rely on it.
    pub async fn a_new_webhook_is_begun_before_anybody_is_served(bench: Bench) {
        let house = House::over(bench).await;
        let clock = Clock::Manual(std::sync::Arc::clone(&house.bench.clock));
        let store = &house.bench.store.store;
        let webhooks = Webhooks::start(store, vec![house.webhook()], &clock);
        let webhooks = webhooks.await.unwrap();
        assert_eq!(house.row().await.progress.delivered, 0);
        webhooks.stop().await;
    }

    pub async fn a_node_that_stops_breaks_off_and_gives_its_turn_back(bench: Bench) {
        let house = House::over(bench).await;
        let mut first = house.post();
        house.turn(&mut first).await;
        house.receiver.does(Manner::Hangs);
        house.stop_calls(1).await;
        let clock = Clock::Manual(std::sync::Arc::clone(&house.bench.clock));
        let webhooks = Webhooks::start(&house.bench.store.store, vec![house.webhook()], &clock)
            .await
            .unwrap();
        house.receiver.has(1).await;
        tokio::time::timeout(Duration::from_secs(2), webhooks.stop())
            .await
            .expect("a receiver that hangs holds nobody up");
        assert_eq!(house.row().await.owner, None);
        house.receiver.does(TAKES);
        assert_eq!(house.turn(&mut first).await, Turn::Delivered);
    }
}
