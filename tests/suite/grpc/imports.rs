//! Lists of opt-outs over the wire: what is announced, what is told, and what is refused.

use std::time::Duration;

use dialgate::gate::BARRIER_WAIT;
use dialgate::grpc::pb;
use dialgate::grpc::pb::import_suppressions_request::Content as Sent;
use dialgate::grpc::pb::import_suppressions_response::Content as Told;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::house::{ATLANTA, Client, House, assert_refused, request_id};

const SOON: Duration = Duration::from_secs(30);

pub(super) fn announce(text: &str) -> pb::SuppressionImportHeader {
    pb::SuppressionImportHeader {
        content_sha256: Sha256::digest(text.as_bytes()).to_vec(),
        size_bytes: text.len() as i64,
        form: pb::ListForm::Lines.into(),
        default_country: "US".to_owned(),
        ..Default::default()
    }
}

fn first(header: pb::SuppressionImportHeader) -> pb::ImportSuppressionsRequest {
    pb::ImportSuppressionsRequest {
        request_id: request_id(),
        content: Some(Sent::Header(header)),
    }
}

fn piece(bytes: &[u8]) -> pb::ImportSuppressionsRequest {
    pb::ImportSuppressionsRequest {
        request_id: String::new(),
        content: Some(Sent::Piece(bytes.to_vec())),
    }
}

async fn send(
    client: &Client,
    messages: Vec<pb::ImportSuppressionsRequest>,
) -> Result<Streaming<pb::ImportSuppressionsResponse>, Status> {
    let answers = client
        .suppressions()
        .import_suppressions(tokio_stream::iter(messages))
        .await;
    answers.map(tonic::Response::into_inner)
}

/// All answers, time passing whenever none comes.
async fn answers(
    house: &House,
    mut stream: Streaming<pb::ImportSuppressionsResponse>,
) -> Result<Vec<Told>, Status> {
    let mut told = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(200), stream.message()).await {
            Ok(Ok(Some(answer))) => told.push(answer.content.unwrap()),
            Ok(Ok(None)) => return Ok(told),
            Ok(Err(status)) => return Err(status),
            Err(_) => house.clock.advance(BARRIER_WAIT),
        }
    }
}

pub(super) async fn import(
    house: &House,
    client: &Client,
    header: pb::SuppressionImportHeader,
    text: &str,
) -> Result<Vec<Told>, Status> {
    let mut messages = vec![first(header)];
    messages.extend(text.as_bytes().chunks(50_000).map(piece));
    answers(house, send(client, messages).await?).await
}

