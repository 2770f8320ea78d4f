//! A whole list against everything: CheckCalls over gRPC, beside a bare tonic server that answers the same stream with
//! messages of the same size.
//!
//! One client, one stream, a thousand numbers a message. The list is mixed: strangers of a hundred American area codes, of
//! Britain, Germany, France and Australia, people on record whom the law lets be called, numbers that opted out, and some
//! lines that are no number. The store holds the opt-outs of millions.

use std::sync::Arc;
use std::time::Duration;

use dialgate::domain::ids::{SuppressionId, TenantId};
use dialgate::domain::phone::Phone;
use dialgate::grpc::pb;
use dialgate::grpc::pb::check_calls_request::Content as Asked;
use dialgate::grpc::pb::check_calls_response::Content as Answered;
use prost::Message as _;
use prost::bytes::Bytes;
use sqlx::QueryBuilder;

use crate::support::figures::{Goal, Sample, Table, ratios};
use crate::support::home::{Engine, Home, on};
use crate::support::node::{self, Process};
use crate::support::wire::{self, Client};
use crate::support::{Size, block_on, machine, now, scene};

const BATCH: usize = 1_000;
const ROWS_A_STATEMENT: usize = 1_000;

const GOAL_RATE: Goal = Goal::AtLeast(150_000.0);

/// American area codes, from every clock of the country.
const AREA_CODES: [u32; 20] = [
    201, 202, 205, 206, 208, 212, 213, 214, 303, 305, 312, 404, 415, 503, 602, 617, 702, 713, 808,
    907,
];

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store",
            "opt-outs",
            "decisions/s",
            "goal",
            "verdict",
            "cpu µs a decision",
            "of it the database's",
            "echo rows/s",
            "ratio",
            "bytes a row",
            "most memory MiB",
        ]);
        for engine in Engine::all() {
            measure(engine, size, &mut table).await;
        }
        table.print("Whole lists");
    });
}

async fn measure(engine: Engine, size: &Size, table: &mut Table) {
    let home = Home::new(engine).await;
    scene::introduce(&home.store, size.people).await;
    opt_out(&home, size.opt_outs).await;
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let (process, key) = node::serve(&home, nowhere);
    let mut client = Client::connect(process.port, Some(&key)).await;
    let list = Arc::new(messages(size));
    let sizes = client.stream(&list).await;
    check(&sizes, size);
    let answered: usize = sizes.iter().map(Bytes::len).sum();
    let mean = (answered / sizes.len()).to_string();
    let echo = Process::play("--play-list-echo", &[&mean]);
    let mut echo_client = Client::connect(echo.port, None).await;

    let (mut rate, mut cpu, mut store, mut ceiling) = (
        Sample::default(),
        Sample::default(),
        Sample::default(),
        Sample::default(),
    );
    let rows = size.list as f64;
    let per = |spent: Duration| spent.as_secs_f64() * 1e6 / rows;
    let database = || match home.server() {
        Some(server) => machine::family(server),
        None => machine::threads(process.pid(), "sqlx-sqlite"),
    };
    for _ in 0..size.rounds {
        let (before, stored, begun) = (machine::process(process.pid()), database(), now());
        client.stream(&list).await;
        rate.0.push(rows / (now() - begun).as_secs_f64());
        cpu.0.push(per(machine::process(process.pid()) - before));
        store.0.push(per(database() - stored));
        let begun = now();
        echo_client.stream(&list).await;
        ceiling.0.push(rows / (now() - begun).as_secs_f64());
    }
    table.row(vec![
        engine.name().to_owned(),
        size.opt_outs.to_string(),
        rate.show(0),
        GOAL_RATE.show(),
        GOAL_RATE.verdict(rate.median()),
        cpu.show(1),
        store.show(1),
        ceiling.show(0),
        ratios(&rate, &ceiling).show(3),
        format!("{:.1}", answered as f64 / rows),
        format!(
            "{:.0}",
            machine::most_memory(process.pid()) as f64 / 1024.0 / 1024.0
        ),
    ]);
}

/// The answers are those of a list: a row a number, opt-outs and allows among them, and a summary.
fn check(answers: &[Bytes], size: &Size) {
    let mut rows = 0;
    let mut summary = None;
    for answer in answers {
        match pb::CheckCallsResponse::decode(answer.clone())
            .unwrap()
            .content
        {
            Some(Answered::Rows(batch)) => rows += batch.rows.len(),
            Some(Answered::Summary(last)) => summary = Some(last),
            None => panic!("an empty answer"),
        }
    }
    let summary = summary.unwrap();
    assert_eq!((rows, summary.asked), (size.list, size.list as i64));
    let errors: i64 = summary.errors.iter().map(|each| each.count).sum();
    assert_eq!(summary.allowed + summary.denied + errors, summary.asked);
    let opted_out = summary
        .rules
        .iter()
        .find(|each| each.name == "US-internal-dnc");
    assert!(opted_out.is_some_and(|rule| rule.count > 0) && summary.allowed > 0);
    println!(
        "{} numbers: {} allowed, {} denied, {errors} no number",
        summary.asked, summary.allowed, summary.denied
    );
}

