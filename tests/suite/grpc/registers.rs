//! `RegisterService`: lists loaded over the wire, by whoever speaks gRPC.

use dialgate::grpc::pb;
use dialgate::grpc::pb::import_register_request::Content;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use uuid::Uuid;

use super::house::{House, refusal};

const LIST: &[u8] = b"404,5550141\n404,5550199\nno number\n";

/// Code and reason of an error.
fn reason(status: &Status) -> (Code, String) {
    let (code, reason, _) = refusal(status);
    (code, reason)
}

pub(super) fn header() -> pb::ImportRegisterHeader {
    pb::ImportRegisterHeader {
        register: "us-dnc".to_owned(),
        as_of_date: Some(pb::Date {
            year: 2026,
            month: 4,
            day: 20,
        }),
        content_sha256: Sha256::digest(LIST).to_vec(),
        accept_rejected: true,
        ..pb::ImportRegisterHeader::default()
    }
}

pub(super) fn messages(
    contents: impl IntoIterator<Item = Content>,
) -> Vec<pb::ImportRegisterRequest> {
    named(&Uuid::new_v4().to_string(), contents)
}

/// The first of them bears the name of the request.
fn named(
    request_id: &str,
    contents: impl IntoIterator<Item = Content>,
) -> Vec<pb::ImportRegisterRequest> {
    let ids = std::iter::once(request_id).chain(std::iter::repeat(""));
    let message = |(id, content): (&str, Content)| pb::ImportRegisterRequest {
        request_id: id.to_owned(),
        content: Some(content),
    };
    ids.zip(contents).map(message).collect()
}

pub(super) fn whole(header: pb::ImportRegisterHeader) -> Vec<Content> {
    let pieces = LIST.chunks(10).map(|piece| Content::Piece(piece.to_vec()));
    std::iter::once(Content::Header(header))
        .chain(pieces)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_loaded_and_listed() {
    let house = House::open().await;
    let admin = house.administrator().await;
    let id = Uuid::new_v4().to_string();
    let import = async |header| {
        let stream = tokio_stream::iter(named(&id, whole(header)));
        admin.registers().import_register(stream).await
    };
    let first = header();
    let answer = import(first.clone()).await.unwrap().into_inner();
    let snapshot = answer.snapshot.unwrap();
    assert_eq!(
        (snapshot.numbers, snapshot.rows_read, snapshot.rows_rejected),
        (2, 3, 1)
    );
    assert_eq!((snapshot.covers.as_str(), answer.added), ("1404", Some(2)));
    assert_eq!(answer.rejects[0].line, 3);
    let again = import(first.clone()).await.unwrap().into_inner();
    assert_eq!(again.snapshot.as_ref(), Some(&snapshot));
    let other = pb::ImportRegisterHeader {
        accept_older: true,
        ..first
    };
    let told = import(other).await.unwrap_err();
    assert_eq!(
        reason(&told),
        (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned())
    );

    let auditor = house.auditor().await;
    let registers = auditor
        .registers()
        .list_registers(pb::ListRegistersRequest {})
        .await;
    let registers = registers.unwrap().into_inner().registers;
    let register = registers
        .iter()
        .find(|each| each.register == "us-dnc")
        .unwrap();
    assert_eq!(register.snapshot.as_ref(), Some(&snapshot));
    assert_eq!(
        (register.age_days, register.max_age_days),
        (Some(1), Some(31))
    );
    assert!(register.loaded && !register.stale && !register.name.is_empty());
    let none = registers
        .iter()
        .find(|each| each.register == "gb-tps")
        .unwrap();
    assert!(none.snapshot.is_none() && none.stale && !none.loaded);
    let request = pb::ListRegisterSnapshotsRequest::default();
    let snapshots = auditor.registers().list_register_snapshots(request).await;
    assert_eq!(snapshots.unwrap().into_inner().snapshots, [snapshot]);
    let told = auditor
        .registers()
        .import_register(tokio_stream::iter(messages(whole(header()))))
        .await;
    assert_eq!(told.unwrap_err().code(), Code::PermissionDenied);
}

/// Nothing of it is loaded, and each is told what is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_uploads_are_told_apart() {
    let house = House::open().await;
    let admin = house.administrator().await;
    let piece = || Content::Piece(LIST.to_vec());
    let with = |change: &dyn Fn(&mut pb::ImportRegisterHeader)| {
        let mut header = header();
        change(&mut header);
        messages([Content::Header(header), piece()])
    };
    let cases = [
        (messages([piece()]), "INVALID_FIELDS", "header"),
        (Vec::new(), "INVALID_FIELDS", "header"),
        (
            messages([
                Content::Header(header()),
                Content::Header(header()),
                piece(),
            ]),
            "INVALID_FIELDS",
            "header",
        ),
        (
            messages([
                Content::Header(header()),
                Content::Piece(vec![b'4'; 1_048_577]),
            ]),
            "INVALID_FIELDS",
            "piece",
        ),
        (named("", whole(header())), "INVALID_FIELDS", "request_id"),
        (
            with(&|it| it.register.clear()),
            "INVALID_FIELDS",
            "register",
        ),
        (
            with(&|it| it.as_of_date = None),
            "INVALID_FIELDS",
            "as_of_date",
        ),
        (
            with(&|it| it.content_sha256 = vec![1]),
            "INVALID_FIELDS",
            "content_sha256",
        ),
        (
            with(&|it| it.covers = "+1".to_owned()),
            "INVALID_FIELDS",
            "covers",
        ),
        (with(&|it| it.form = 99), "INVALID_FIELDS", "form"),
        (with(&|it| it.rows_read = -1), "INVALID_FIELDS", "rows_read"),
        (
            with(&|it| it.register = "moon".to_owned()),
            "REGISTER_NOT_FOUND",
            "",
        ),
        (
            with(&|it| it.content_sha256 = vec![1; 32]),
            "CONTENT_MISMATCH",
            "",
        ),
        (
            with(&|it| it.accept_rejected = false),
            "LIST_REJECTED",
            "--yes-leave-them-out",
        ),
        (with(&|it| it.form = 2), "REGISTER_EMPTY", ""),
        (with(&|it| it.form = 3), "LIST_UNREADABLE", ""),
        (
            with(&|it| it.column = "Telephone".to_owned()),
            "LIST_UNREADABLE",
            "",
        ),
    ];
    for (messages, wanted, field) in cases {
        let told = admin
            .registers()
            .import_register(tokio_stream::iter(messages))
            .await;
        let told = told.unwrap_err();
        assert_eq!(reason(&told).1, wanted, "{told:?}");
        assert!(told.message().contains(field), "{told:?}");
    }
    let unheard = pb::DiffRegisterRequest {
        register: "us-dnc".to_owned(),
        ..pb::DiffRegisterRequest::default()
    };
    let told = admin.registers().diff_register(unheard).await.unwrap_err();
    assert_eq!(
        reason(&told),
        (Code::NotFound, "REGISTER_SNAPSHOT_NOT_FOUND".to_owned())
    );
    let mut tx = house.store.read().await.unwrap();
    let tenant = dialgate::domain::ids::TenantId::default();
    assert!(tx.registers_in_force(&tenant).await.unwrap().is_empty());
    let left = std::fs::read_dir(house.base.registry().folder).unwrap();
    assert_eq!(left.count(), 0, "nothing is left of what was not taken");
}
