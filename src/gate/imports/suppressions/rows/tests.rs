use std::sync::Arc;

use super::*;
use crate::domain::account::AccountHasher;
use crate::domain::ids::TenantId;
use crate::domain::phone::{NumberHasher, Phone};
use crate::domain::time::{Mono, Reading};
use crate::gate::Campaigns;
use crate::gate::imports::cells::Cells;
use crate::gate::imports::{ListEncoding, ListForm, ListSettings, Packing};
use crate::policy::Pack;

fn settings() -> ListSettings {
    ListSettings {
        packing: Packing::Detected,
        encoding: ListEncoding::Detected,
        form: ListForm::Columns(None),
        has_header: true,
        default_country: Some("US".to_owned()),
    }
}

fn rows() -> SuppressionRows {
    SuppressionRows {
        columns: SuppressionColumns {
            number: Some("phone".to_owned()),
            ..SuppressionColumns::default()
        },
        defaults: SuppressionDefaults {
            seller: None,
            channels: Vec::new(),
            purposes: Vec::new(),
            reason: SuppressionReason::PartyRequest,
            source: SuppressionSource::Import,
            received_at: None,
            evidence_ref: None,
            note: None,
        },
    }
}

fn reader(settings: ListSettings, rows: SuppressionRows) -> RowReader<SuppressionRows> {
    let wall = "2026-11-18T15:00:00Z"
        .parse::<jiff::Timestamp>()
        .unwrap()
        .into();
    RowReader {
        settings,
        rows,
        tenant: TenantId::default(),
        hasher: NumberHasher::new([7; 32]),
        account_hasher: AccountHasher::new([7; 32]),
        pack: Arc::new(Pack::embedded().unwrap()),
        campaigns: Campaigns::default(),
        read: Arc::new(move || Reading {
            wall,
            mono: Mono::default(),
        }),
    }
}

/// What a row comes to under a header line.
fn row(
    reader: &RowReader<SuppressionRows>,
    header: &str,
    text: &str,
) -> Result<Option<Row>, RejectReason> {
    let layout = reader.layout(header.as_bytes()).unwrap();
    let Cells::Whole(cells) = reader.cells(&layout, text) else {
        panic!("open: {text}")
    };
    reader
        .row(&layout, 2, &cells)
        .map_err(|refusal| refusal.reason)
}

fn subject(reader: &RowReader<SuppressionRows>) -> SuppressionSubject {
    let number = Phone::parse("+14045550141").unwrap();
    SuppressionSubject::Number(reader.hasher.key(&reader.tenant, number))
}

#[test]
fn columns_are_found_by_name_or_by_place() {
    let (mut wanted, mut named_so) = (settings(), rows());
    named_so.columns.note = Some(" Comment ".to_owned());
    let named = reader(wanted.clone(), named_so.clone());
    for (header, text) in [
        ("id,Phone,comment", "1,404 555 0141,no more"),
        ("comment;x;phone", "no more;;\"404 555 0141\""),
        ("phone\tcomment", "+1 404-555-0141\t no more"),
        ("phone | comment", "tel:+1-404-555-0141 | no more"),
    ] {
        let row = row(&named, header, text).unwrap().unwrap();
        assert_eq!(
            (row.subject, row.said.note.as_deref()),
            (subject(&named), Some("no more")),
            "{header}"
        );
    }
    assert!(
        named
            .layout(b"number,comment")
            .unwrap_err()
            .contains("names no column `phone`")
    );
    wanted.has_header = false;
    assert!(
        reader(wanted.clone(), named_so.clone())
            .layout(b"phone,comment")
            .unwrap_err()
            .contains("by their place")
    );
    named_so.columns.number = Some("3".to_owned());
    named_so.columns.note = None;
    assert!(
        reader(wanted.clone(), named_so.clone())
            .layout(b"a,b")
            .unwrap_err()
            .contains("the first line has 2")
    );
    let placed = reader(wanted, named_so);
    assert_eq!(
        row(&placed, "a,b,c", "1,2,4045550141")
            .unwrap()
            .unwrap()
            .subject,
        subject(&placed)
    );
}

