use std::sync::Arc;

use super::*;
use crate::domain::account::AccountHasher;
use crate::domain::ids::TenantId;
use crate::domain::phone::NumberHasher;
use crate::domain::time::{Mono, Reading};
use crate::gate::Campaigns;
use crate::gate::imports::cells::Cells;
use crate::gate::imports::{ListEncoding, ListForm, ListSettings, Packing};
use crate::policy::Pack;

const NAMES: &str = "number,party_id,seller,channels,action,event_time,form,explicit,documented,out_of_hours,period,\
                     initiated_by,source,evidence_ref,wording_ref";

/// A list whose columns bear the names of what they hold.
fn columns() -> ConsentColumns {
    let named = |name: &str| Some(name.to_owned());
    ConsentColumns {
        number: named("number"),
        party_id: named("party_id"),
        seller: named("seller"),
        channels: named("channels"),
        action: named("action"),
        event_time: named("event_time"),
        form: named("form"),
        explicit: named("explicit"),
        documented: named("documented"),
        out_of_hours: named("out_of_hours"),
        period: named("period"),
        initiated_by: named("initiated_by"),
        source: named("source"),
        evidence_ref: named("evidence_ref"),
        wording_ref: named("wording_ref"),
    }
}

fn defaults() -> ConsentDefaults {
    ConsentDefaults {
        // Not in the configuration: what a list names as a whole is looked at before it is read.
        seller: Some("acme".to_owned()),
        channels: Vec::new(),
        action: ConsentAction::Given,
        at: None,
        form: None,
        explicit: None,
        documented: None,
        out_of_hours: None,
        period: None,
        initiated_by: None,
        source: None,
        evidence_ref: None,
        wording_ref: None,
    }
}

/// What a row under these defaults comes to.
fn row(defaults: ConsentDefaults, text: &str) -> Result<NewConsent, RejectReason> {
    let wall = "2026-11-18T15:00:00Z"
        .parse::<jiff::Timestamp>()
        .unwrap()
        .into();
    let reader = RowReader {
        settings: ListSettings {
            packing: Packing::Detected,
            encoding: ListEncoding::Detected,
            form: ListForm::Columns(Some(',')),
            has_header: true,
            default_country: Some("US".to_owned()),
        },
        rows: ConsentRows {
            columns: columns(),
            defaults,
        },
        tenant: TenantId::default(),
        hasher: NumberHasher::new([7; 32]),
        account_hasher: AccountHasher::new([7; 32]),
        pack: Arc::new(Pack::embedded().unwrap()),
        campaigns: Campaigns::default(),
        read: Arc::new(move || Reading {
            wall,
            mono: Mono::default(),
        }),
    };
    let layout = reader.layout(NAMES.as_bytes()).unwrap();
    let Cells::Whole(cells) = reader.cells(&layout, text) else {
        panic!("open: {text}")
    };
    let row = reader.row(&layout, 2, &cells);
    row.map(|row| row.unwrap().act)
        .map_err(|refusal| refusal.reason)
}

#[test]
fn each_row_is_taken_as_what_it_is_or_rejected_with_its_reason() {
    const TIME: &str = "2026-11-02T09:15:00Z";
    for (text, reason) in [
        ("n/a,,,,,TIME,oral,,,,,,,,", Some(RejectReason::Number)),
        (
            ",0190d5a5-0000-7000-8000-000000000001,,,,TIME,oral,,,,,,,,",
            Some(RejectReason::NumberMissing),
        ),
        (
            "911 5550141,17,,,,TIME,oral,,,,,,,,",
            Some(RejectReason::Party),
        ),
        (
            "4045550141,,other,,,TIME,oral,,,,,,,,",
            Some(RejectReason::Seller),
        ),
        (
            "4045550141,,,fax,,TIME,oral,,,,,,,,",
            Some(RejectReason::Channel),
        ),
        (
            "4045550141,,,,kept,TIME,oral,,,,,,,,",
            Some(RejectReason::Action),
        ),
        (
            "4045550141,,,,,,oral,,,,,,,,",
            Some(RejectReason::TimeMissing),
        ),
        ("4045550141,,,,,soon,oral,,,,,,,,", Some(RejectReason::Time)),
        (
            "4045550141,,,,,2026-11-20,oral,,,,,,,,",
            Some(RejectReason::TimeInFuture),
        ),
        ("4045550141,,,,,TIME,,,,,,,,,", Some(RejectReason::Form)),
        ("4045550141,,,,,TIME,nod,,,,,,,,", Some(RejectReason::Form)),
        (
            "4045550141,,,,,TIME,oral,maybe,,,,,,,",
            Some(RejectReason::Flag),
        ),
        (
            "4045550141,,,,,TIME,oral,,,,ever,,,,",
            Some(RejectReason::Period),
        ),
        (
            "4045550141,,,,,TIME,oral,,,,,us,,,",
            Some(RejectReason::InitiatedBy),
        ),
        (
            "4045550141,,,,,TIME,oral,,,,,,,a\u{7}b,",
            Some(RejectReason::Text),
        ),
        ("4045550141,,,,,TIME", Some(RejectReason::ColumnCount)),
        // Nobody can be called there; and a wish to stop is taken of any number.
        (
            "+19005550141,,,,,TIME,oral,,,,,,,,",
            Some(RejectReason::NotDialable),
        ),
        ("+19005550141,,,,withdrawn,TIME,,,,,,,,,", None),
        ("4045550141,,,,Withdrawn,,nod,maybe,,,ever,us,,,", None),
    ] {
        let text = text.replace("TIME", TIME);
        assert_eq!(row(defaults(), &text).err(), reason, "{text}");
    }
    let nobody = ConsentDefaults {
        seller: None,
        ..defaults()
    };
    let text = "4045550141,,,,,2026-11-02,oral,,,,,,,,";
    assert_eq!(row(nobody, text), Err(RejectReason::SellerMissing));
}

