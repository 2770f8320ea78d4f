//! Lines in, numbers and rejects out.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::phone::Phone;
use crate::place::Tables;

/// What a list came to.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    added: Vec<u64>,
    removed: Vec<u64>,
    report: ListReport,
    rejects: Vec<(u64, RejectReason)>,
}

fn options(form: ListForm, country: &str) -> ListOptions {
    ListOptions {
        form,
        country: (!country.is_empty()).then(|| country.to_owned()),
    }
}

fn try_read(options: &ListOptions, pieces: &[&[u8]]) -> Result<Came, ListProblem> {
    let tables = Arc::clone(&Tables::shared().unwrap());
    let mut reader = ListReader::new(tables, options.clone(), Lists::default());
    let mut rejects = Vec::new();
    let mut rejected = |reject: Reject| rejects.push((reject.line, reject.reason));
    for piece in pieces {
        reader.push(piece, &mut rejected)?;
    }
    let (lists, report) = reader.finish(&mut rejected)?;
    let ListReport {
        lines,
        accepted,
        duplicates,
        deletions,
        contradictions,
        blank,
        comments,
        headers,
        rejected,
        ..
    } = report;
    assert_eq!(lines, accepted + blank + comments + headers + rejected);
    assert_eq!(rejected, report.reasons.values().sum::<u64>());
    assert_eq!(rejected, rejects.len() as u64);
    assert_eq!(report.first_rejects.len(), rejects.len().min(20));
    if deletions == 0 && contradictions == 0 {
        assert_eq!(lists.added.len(), accepted - duplicates);
    }
    let integers = |list: &Builder| list.numbers().map(Phone::integer).collect();
    Ok(Came {
        added: integers(&lists.added),
        removed: integers(&lists.removed),
        report,
        rejects,
    })
}

fn read(form: ListForm, country: &str, text: impl AsRef<[u8]>) -> Came {
    try_read(&options(form, country), &[text.as_ref()]).unwrap()
}

fn csv(column: Column) -> ListForm {
    ListForm::Csv {
        column,
        delimiter: Some(b','),
    }
}

use ListForm::{AreaCodeAndNumber, Auto, Changes, OneNumber};
use RejectReason::{
    CountryMissing, Extension, Letters, LineTooLong, Markup, NoMark, NoNumber, NotPossible,
    NotUtf8, Nul, OpenQuote, TooLong, TooShort, Utf16, WrongColumns,
};

/// Each of these lines, after a sound one, is this number or is rejected for this reason.
fn check(
    form: &ListForm,
    country: &str,
    before: &str,
    lines: &[(&[u8], Result<u64, RejectReason>)],
) {
    for (line, wanted) in lines {
        let text = [before.as_bytes(), b"\n", line, b"\n"].concat();
        let came = read(form.clone(), country, &text);
        let shown = String::from_utf8_lossy(line);
        match wanted {
            Ok(number) => {
                assert!(came.rejects.is_empty(), "{shown}: {:?}", came.rejects);
                assert!(came.added.contains(number), "{shown}: {:?}", came.added);
            }
            Err(reason) => assert_eq!(came.rejects, [(2, *reason)], "{shown}"),
        }
    }
}