#[test]
fn each_row_is_taken_as_what_it_is_or_rejected_with_its_reason() {
    let mut wanted = rows();
    let columns = &mut wanted.columns;
    for (column, name) in [
        (&mut columns.party_id, "party"),
        (&mut columns.seller, "seller"),
        (&mut columns.channels, "kinds"),
        (&mut columns.reason, "why"),
        (&mut columns.received_time, "when"),
        (&mut columns.note, "note"),
    ] {
        *column = Some(name.to_owned());
    }
    let reader = reader(settings(), wanted);
    let header = "phone,party,seller,kinds,why,when,note";
    for (text, reason) in [
        (",,,,,,", None),
        ("  ,,,,,,", None),
        ("n/a,,,,,,", Some(RejectReason::Number)),
        (",,,,,,x", Some(RejectReason::NumberMissing)),
        ("4045550141,,,,,", Some(RejectReason::ColumnCount)),
        ("4045550141,,,,,,,", Some(RejectReason::ColumnCount)),
        (
            "4045550141,0190d5a5-0000-7000-8000-000000000001,,,,,",
            Some(RejectReason::TwoSubjects),
        ),
        (",17,,,,,", Some(RejectReason::Party)),
        ("4045550141,,acme,,,,", Some(RejectReason::Seller)),
        ("4045550141,,,fax,,,", Some(RejectReason::Channel)),
        ("4045550141,,,,because,,", Some(RejectReason::Reason)),
        ("4045550141,,,,,yesterday,", Some(RejectReason::Time)),
        (
            "4045550141,,,,,1970-01-01T00:00:00Z,",
            Some(RejectReason::Time),
        ),
        ("4045550141,,,,,1899-12-30,", Some(RejectReason::Time)),
        (
            "4045550141,,,,,2026-11-18T15:02:00Z,",
            Some(RejectReason::TimeInFuture),
        ),
        (
            "4045550141,,,,,2026-11-20,",
            Some(RejectReason::TimeInFuture),
        ),
        ("4045550141,,,,,,a\u{7}b", Some(RejectReason::Text)),
    ] {
        assert_eq!(row(&reader, header, text).err(), reason, "{text}");
    }
    let long = format!("4045550141,,,,,,{}", "x".repeat(4097));
    assert_eq!(row(&reader, header, &long), Err(RejectReason::Text));
    let said = |text| row(&reader, header, text).unwrap().unwrap().said;
    let told = said(
        "4045550141,,,live_manual Prerecorded,Objection,2026-11-17T10:00:00-05:00,\"a \"\"b\"\",\nc\"",
    );
    assert_eq!(told.channels, [CallKind::LiveManual, CallKind::Prerecorded]);
    assert_eq!(told.reason, SuppressionReason::Objection);
    assert_eq!(told.note.as_deref(), Some("a \"b\",\nc"));
    assert_eq!(
        told.received_at.unwrap().to_string(),
        "2026-11-17T15:00:00Z"
    );
    assert_eq!(said("4045550141,,,all,,,").channels, []);
    let day = said("4045550141,,,,,2026-11-10,").received_at.unwrap();
    assert_eq!(
        day.to_string(),
        "2026-11-11T11:59:59.999999Z",
        "it was over everywhere"
    );
    let today = said("4045550141,,,,,2026-11-18,").received_at.unwrap();
    assert_eq!(today, (reader.read)().wall, "and never later than now");
}

#[test]
fn a_row_may_be_about_an_account_and_name_purposes() {
    let mut wanted = rows();
    wanted.columns.number = Some("phone".to_owned());
    wanted.columns.account = Some("company".to_owned());
    wanted.columns.purposes = Some("for".to_owned());
    wanted.columns.note = None;
    wanted.defaults.purposes = vec![Purpose::Sales];
    let reader = reader(settings(), wanted);
    let header = "phone,company,for";
    let read = |text| row(&reader, header, text);
    let told = read(", ACME ,Sales+service").unwrap().unwrap();
    let acme = Account::parse("ACME").unwrap();
    let key = reader.account_hasher.key(&reader.tenant, &acme);
    assert_eq!(told.subject, SuppressionSubject::Account(key));
    assert_eq!(told.said.purposes, [Purpose::Sales, Purpose::Service]);
    let purposes = |text| read(text).unwrap().unwrap().said.purposes;
    assert_eq!(
        purposes(",ACME,"),
        [Purpose::Sales],
        "as the list says of rows that name none"
    );
    assert_eq!(purposes(",ACME,all"), []);
    assert_eq!(read("4045550141,ACME,"), Err(RejectReason::TwoSubjects));
    assert_eq!(read(",ACME,fun"), Err(RejectReason::Purpose));
    assert_eq!(read(",\"a\tb\","), Err(RejectReason::Account));
    let long = format!(",{},", "x".repeat(129));
    assert_eq!(read(&long), Err(RejectReason::Account));
}

#[test]
fn a_line_is_read_in_its_encoding() {
    let latin = b"404 555 0141,caf\xe9\xa0".as_slice();
    let with = |encoding| {
        let wanted = ListSettings {
            encoding,
            ..settings()
        };
        reader(wanted, rows())
            .text(latin)
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!(
        with(ListEncoding::Detected).as_deref(),
        Ok("404 555 0141,café\u{a0}")
    );
    assert_eq!(
        with(ListEncoding::Latin1).as_deref(),
        Ok("404 555 0141,café\u{a0}")
    );
    assert_eq!(with(ListEncoding::Utf8), Err(RejectReason::Encoding));
    let refused = reader(settings(), rows())
        .text(b"40\0")
        .map_err(|refusal| refusal.reason);
    assert_eq!(refused, Err(RejectReason::Nul));
}

#[test]
fn a_number_a_line_may_be_quoted_or_have_empty_cells_behind_it() {
    let lines = ListSettings {
        form: ListForm::Lines,
        has_header: false,
        ..settings()
    };
    let reader = reader(lines, rows());
    for text in [
        "4045550141",
        "\"(404) 555-0141\"",
        " 4045550141,,, ",
        "404,555,0141;",
        "'4045550141",
    ] {
        let row = row(&reader, "x", text);
        match text {
            "404,555,0141;" => assert_eq!(row, Err(RejectReason::Number), "{text}"),
            _ => assert_eq!(row.unwrap().unwrap().subject, subject(&reader), "{text}"),
        }
    }
    assert_eq!(row(&reader, "x", "phone"), Err(RejectReason::Number));
}