/// The header and the batches, as they go over the wire.
fn messages(size: &Size) -> Vec<Bytes> {
    let header = pb::CheckCallsHeader {
        campaign: scene::CAMPAIGN.to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..pb::CheckCallsHeader::default()
    };
    let mut messages = vec![message(Asked::Header(header))];
    let mut dice = Dice(7);
    let mut left = size.list;
    while left > 0 {
        let numbers: Vec<String> = (0..left.min(BATCH))
            .map(|_| any_number(&mut dice, size))
            .collect();
        left -= numbers.len();
        messages.push(message(Asked::Batch(pb::CheckCallsBatch { numbers })));
    }
    messages
}

fn message(content: Asked) -> Bytes {
    let message = pb::CheckCallsRequest {
        content: Some(content),
    };
    message.encode_to_vec().into()
}

/// Numbers by chance, the same ones each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(sides)) as u32
    }
}

fn any_number(dice: &mut Dice, size: &Size) -> String {
    match dice.throw(100) {
        0..10 => opted_out(dice.throw(size.opt_outs)),
        10..20 => scene::number(dice.throw(size.people)),
        20..25 => format!("+6129{:07}", 1_000_000 + dice.throw(8_000_000)),
        25..30 => format!("+44207{:07}", 2_000_000 + dice.throw(7_000_000)),
        30..35 => format!("+4930{:07}", 2_000_000 + dice.throw(7_000_000)),
        35..40 => format!("+331{:08}", 42_000_000 + dice.throw(7_000_000)),
        40 => "+19005550100".to_owned(),
        41 => "n/a".to_owned(),
        _ => american(dice.throw(160_000_000)),
    }
}

/// One of many millions of numbers.
fn american(index: u32) -> String {
    let area_code = AREA_CODES[(index % 20) as usize];
    let rest = index / 20;
    // Neither 555, which is nobody's, nor 211 to 911.
    let exchange = 220 + rest / 10_000 % 80;
    format!("+1{area_code}{exchange}{:04}", rest % 10_000)
}

/// Every eightieth of them, or so.
fn opted_out(index: u32) -> String {
    american(index.wrapping_mul(7_919) % 160_000_000)
}

/// Puts so many opt-outs on record, behind the gate's back: it would take its time over each. Followers were told of them.
async fn opt_out(home: &Home, count: u32) {
    let hasher = home.store.hasher().within(&TenantId::default());
    let at = scene::wall();
    let bare = home.bare().await;
    for first in (0..count).step_by(ROWS_A_STATEMENT) {
        let rows: Vec<_> = (first..count.min(first + ROWS_A_STATEMENT as u32))
            .map(|index| {
                let number = Phone::parse(&opted_out(index)).unwrap();
                (SuppressionId::new(at).0, hasher.key(number).0.to_vec())
            })
            .collect();
        on!(&bare, |pool| {
            let mut query = QueryBuilder::new(
                "INSERT INTO suppressions (suppression_id, tenant_id, number_key, channels, reason, source, received_time,
                 create_time, actor, told) ",
            );
            query.push_values(&rows, |mut values, (id, key)| {
                values
                    .push_bind(*id)
                    .push_bind("default")
                    .push_bind(key.clone())
                    .push_bind("");
                values.push_bind("party_request").push_bind("import");
                values
                    .push_bind(at.0)
                    .push_bind(at.0)
                    .push_bind("key:office")
                    .push_bind(1_i32);
            });
            query.build().execute(pool).await.unwrap();
            let mut query = QueryBuilder::new(
                "INSERT INTO suppression_changes (tenant_id, position, suppression_id, kind) ",
            );
            let placed = rows.iter().zip(i64::from(first) + 1..);
            query.push_values(placed, |mut values, ((id, _), position)| {
                values.push_bind("default").push_bind(position);
                values.push_bind(*id).push_bind("recorded");
            });
            query.build().execute(pool).await.unwrap();
        });
    }
}

/// The echo of a stream: PORT BYTES.
pub fn play_echo(arguments: &[String]) {
    let answer = Bytes::from(vec![b'x'; arguments[1].parse().unwrap()]);
    block_on(wire::serve_stream(arguments[0].parse().unwrap(), answer));
}
