//! A line cut into cells, as the writers of lists quote them.

/// What may stand between columns.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// The cells of the first line of a list that lies at hand, read as an import that is told nothing of its encoding reads it.
pub fn cells_of_line(line: &[u8], delimiter: Option<char>) -> Vec<String> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => line.iter().map(|byte| char::from(*byte)).collect(),
    };
    let delimiter = delimiter.unwrap_or_else(|| detected(&text));
    match split(&text, Some(delimiter)) {
        Cells::Whole(cells) => cells.iter().map(|cell| cell.trim().to_owned()).collect(),
        Cells::Open => vec![text],
    }
}

/// What a text came to, as cells.
pub(super) enum Cells {
    /// All of them.
    Whole(Vec<String>),
    /// A quote is open at the end: the row goes on in the next line, or it is a stray one.
    Open,
}

/// A number a line may stand in quotes, or have the empty rest of a row behind it.
pub(super) fn bare(text: &str) -> &str {
    let text = text.trim().trim_end_matches([',', ';', '\t']).trim();
    let unquoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    unquoted.unwrap_or(text).trim()
}

/// The delimiter that stands most often in a line, outside of quotes.
pub(super) fn detected(text: &str) -> char {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for each in text.chars() {
        quoted ^= each == '"';
        if let Some((_, count)) = DELIMITERS
            .iter()
            .zip(&mut counts)
            .find(|(one, _)| !quoted && **one == each)
        {
            *count += 1;
        }
    }
    let most = DELIMITERS
        .iter()
        .zip(counts)
        .rev()
        .max_by_key(|(_, count)| *count);
    most.map_or(',', |(delimiter, _)| *delimiter)
}

/// Cuts a row into cells (RFC 4180). A quote within a cell that does not begin with one is a character like any other.
pub(super) fn split(text: &str, delimiter: Option<char>) -> Cells {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(each) = chars.next() {
        match each {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = true;
            }
            each if !quoted && Some(each) == delimiter => cells.push(std::mem::take(&mut cell)),
            each => cell.push(each),
        }
    }
    if quoted {
        return Cells::Open;
    }
    cells.push(cell);
    Cells::Whole(cells)
}