#[test]
fn lines_of_the_national_list_of_the_united_states() {
    let number = Ok(12_125_550_101);
    let lines: &[(&[u8], _)] = &[
        (b"212,5550101", number),
        (b" 212 , 5550101 ", number),
        (b"\"212\",\"5550101\"", number),
        (b"212,555-0101", number),
        (b"212,5550101,", number),
        // As a spreadsheet writes amounts.
        (b"212.0,5550101.0", number),
        (b"(212),555 0101", number),
        ("２１２,５５５０１０１".as_bytes(), number),
        ("\u{feff}212,5550101".as_bytes(), number),
        (b"212,555010", Err(TooShort)),
        (b"212,55501011", Err(TooLong)),
        (b"21,5550101", Err(TooShort)),
        (b"2125,550101", Err(TooLong)),
        (b"21,25550101", Err(TooShort)),
        (b"2125550101", Err(WrongColumns)),
        (b"212,5550101,D", Err(WrongColumns)),
        (b"212,555O101", Err(Letters)),
        (b"abc,5550101", Err(Letters)),
        (b"212,5550101x5", Err(Extension)),
        (b"212,5550101 ext. 12", Err(Extension)),
        (b"212,", Err(NoNumber)),
        (b",5550101", Err(NoNumber)),
        (b"012,5550101", Err(NotPossible)),
        (b"112,5550101", Err(NotPossible)),
        (b"212,1550101", Err(NotPossible)),
        (b"+212,5550101", Err(NotPossible)),
        (b"212,5550101\0", Err(Nul)),
        (b"212,555\xff101", Err(NotUtf8)),
        (b"\"212,5550101", Err(OpenQuote)),
        (b"<number>2125550101</number>", Err(Markup)),
    ];
    check(&AreaCodeAndNumber, "", "917,5550199", lines);
    // The country of others has no say, and neither has who says nothing of the form.
    check(&Auto, "FR", "917,5550199", lines);
}

#[test]
fn one_number_a_line_in_north_america() {
    let number = Ok(12_125_550_101);
    check(
        &OneNumber,
        "US",
        "9175550199",
        &[
            (b"2125550101", number),
            (b"12125550101", number),
            (b"+12125550101", number),
            (b"(212) 555-0101", number),
            (b"212.555.0101", number),
            (b"\"2125550101\"", number),
            (b"2125550101,,", number),
            (b"tel:+1-212-555-0101", number),
            (b"0012125550101", number),
            (b"+442079460018", Ok(442_079_460_018)),
            ("＋１２１２５５５０１０１".as_bytes(), number),
            ("212\u{a0}555\u{2011}0101".as_bytes(), number),
            (b"5550101", Err(TooShort)),
            (b"212555010", Err(TooShort)),
            (b"21255501011", Err(NotPossible)),
            (b"1125550101", Err(NotPossible)),
            (b"2121550101", Err(NotPossible)),
            (b"+12121550101", Err(NotPossible)),
            (b"+1212555", Err(NotPossible)),
            (b"+121255", Err(TooShort)),
            (b"2125550101 2125550102", Err(TooLong)),
            (b"1-800-FLOWERS", Err(Letters)),
            (b"unknown", Err(Letters)),
            (b"2125550101 x5", Err(Extension)),
            (b"+12125550101;ext=5", Err(Extension)),
            (b"2125550101#5", Err(Extension)),
            (b"2.125550101E+09", Err(Letters)),
            (b"=2125550101", Err(NotPossible)),
            (b"212,5550101", Err(WrongColumns)),
            (b"--", Err(TooShort)),
            (b"\"\"", Err(NoNumber)),
            (b"212\"5550101", Err(OpenQuote)),
            (b"2125550101\0", Err(Nul)),
            (b"2125\xe95550101", Err(NotUtf8)),
        ],
    );
}

#[test]
fn one_number_a_line_elsewhere() {
    let number = Ok(442_079_460_018);
    check(
        &OneNumber,
        "GB",
        "02079460019",
        &[
            (b"02079460018", number),
            (b"442079460018.0", number),
            (b"020 7946 0018", number),
            (b"2079460018", number),
            (b"442079460018", number),
            (b"+44 (0)20 7946 0018", number),
            (b"00442079460018", number),
            (b"+12125550101", Ok(12_125_550_101)),
            (b"0207", Err(TooShort)),
            (b"020794600181234", Err(NotPossible)),
            (b"0207946001812345678", Err(TooLong)),
        ],
    );
    check(
        &OneNumber,
        "FR",
        "0199001411",
        &[(b"01 99 00 14 12", Ok(33_199_001_412))],
    );
    check(
        &OneNumber,
        "FO",
        "+298201234",
        &[(b"201235", Ok(298_201_235))],
    );
    // Nobody said which country.
    check(
        &OneNumber,
        "",
        "+442079460019",
        &[
            (b"+442079460018", number),
            (b"02079460018", Err(CountryMissing)),
            (b"2125550101", Err(CountryMissing)),
        ],
    );
}