#[test]
fn a_period_that_was_over_before_it_began_is_none() {
    // Of a day some hours may be left somewhere on Earth, until noon of the next one at Greenwich.
    for (at, last_day, reason) in [
        (
            "2026-11-10T15:00:00Z",
            "2026-11-08",
            Some(RejectReason::Period),
        ),
        ("2026-11-10T11:59:59Z", "2026-11-09", None),
        (
            "2026-11-10T12:00:00Z",
            "2026-11-09",
            Some(RejectReason::Period),
        ),
        ("2026-11-10T15:00:00Z", "2026-11-10", None),
        ("2026-11-10T15:00:00Z", "indefinite", None),
    ] {
        let text = format!("4045550141,,,,,{at},oral,,,,{last_day},,,,");
        assert_eq!(row(defaults(), &text).err(), reason, "{text}");
    }
}

#[test]
fn a_row_says_all_that_can_be_said() {
    let told = row(
        defaults(),
        "(404) 555-0141,0190d5a5-0000-7000-8000-000000000001,,live_manual prerecorded,GIVEN,2026-11-02T09:15:00+01:00,\
         Web_Form,yes,1,No,2027-12-31,person,web,certificate-4711,sha256:1",
    )
    .unwrap();
    let wanted = NewConsent {
        number: crate::domain::phone::Phone::parse("+14045550141").unwrap(),
        party_id: Some("0190d5a5-0000-7000-8000-000000000001".parse().unwrap()),
        seller: "acme".to_owned(),
        action: ConsentAction::Given,
        at: Some(
            "2026-11-02T08:15:00Z"
                .parse::<jiff::Timestamp>()
                .unwrap()
                .into(),
        ),
        channels: vec![CallKind::LiveManual, CallKind::Prerecorded],
        form: Some(ConsentForm::WebForm),
        explicit: Some(true),
        documented: Some(true),
        out_of_hours: Some(false),
        period: Some("2027-12-31".to_owned()),
        initiated_by: Some(InitiatedBy::Person),
        source: Some("web".to_owned()),
        evidence_ref: Some("certificate-4711".to_owned()),
        wording_ref: Some("sha256:1".to_owned()),
    };
    assert_eq!(told, wanted);
    // What it leaves out is said of the whole list.
    let said = ConsentDefaults {
        at: Some(Micros(1)),
        form: Some(ConsentForm::Written),
        explicit: Some(true),
        period: Some("indefinite".to_owned()),
        initiated_by: Some(InitiatedBy::Seller),
        source: Some("paper".to_owned()),
        evidence_ref: Some("box 3".to_owned()),
        ..defaults()
    };
    let told = row(said.clone(), "4045550141,,,,,,,no,,,,,,,").unwrap();
    assert_eq!((told.at, told.form), (Some(Micros(1)), said.form));
    assert_eq!((told.explicit, told.documented), (Some(false), None));
    assert_eq!(
        (told.period, told.initiated_by),
        (said.period.clone(), said.initiated_by)
    );
    assert_eq!(
        (told.source, told.evidence_ref),
        (said.source.clone(), said.evidence_ref.clone())
    );
    let taken_back = row(said, "4045550141,,,,withdrawn,,,,,,,,,,").unwrap();
    assert_eq!((taken_back.at, taken_back.form), (Some(Micros(1)), None));
    assert_eq!((taken_back.explicit, taken_back.period), (None, None));
    assert_eq!(taken_back.evidence_ref.as_deref(), Some("box 3"));
}

/// A wish to stop is taken however it is written; whoever may be called is not guessed.
#[test]
fn of_consent_a_number_is_read_as_of_a_call() {
    for number in ["404 555 0141 ext 7", "1-800-FLOWERS", "4045550141.0"] {
        let act = |action: &str| {
            let text = format!("{number},,,,{action},2026-11-10,oral,,,,,,,,");
            row(defaults(), &text).map(|act| act.action)
        };
        assert_eq!(act("given"), Err(RejectReason::Number));
        assert_eq!(act("withdrawn"), Ok(ConsentAction::Withdrawn), "{number}");
    }
}

/// Nobody knows at which hour, nor where: consent is as old as it may be, and a wish to stop as new.
#[test]
fn of_a_day_consent_has_the_first_moment_and_a_withdrawal_the_last() {
    let at = |action: &str, day: &str| {
        let text = format!("4045550141,,,,{action},{day},oral,,,,,,,,");
        row(defaults(), &text).unwrap().at.unwrap().to_string()
    };
    assert_eq!(at("given", "2026-11-10"), "2026-11-09T10:00:00Z");
    assert_eq!(at("withdrawn", "2026-11-10"), "2026-11-11T11:59:59.999999Z");
    // By a clock of which nobody says where it is.
    assert_eq!(at("given", "2026-11-10 12:30"), "2026-11-09T22:30:00Z");
    assert_eq!(
        at("withdrawn", "2026-11-10 12:30"),
        "2026-11-11T00:30:59.999999Z"
    );
    assert_eq!(
        at("given", "2026-11-10 12:30:00+01:00"),
        "2026-11-10T11:30:00Z"
    );
    assert_eq!(
        at("withdrawn", "2026-11-18"),
        "2026-11-18T15:00:00Z",
        "never later than now"
    );
}