fn ended(told: &[Told]) -> pb::SuppressionImport {
    match told.last() {
        Some(Told::Ended(import)) => import.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_recorded_and_each_answer_told() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let text = format!("{ATLANTA}\n(404) 555-0142\nnot a number\n{ATLANTA}\n");
    let told = import(&house, &administrator, announce(&text), &text)
        .await
        .unwrap();
    let Told::Started(started) = &told[0] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (started.state(), started.rows_read),
        (pb::SuppressionImportState::Open, 0)
    );
    let rejects: Vec<_> = told
        .iter()
        .filter_map(|each| match each {
            Told::Reject(reject) => Some((reject.line, reject.reason())),
            _ => None,
        })
        .collect();
    assert_eq!(rejects, [(3, pb::ImportRejectReason::Number)]);
    let waiting = told.iter().any(|each| {
        matches!(each, Told::Progress(told) if told.rows_read == 4 && told.rows_acknowledged == 0)
    });
    assert!(
        waiting,
        "a row is told as acknowledged only after its wait: {told:?}"
    );
    let import_told = ended(&told);
    assert_eq!(import_told.state(), pb::SuppressionImportState::Finished);
    assert_eq!(
        (
            import_told.rows_read,
            import_told.rows_created,
            import_told.rows_already_in_force,
            import_told.rows_rejected,
            import_told.rows_acknowledged
        ),
        (4, 2, 1, 1, 4)
    );
    let again = import(&house, &administrator, announce(&text), &text)
        .await
        .unwrap();
    let again = ended(&again);
    assert_ne!(again.import_id, import_told.import_id);
    assert_eq!(
        (again.rows_created, again.rows_already_in_force),
        (0, 3),
        "the same list is looked at anew, and all of it stands"
    );

    let auditor = house.auditor().await;
    let request = pb::GetSuppressionImportRequest {
        import_id: import_told.import_id.clone(),
    };
    let got = auditor
        .suppressions()
        .get_suppression_import(request)
        .await
        .unwrap();
    assert_eq!(
        got.into_inner().suppression_import,
        Some(import_told.clone())
    );
    let request = pb::ListSuppressionImportRejectsRequest {
        import_id: import_told.import_id.clone(),
        ..Default::default()
    };
    let page = auditor
        .suppressions()
        .list_suppression_import_rejects(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((page.rejects.len(), page.rejects[0].line), (1, 3));
    assert!(!page.rejects[0].problem.contains("not a number\n"));
    let nobody = pb::GetSuppressionImportRequest {
        import_id: request_id(),
    };
    let answer = auditor.suppressions().get_suppression_import(nobody).await;
    assert_refused(answer, Code::NotFound, "IMPORT_NOT_FOUND", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_is_checked_before_anything_is_read() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let good = || announce(ATLANTA);
    for (header, fields) in [
        (
            pb::SuppressionImportHeader {
                content_sha256: vec![1; 31],
                ..good()
            },
            vec!["header.content_sha256"],
        ),
        (
            pb::SuppressionImportHeader {
                size_bytes: 0,
                form: 0,
                ..good()
            },
            vec!["header.size_bytes", "header.form"],
        ),
        (
            pb::SuppressionImportHeader {
                size_bytes: -1,
                ..good()
            },
            vec!["header.size_bytes"],
        ),
        (
            pb::SuppressionImportHeader {
                form: pb::ListForm::Columns.into(),
                ..good()
            },
            vec!["header.columns.number"],
        ),
        (
            pb::SuppressionImportHeader {
                columns: Some(pb::ListColumns {
                    note: "x".to_owned(),
                    ..Default::default()
                }),
                ..good()
            },
            vec!["header.columns.number"],
        ),
        (
            pb::SuppressionImportHeader {
                delimiter: "ab".to_owned(),
                ..good()
            },
            vec!["header.delimiter"],
        ),
        (
            pb::SuppressionImportHeader {
                default_country: "Utopia".to_owned(),
                ..good()
            },
            vec!["header.default_country"],
        ),
        (
            pb::SuppressionImportHeader {
                packing: 9,
                encoding: 9,
                ..good()
            },
            vec!["header.packing", "header.encoding"],
        ),
        (
            pb::SuppressionImportHeader {
                received_time: house.after(3600),
                ..good()
            },
            vec!["header.received_time"],
        ),
        (
            pb::SuppressionImportHeader {
                reason: 99,
                ..good()
            },
            vec!["header.reason"],
        ),
    ] {
        let answer = send(&administrator, vec![first(header)]).await;
        assert_refused(
            answer.map(drop),
            Code::InvalidArgument,
            "INVALID_FIELDS",
            &fields,
        );
    }
    let unknown = pb::SuppressionImportHeader {
        seller: "nobody".to_owned(),
        ..good()
    };
    let stream = send(&administrator, vec![first(unknown)]).await.unwrap();
    assert_refused(
        answers(&house, stream).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["seller"],
    );
    let early = pb::ImportSuppressionsRequest {
        request_id: request_id(),
        ..piece(b"x")
    };
    let answer = send(&administrator, vec![early]).await;
    assert_refused(
        answer.map(drop),
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["header"],
    );
    for second in [first(good()), piece(&vec![b'x'; 1024 * 1024 + 1])] {
        let stream = send(&administrator, vec![first(good()), second])
            .await
            .unwrap();
        assert_refused(
            answers(&house, stream).await,
            Code::InvalidArgument,
            "INVALID_FIELDS",
            &["piece"],
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_what_was_announced_or_it_fails() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let (sent, meant) = (format!("{ATLANTA}\n"), "+14045550149\n".to_owned());
    let told = import(&house, &administrator, announce(&meant), &sent)
        .await
        .unwrap();
    let import_told = ended(&told);
    assert_eq!(import_told.state(), pb::SuppressionImportState::Failed);
    assert!(
        import_told.problem.contains("SHA-256"),
        "{}",
        import_told.problem
    );
    assert_eq!(import_told.rows_created, 1, "what was recorded stays");
    // Less than was announced: broken off, and the same list goes on.
    let short = import(&house, &administrator, announce(&meant), &meant[..6]).await;
    assert_refused(short, Code::Aborted, "IMPORT_BROKEN_OFF", &[]);
    let told = import(&house, &administrator, announce(&meant), &meant)
        .await
        .unwrap();
    assert_eq!(ended(&told).state(), pb::SuppressionImportState::Finished);
    let request = pb::ListSuppressionImportsRequest {
        filter: "state = \"failed\"".to_owned(),
        ..Default::default()
    };
    let page = administrator
        .suppressions()
        .list_suppression_imports(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.suppression_imports, [import_told]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_records_nothing() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let text = format!("{ATLANTA}\n") + &"nonsense\n".repeat(300);
    let header = pb::SuppressionImportHeader {
        validate_only: true,
        ..announce(&text)
    };
    let told = import(&house, &administrator, header, &text).await.unwrap();
    let tried = ended(&told);
    assert_eq!(
        (tried.rows_read, tried.rows_created, tried.rows_rejected),
        (301, 1, 300)
    );
    assert_eq!(tried.import_id, "");
    let rejects = told
        .iter()
        .filter(|each| matches!(each, Told::Reject(_)))
        .count();
    assert_eq!(rejects, 100);
    let page = administrator
        .suppressions()
        .list_suppressions(pb::ListSuppressionsRequest::default())
        .await;
    assert!(page.unwrap().into_inner().suppressions.is_empty());
    let page = administrator
        .suppressions()
        .list_suppression_imports(pb::ListSuppressionImportsRequest::default())
        .await;
    assert!(page.unwrap().into_inner().suppression_imports.is_empty());
}

/// It sends all it has and reads nothing: nothing of it is held up, and all of it is told when asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_up_nothing() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let text = "nonsense\n".repeat(4000) + ATLANTA;
    let (out, messages) = mpsc::channel(1);
    let sending = ReceiverStream::new(messages);
    out.send(first(announce(&text))).await.unwrap();
    let mut suppressions = administrator.suppressions();
    let stream = suppressions
        .import_suppressions(sending)
        .await
        .unwrap()
        .into_inner();
    for each in text.as_bytes().chunks(1000) {
        tokio::time::timeout(SOON, out.send(piece(each)))
            .await
            .unwrap()
            .unwrap();
    }
    drop(out);
    let import = loop {
        house.clock.advance(BARRIER_WAIT);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let request = pb::ListSuppressionImportsRequest::default();
        let page = administrator
            .suppressions()
            .list_suppression_imports(request)
            .await
            .unwrap()
            .into_inner();
        let import = page.suppression_imports[0].clone();
        if import.state() == pb::SuppressionImportState::Finished {
            break import;
        }
    };
    assert_eq!(
        (import.rows_rejected, import.rows_acknowledged),
        (4000, 4001)
    );
    let told = answers(&house, stream).await.unwrap();
    assert_eq!(
        ended(&told),
        import,
        "the end is kept for whoever reads late"
    );
    assert!(
        told.len() < 2000,
        "the rest was not kept in memory: {}",
        told.len()
    );
    let mut lines = Vec::new();
    let mut request = pb::ListSuppressionImportRejectsRequest {
        import_id: import.import_id,
        page_size: 1000,
        page_token: String::new(),
    };
    loop {
        let answer = administrator
            .suppressions()
            .list_suppression_import_rejects(request.clone())
            .await;
        let page = answer.unwrap().into_inner();
        lines.extend(page.rejects.iter().map(|each| each.line));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(lines, (1..=4000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_sends_all_that_meets_the_conditions_and_no_number() {
    let house = House::open().await;
    let administrator = house.administrator().await;
    let text: String = (0..300).map(|n| format!("+1404555{n:04}\n")).collect();
    let header = pb::SuppressionImportHeader {
        note: "from the old system".to_owned(),
        ..announce(&text)
    };
    import(&house, &administrator, header, &text).await.unwrap();
    let export = async |client: &Client, request: pb::ExportSuppressionsRequest| {
        let mut stream = client
            .suppressions()
            .export_suppressions(request)
            .await?
            .into_inner();
        let mut all = Vec::new();
        while let Some(answer) = stream.message().await? {
            all.extend(answer.suppressions);
        }
        Ok::<_, Status>(all)
    };
    let all = export(&administrator, pb::ExportSuppressionsRequest::default())
        .await
        .unwrap();
    assert_eq!(all.len(), 300);
    assert!(
        all.iter().all(|each| each.note == "from the old system"
            && each.source() == pb::SuppressionSource::Import)
    );
    let shown = format!("{all:?}");
    assert!(
        !shown.contains("+1404") && !shown.contains("1404555"),
        "no readable number"
    );
    let one = pb::ExportSuppressionsRequest {
        number: "+14045550007".to_owned(),
        ..Default::default()
    };
    let auditor = house.auditor().await;
    let seen = export(&auditor, one).await.unwrap();
    assert_eq!(
        (seen.len(), seen[0].note.as_str()),
        (1, ""),
        "notes are not for auditors"
    );
    let none = pb::ExportSuppressionsRequest {
        filter: "reason = \"objection\"".to_owned(),
        ..Default::default()
    };
    assert!(export(&auditor, none).await.unwrap().is_empty());
    let wrong = pb::ExportSuppressionsRequest {
        filter: "nonsense".to_owned(),
        ..Default::default()
    };
    assert_refused(
        export(&auditor, wrong).await,
        Code::InvalidArgument,
        "FILTER_INVALID",
        &["filter"],
    );
}
