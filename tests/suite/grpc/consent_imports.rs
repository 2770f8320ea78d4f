//! Lists of consents over the wire; what they share with lists of opt-outs is tried there.

use dialgate::grpc::pb;
use dialgate::grpc::pb::import_consents_request::Content as Sent;
use dialgate::grpc::pb::import_consents_response::Content as Told;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};

use super::house::{ATLANTA, Client, House, assert_refused, request_id};

const ROWS: &str = "number,action,event_time,form\n\
                    +14045550141,given,2025-11-02T09:15:00Z,written\n\
                    (404) 555-0142,withdrawn,,\n\
                    404 555 0143,given,,oral\n\
                    +14045550141,given,2025-11-02T09:15:00Z,written\n";

pub(super) fn announce(text: &str) -> pb::ConsentImportHeader {
    pb::ConsentImportHeader {
        content_sha256: Sha256::digest(text.as_bytes()).to_vec(),
        size_bytes: text.len() as i64,
        form: pb::ListForm::Columns.into(),
        has_header: true,
        columns: Some(pb::ConsentListColumns {
            number: "number".to_owned(),
            action: "action".to_owned(),
            event_time: "event_time".to_owned(),
            form: "form".to_owned(),
            ..Default::default()
        }),
        default_country: "US".to_owned(),
        seller: "acme".to_owned(),
        ..Default::default()
    }
}

pub(super) async fn import(
    client: &Client,
    header: pb::ConsentImportHeader,
    text: &str,
) -> Result<Vec<Told>, Status> {
    let first = pb::ImportConsentsRequest {
        request_id: request_id(),
        content: Some(Sent::Header(header)),
    };
    let piece = |bytes: &[u8]| pb::ImportConsentsRequest {
        request_id: String::new(),
        content: Some(Sent::Piece(bytes.to_vec())),
    };
    let mut messages = vec![first];
    messages.extend(text.as_bytes().chunks(50).map(piece));
    let mut consents = client.consents();
    let answers = consents.import_consents(tokio_stream::iter(messages)).await;
    let (mut answers, mut told) = (answers?.into_inner(), Vec::new());
    while let Some(answer) = answers.message().await? {
        told.push(answer.content.unwrap());
    }
    Ok(told)
}

fn ended(told: &[Told]) -> pb::ConsentImport {
    match told.last() {
        Some(Told::Ended(import)) => import.clone(),
        other => panic!("{other:?}"),
    }
}

async fn acts(client: &Client, number: &str) -> Vec<pb::ConsentEvent> {
    let request = pb::ListConsentsRequest {
        number: number.to_owned(),
        ..Default::default()
    };
    let answer = client.consents().list_consents(request).await.unwrap();
    answer.into_inner().consent_events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_consents_is_tried_recorded_and_told() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let header = pb::ConsentImportHeader {
        validate_only: true,
        ..announce(ROWS)
    };
    let tried = ended(&import(&administrator, header, ROWS).await.unwrap());
    let rows = |import: &pb::ConsentImport| {
        (
            import.rows_read,
            import.rows_recorded,
            import.rows_already_on_record,
            import.rows_rejected,
        )
    };
    assert_eq!((tried.import_id.as_str(), rows(&tried)), ("", (4, 2, 1, 1)));
    assert!(acts(&administrator, ATLANTA).await.is_empty());

    let told = import(&administrator, announce(ROWS), ROWS).await.unwrap();
    let done = ended(&told);
    assert_eq!(done.state(), pb::ConsentImportState::Finished);
    assert_eq!(rows(&done), (4, 2, 1, 1));
    let reject = told.iter().find_map(|each| match each {
        Told::Reject(reject) => Some(reject.clone()),
        _ => None,
    });
    let reject = reject.unwrap();
    assert_eq!(
        (reject.line, reject.reason()),
        (4, pb::ImportRejectReason::TimeMissing)
    );
    let act = acts(&administrator, ATLANTA).await.remove(0);
    assert_eq!(
        (act.form(), act.seller.as_str()),
        (pb::ConsentForm::Written, "acme")
    );
    let again = import(&administrator, announce(ROWS), ROWS).await.unwrap();
    let again = ended(&again);
    assert_ne!(again.import_id, done.import_id);
    assert_eq!(
        rows(&again),
        (4, 0, 3, 1),
        "the same list is looked at anew, and all of it stands"
    );

    let auditor = house.auditor().await;
    let import_id = done.import_id.clone();
    let request = pb::GetConsentImportRequest {
        import_id: import_id.clone(),
    };
    let got = auditor
        .consents()
        .get_consent_import(request)
        .await
        .unwrap();
    assert_eq!(got.into_inner().consent_import, Some(done.clone()));
    let request = pb::ListConsentImportsRequest {
        filter: "state = \"finished\"".to_owned(),
        ..Default::default()
    };
    let page = auditor
        .consents()
        .list_consent_imports(request)
        .await
        .unwrap();
    assert_eq!(page.into_inner().consent_imports, [again, done]);
    let request = pb::ListConsentImportRejectsRequest {
        import_id: import_id.clone(),
        ..Default::default()
    };
    let page = auditor
        .consents()
        .list_consent_import_rejects(request)
        .await
        .unwrap();
    assert_eq!(page.into_inner().rejects, [reject]);
    // It is no list of opt-outs.
    let request = pb::GetSuppressionImportRequest { import_id };
    let answer = auditor.suppressions().get_suppression_import(request).await;
    assert_refused(answer, Code::NotFound, "IMPORT_NOT_FOUND", &[]);
    let request = pb::ListSuppressionImportsRequest::default();
    let page = auditor
        .suppressions()
        .list_suppression_imports(request)
        .await
        .unwrap();
    assert!(page.into_inner().suppression_imports.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_consents_is_what_was_announced_or_it_fails() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let meant = ROWS.replace("0142", "0149");
    let told = import(&administrator, announce(&meant), ROWS)
        .await
        .unwrap();
    let failed = ended(&told);
    assert_eq!(failed.state(), pb::ConsentImportState::Failed);
    assert!(failed.problem.contains("SHA-256"), "{}", failed.problem);
    assert_eq!(
        acts(&administrator, ATLANTA).await.len(),
        1,
        "what was recorded stays"
    );
    let short = import(&administrator, announce(ROWS), &ROWS[..90]).await;
    assert_refused(short, Code::Aborted, "IMPORT_BROKEN_OFF", &[]);

    let good = || announce(ROWS);
    for (header, fields) in [
        (
            pb::ConsentImportHeader {
                columns: None,
                ..good()
            },
            vec!["header.columns.number"],
        ),
        (
            pb::ConsentImportHeader {
                content_sha256: Vec::new(),
                consent_form: 99,
                ..good()
            },
            vec!["header.content_sha256", "header.consent_form"],
        ),
        (
            pb::ConsentImportHeader {
                event_time: house.after(3600),
                period: "ever".to_owned(),
                ..good()
            },
            vec!["header.event_time", "header.period"],
        ),
        (
            pb::ConsentImportHeader {
                seller: "nobody".to_owned(),
                ..good()
            },
            vec!["seller"],
        ),
    ] {
        let answer = import(&administrator, header, ROWS).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &fields);
    }
}