#[test]
fn a_change_list_makes_two_lists() {
    let text = "area,number,date,mark\n\
        212,5550101,2026-11-01 07:30:00,A\n\
        212,5550102,D,2026-11-01T07:30:00Z\n\
        212,5550103,11/01/2026 7:30:00 PM,deleted\n\
        2125550104,ADD\n\
        212,5550105,D\n\
        212,5550105,D\n\
        212,5550106\n\
        212,5550107,A,D\n\
        212,5550108,X\n\
        212,5550109,2026-11-01,\n\
        12125550110,d,20261101\n";
    for form in [Changes, Auto] {
        let came = read(form, "US", text);
        assert_eq!(came.added, [12_125_550_101, 12_125_550_104]);
        assert_eq!(
            came.removed,
            [
                12_125_550_102,
                12_125_550_103,
                12_125_550_105,
                12_125_550_110
            ]
        );
        let rejects = [(8, NoMark), (9, WrongColumns), (10, NoMark), (11, NoMark)];
        assert_eq!(came.rejects, rejects);
        assert_eq!((came.report.deletions, came.report.duplicates), (5, 1));
        assert_eq!(came.report.headers, 1);
    }
}

/// The order of the lines is not that of time: who is added and deleted stays listed.
#[test]
fn p06_a_number_both_added_and_deleted_stays_listed() {
    for text in [
        "212,5550101,A\n212,5550101,D\n",
        "212,5550101,D\n212,5550101,A\n",
    ] {
        let came = read(Changes, "", text);
        assert_eq!((came.added, came.removed), (vec![12_125_550_101], vec![]));
        assert_eq!(came.report.contradictions, 1);
    }
}

#[test]
fn a_column_by_name_or_place() {
    let text = "Name,Phone Number,State\n\
        \"Doe, Jane\",212-555-0101,NY\n\
        M\u{fc}ller,,NY\n\
        only one\n\
        \"O\"\"Hara\",(212) 555-0102,NY\n";
    // Other columns may be of any encoding.
    let text = text.replace('\u{fc}', "?").into_bytes();
    let text: Vec<u8> = text
        .into_iter()
        .map(|byte| if byte == b'?' { 0xfc } else { byte })
        .collect();
    let forms = [
        csv(Column::Named(" phone number".to_owned())),
        csv(Column::At(2)),
        Auto,
    ];
    for form in forms {
        let came = read(form, "US", &text);
        assert_eq!(came.added, [12_125_550_101, 12_125_550_102]);
        assert_eq!(came.rejects, [(3, NoNumber), (4, WrongColumns)]);
        assert_eq!(came.report.headers, 1);
    }
    let missing = options(csv(Column::Named("phone".to_owned())), "US");
    let problem = try_read(&missing, &[&text]).unwrap_err();
    assert!(
        problem.to_string().contains("no column `phone`"),
        "{problem}"
    );
    let semicolons = "state;telephone\nNY;2125550101\n";
    assert_eq!(read(Auto, "US", semicolons).added, [12_125_550_101]);
    let nowhere = read(csv(Column::At(0)), "US", "2125550101\n");
    assert_eq!(nowhere.rejects, [(1, WrongColumns)]);
}

#[test]
fn what_is_around_the_numbers_is_neither_number_nor_reject() {
    let text = "\u{feff}# made on a Monday\r\n\r\nArea Code,Phone Number\r\n212,5550101\r\n   \r\n# 212,5550199\r\n212,5550102";
    let came = read(Auto, "", text);
    assert_eq!(came.added, [12_125_550_101, 12_125_550_102]);
    let report = came.report;
    assert_eq!(
        (
            report.lines,
            report.blank,
            report.comments,
            report.headers,
            report.rejected
        ),
        (7, 2, 2, 1, 0)
    );
    // A second header line is none, and a title with a digit is none either.
    let came = read(
        Auto,
        "",
        "List of 2026\nArea Code,Phone Number\n212,5550101\n",
    );
    assert_eq!(came.rejects, [(1, Letters), (2, WrongColumns)]);
    assert_eq!(came.added, [12_125_550_101]);
    assert_eq!(read(Auto, "", "").report, ListReport::default());
}

#[test]
fn lines_end_in_three_ways() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["212,5550101", "", "212,5550102", "212,5550103"].join(end);
        let came = read(Auto, "", &text);
        assert_eq!(
            came.added,
            [12_125_550_101, 12_125_550_102, 12_125_550_103],
            "{end:?}"
        );
        assert_eq!((came.report.lines, came.report.blank), (4, 1), "{end:?}");
    }
}

#[test]
fn utf_16_is_told_from_other_rubbish() {
    let text = "212,5550101\n212,5550102\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let came = read(Auto, "", [b"\xff\xfe", little.as_slice()].concat());
    assert_eq!(came.rejects, [(1, Utf16), (2, Nul), (3, Nul)]);
    assert!(came.added.is_empty());
}

/// A line of 64 MiB is held by nobody, costs one reject, and the next line is read.
#[test]
fn p22_a_line_without_end_is_passed_over() {
    let tables = Arc::clone(&Tables::shared().unwrap());
    let mut reader = ListReader::new(tables, ListOptions::default(), Lists::default());
    let mut rejects = Vec::new();
    let mut rejected = |reject: Reject| rejects.push((reject.line, reject.reason));
    reader.push(b"212,5550101\n", &mut rejected).unwrap();
    let block = [b'1'; 1 << 16];
    for _ in 0..1_024 {
        reader.push(&block, &mut rejected).unwrap();
        assert!(reader.held() <= 1 << 17);
    }
    reader.push(b"\n212,5550102", &mut rejected).unwrap();
    let (lists, report) = reader.finish(&mut rejected).unwrap();
    assert_eq!(lists.added.len(), 2);
    assert_eq!((report.lines, rejects), (3, vec![(2, LineTooLong)]));
    // The bound itself, in one piece and byte by byte.
    for (length, wanted) in [(65_536, TooShort), (65_537, LineTooLong)] {
        let line = [vec![b'-'; length], b"\n".to_vec()].concat();
        let pieces: Vec<&[u8]> = line.chunks(1).collect();
        assert_eq!(read(OneNumber, "US", &line).rejects, [(1, wanted)]);
        let came = try_read(&options(OneNumber, "US"), &pieces).unwrap();
        assert_eq!(came.rejects, [(1, wanted)]);
    }
}

#[test]
fn several_files_make_one_list() {
    let tables = Tables::shared().unwrap();
    let mut lists = Lists::default();
    for (text, duplicates) in [
        ("212,5550101\n", 0),
        ("646,5550101\n212,5550101\n646,5550101\n", 2),
    ] {
        let mut reader = ListReader::new(Arc::clone(&tables), ListOptions::default(), lists);
        reader.push(text.as_bytes(), &mut |_| {}).unwrap();
        assert_eq!(reader.form(), &AreaCodeAndNumber);
        let report;
        (lists, report) = reader.finish(&mut |_| {}).unwrap();
        assert_eq!(report.duplicates, duplicates);
    }
    assert_eq!(lists.added.covers_area_codes().to_string(), "1212,1646");
}

#[test]
fn compressed_lists_are_unpacked_and_broken_ones_told() {
    let plain = "212,5550101\n".repeat(1_000).into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstandard = zstd::encode_all(plain.as_slice(), 1).unwrap();
    let unpack = |packed: &[u8]| {
        let mut all = Vec::new();
        let read = unpacked(packed).and_then(|mut plain| plain.read_to_end(&mut all));
        (all, read.map_err(|problem| problem.to_string()))
    };
    for packed in [
        &plain,
        &gzip,
        &zstandard,
        &[gzip.as_slice(), &gzip].concat(),
    ] {
        let (all, read) = unpack(packed);
        assert!(read.is_ok() && all.starts_with(&plain), "{read:?}");
        assert!(all.len().is_multiple_of(plain.len()));
    }
    for packed in [&gzip, &zstandard] {
        let (all, read) = unpack(&packed[..packed.len() - 5]);
        assert!(read.is_err() && plain.starts_with(&all), "{read:?}");
    }
    let (_, read) = unpack(b"PK\x03\x04rest");
    assert!(read.unwrap_err().contains("unzip -p"));
    assert_eq!(unpack(b""), (Vec::new(), Ok(0)));
}

#[test]
fn reasons_tell_what_is_wrong_and_never_the_number() {
    let came = read(OneNumber, "US", "212555010x\n");
    let shown = format!("{:?} {}", came.report, came.rejects[0].1);
    assert!(
        !shown.contains("212555") && shown.contains("the number holds letters"),
        "{shown}"
    );
    assert_eq!(came.rejects[0].1.code(), "LETTERS");
}

/// Lines of lists, sound ones mostly, with every end.
fn some_list() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => "[2-9][0-9]{2},[2-9][0-9]{6}",
        6 => "[2-9][0-9]{2}[2-9][0-9]{6}",
        3 => "212,555[0-9]{4}",
        1 => "[0-9]{2,4},[0-9]{6,8}",
        1 => "[0-9]{9,11}",
        1 => "[2-9][0-9]{2},[2-9][0-9]{6},[AD]",
        1 => "[0-9,;x \"#+\u{feff}\u{ff11}-]{0,14}",
        1 => "Area Code,Number",
        1 => "\\PC{0,20}",
    ];
    let line = prop_oneof![
        20 => line.prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..16),
        1 => Just(vec![b'7'; 65_530]),
    ];
    let end = prop_oneof![6 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\r"), 1 => Just("")];
    let lines = proptest::collection::vec((line, end), 0..40);
    lines.prop_map(|lines| {
        let parts = lines.into_iter();
        parts
            .flat_map(|(line, end)| [line, end.into()].concat())
            .collect()
    })
}

fn some_options() -> impl Strategy<Value = ListOptions> {
    let form = prop_oneof![
        3 => Just(Auto),
        2 => Just(AreaCodeAndNumber),
        2 => Just(OneNumber),
        1 => Just(Changes),
        1 => Just(csv(Column::At(2))),
    ];
    let country = prop_oneof![Just("US"), Just("GB"), Just("")];
    (form, country).prop_map(|(form, country)| options(form, country))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Byte by byte only the tolerant way is taken, in one piece the fixed one wherever it can be.
    #[test]
    fn p22_any_bytes_in_any_pieces_are_the_same_list(
        list in some_list(),
        options in some_options(),
        sizes in proptest::collection::vec(1..70_000_usize, 1..8),
    ) {
        let whole = try_read(&options, &[&list]).unwrap();
        let single: Vec<&[u8]> = list.chunks(1).collect();
        prop_assert_eq!(&whole, &try_read(&options, &single).unwrap());
        let mut pieces = Vec::new();
        let mut rest = list.as_slice();
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(&whole, &try_read(&options, &pieces).unwrap());
    }

    /// Whatever byte stands where in a line of the right width: the fixed way takes what the tolerant way takes.
    #[test]
    fn both_ways_agree_on_every_byte(at in 0..13_usize, byte: u8, comma: bool) {
        let (first, line) = match comma {
            true => ("212,5550101\r\n", "212,5550102\r\n"),
            false => ("2125550101\r\n", "2125550102\r\n"),
        };
        let mut bytes = line.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let text = [first.as_bytes(), first.as_bytes(), &bytes, first.as_bytes()].concat();
        let single: Vec<&[u8]> = text.chunks(1).collect();
        let options = options(Auto, "US");
        prop_assert_eq!(try_read(&options, &[&text]).unwrap(), try_read(&options, &single).unwrap());
    }
}
