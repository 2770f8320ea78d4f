//! The small filter language of every list (AIP-160): `field op literal`, AND, OR, NOT, parentheses.
//!
//! As AIP-160 says, OR binds closer than AND: `a = 1 AND b = 2 OR b = 3` asks for both b. Literals are bare words or stand
//! in quotes. Parsing is against a closed set of fields, so that a filter that exists can be answered; nothing of it ever
//! becomes part of a statement's text but the names of those fields.

use uuid::Uuid;

use super::phone::NumberKey;
use super::text::UnknownWord;
use super::time::Micros;

/// Longest filter, in characters: something a person could write.
const LENGTH_MAX: usize = 2000;

/// Deepest nesting of parentheses and NOT.
const DEPTH_MAX: usize = 16;

/// A field that a list can be filtered by.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name, in filters and in the table.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a field holds, and so which literals and operators it takes.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// Any text; `=` and `!=` only.
    Text,
    /// An instant, RFC 3339.
    Time,
    /// An identifier; `=` and `!=` only.
    Uuid,
    /// A number.
    Number,
    /// A key of 32 bytes in hexadecimal; `=` and `!=` only.
    Key,
    /// One word of a closed set; `=` and `!=` only.
    Words(fn(&str) -> Option<UnknownWord>),
    /// A set of words; `=` asks whether the word is in it.
    Set,
    /// Words of a closed set, none of which means all; `=` asks whether the word is covered.
    Scope(fn(&str) -> Option<UnknownWord>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A literal, of its field's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Text, or a word.
    Text(String),
    /// A number.
    Number(i64),
    /// An instant.
    Time(Micros),
    /// An identifier.
    Uuid(Uuid),
    /// A key of 32 bytes.
    Key([u8; 32]),
    /// A member of a set.
    Member(String),
    /// A word that a scope covers.
    Covered(String),
}

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Everything.
    #[default]
    Everything,
    /// One comparison.
    Compare {
        /// The field.
        field: &'static str,
        /// How.
        operator: Operator,
        /// With what.
        literal: Literal,
    },
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// Not that.
    Not(Box<Filter>),
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {position} of the filter)")]
pub struct FilterError {
    /// Which character, the first being 1.
    pub position: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Filter {
    /// Reads a filter against these fields. Empty text asks for everything.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, FilterError> {
        if text.chars().count() > LENGTH_MAX {
            return Err(error(
                LENGTH_MAX,
                format!("the filter is too long, {LENGTH_MAX} characters are the most"),
            ));
        }
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: &tokens,
            next: 0,
            end: text.chars().count() + 1,
            fields,
        };
        if tokens.is_empty() {
            return Ok(Self::Everything);
        }
        let filter = parser.conjunction(0)?;
        match parser.peek() {
            None => Ok(filter),
            Some(token) => Err(error(
                token.position,
                "expected AND, OR or the end of the filter".to_owned(),
            )),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    position: usize,
    kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TokenKind {
    Word(String),
    Quoted(String),
    Operator(Operator),
    Open,
    Close,
}

fn error(position: usize, message: String) -> FilterError {
    FilterError { position, message }
}

fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().zip(1..).peekable();
    while let Some((first, position)) = rest.next() {
        let mut followed_by = |wanted| rest.next_if(|(next, _)| *next == wanted).is_some();
        let kind = match first {
            _ if first.is_whitespace() => continue,
            '(' => TokenKind::Open,
            ')' => TokenKind::Close,
            '=' => TokenKind::Operator(Operator::Equal),
            '!' if followed_by('=') => TokenKind::Operator(Operator::NotEqual),
            '!' => {
                return Err(error(
                    position,
                    "expected `!=`; to negate, write NOT".to_owned(),
                ));
            }
            '<' if followed_by('=') => TokenKind::Operator(Operator::LessOrEqual),
            '<' => TokenKind::Operator(Operator::Less),
            '>' if followed_by('=') => TokenKind::Operator(Operator::GreaterOrEqual),
            '>' => TokenKind::Operator(Operator::Greater),
            '"' | '\'' => TokenKind::Quoted(quoted(first, position, &mut rest)?),
            _ => {
                let mut word = String::from(first);
                while let Some((next, _)) = rest.next_if(|(next, _)| is_of_word(*next)) {
                    word.push(next);
                }
                TokenKind::Word(word)
            }
        };
        tokens.push(Token { position, kind });
    }
    Ok(tokens)
}

fn is_of_word(character: char) -> bool {
    !character.is_whitespace() && !"()=!<>\"'".contains(character)
}

/// The text up to the closing quote; a backslash takes the next character as it is.
fn quoted(
    quote: char,
    position: usize,
    rest: &mut impl Iterator<Item = (char, usize)>,
) -> Result<String, FilterError> {
    let mut text = String::new();
    while let Some((next, _)) = rest.next() {
        match next {
            '\\' => text.extend(rest.next().map(|(escaped, _)| escaped)),
            _ if next == quote => return Ok(text),
            _ => text.push(next),
        }
    }
    Err(error(position, "the quoted text has no end".to_owned()))
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    /// One past the last character.
    end: usize,
    fields: &'a [Field],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token { kind: TokenKind::Word(word), .. }) if word == wanted);
        self.next += usize::from(found);
        found
    }

    fn conjunction(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut parts = vec![self.disjunction(depth)?];
        while self.take_word("AND") {
            parts.push(self.disjunction(depth)?);
        }
        Ok(joined(parts, Filter::And))
    }

    fn disjunction(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut parts = vec![self.term(depth)?];
        while self.take_word("OR") {
            parts.push(self.term(depth)?);
        }
        Ok(joined(parts, Filter::Or))
    }

    fn term(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let position = self.peek().map_or(self.end, |token| token.position);
        if depth > DEPTH_MAX {
            return Err(error(
                position,
                format!("the filter is nested too deeply, {DEPTH_MAX} levels are the most"),
            ));
        }
        if self.take_word("NOT") {
            return self.term(depth + 1).map(|part| Filter::Not(Box::new(part)));
        }
        match self.take().map(|token| &token.kind) {
            Some(TokenKind::Open) => {
                let inner = self.conjunction(depth + 1)?;
                match self.take() {
                    Some(Token {
                        kind: TokenKind::Close,
                        ..
                    }) => Ok(inner),
                    Some(token) => Err(error(token.position, "expected AND, OR or `)`".to_owned())),
                    None => Err(error(self.end, "expected `)`".to_owned())),
                }
            }
            Some(TokenKind::Word(name)) => self.comparison(name, position),
            _ => Err(error(
                position,
                format!("expected a field, one of {}", self.names()),
            )),
        }
    }

    fn comparison(&mut self, name: &str, position: usize) -> Result<Filter, FilterError> {
        let field = self.fields.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| {
            error(
                position,
                format!(
                    "there is no field `{name}` here, expected one of {}",
                    self.names()
                ),
            )
        })?;
        let at = self.peek().map_or(self.end, |token| token.position);
        let Some(Token {
            kind: TokenKind::Operator(operator),
            ..
        }) = self.take()
        else {
            return Err(error(
                at,
                format!("expected an operator after `{name}`, one of = != < <= > >="),
            ));
        };
        let ordered = matches!(field.kind, FieldKind::Time | FieldKind::Number);
        if !ordered && !matches!(operator, Operator::Equal | Operator::NotEqual) {
            return Err(error(
                at,
                format!("`{name}` has no order, compare it with = or !="),
            ));
        }
        let at = self.peek().map_or(self.end, |token| token.position);
        let text = match self.take().map(|token| &token.kind) {
            Some(TokenKind::Word(text) | TokenKind::Quoted(text)) => text,
            _ => return Err(error(at, format!("expected a value for `{name}`"))),
        };
        let literal = literal(field.kind, text)
            .map_err(|why| error(at, format!("`{text}` is no value of `{name}`: {why}")))?;
        Ok(Filter::Compare {
            field: field.name,
            operator: *operator,
            literal,
        })
    }

    fn names(&self) -> String {
        self.fields
            .iter()
            .map(|field| field.name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn joined(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => Filter::Everything,
    }
}

fn literal(kind: FieldKind, text: &str) -> Result<Literal, String> {
    // PostgreSQL's TEXT cannot hold it, so nothing stored could match.
    if text.contains('\0') {
        return Err("it holds a zero character".to_owned());
    }
    match kind {
        FieldKind::Text => Ok(Literal::Text(text.to_owned())),
        FieldKind::Set => Ok(Literal::Member(text.to_owned())),
        FieldKind::Words(unknown) => match unknown(text) {
            None => Ok(Literal::Text(text.to_owned())),
            Some(unknown) => Err(format!("expected one of {}", unknown.expected)),
        },
        FieldKind::Scope(unknown) => match unknown(text) {
            None => Ok(Literal::Covered(text.to_owned())),
            Some(unknown) => Err(format!("expected one of {}", unknown.expected)),
        },
        FieldKind::Time => text
            .parse::<jiff::Timestamp>()
            .map(|at| Literal::Time(at.into()))
            .map_err(|_| "expected a time such as \"2026-11-21T09:30:00Z\"".to_owned()),
        FieldKind::Uuid => text
            .parse()
            .map(Literal::Uuid)
            .map_err(|_| "expected a UUID".to_owned()),
        FieldKind::Number => text
            .parse()
            .map(Literal::Number)
            .map_err(|_| "expected a whole number".to_owned()),
        FieldKind::Key => NumberKey::from_hex(text)
            .map(|key| Literal::Key(key.0))
            .ok_or_else(|| "expected 64 hexadecimal digits".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::CallState;

    const FIELDS: &[Field] = &[
        Field {
            name: "name",
            kind: FieldKind::Text,
        },
        Field {
            name: "create_time",
            kind: FieldKind::Time,
        },
        Field {
            name: "id",
            kind: FieldKind::Uuid,
        },
        Field {
            name: "code",
            kind: FieldKind::Number,
        },
        Field {
            name: "key",
            kind: FieldKind::Key,
        },
        Field {
            name: "state",
            kind: FieldKind::Words(|word| word.parse::<CallState>().err()),
        },
        Field {
            name: "rules",
            kind: FieldKind::Set,
        },
    ];

    fn name(text: &str) -> Filter {
        Filter::Compare {
            field: "name",
            operator: Operator::Equal,
            literal: Literal::Text(text.to_owned()),
        }
    }

    fn code(operator: Operator, number: i64) -> Filter {
        Filter::Compare {
            field: "code",
            operator,
            literal: Literal::Number(number),
        }
    }

    #[test]
    fn what_is_accepted() {
        let parse = |text: &str| Filter::parse(text, FIELDS).unwrap();
        assert_eq!(parse(""), Filter::Everything);
        assert_eq!(parse(" \n\t"), Filter::Everything);
        assert_eq!(parse("name = a"), name("a"));
        assert_eq!(parse("name=\"a b\""), name("a b"));
        assert_eq!(parse(r#"name = "a \" \\ b""#), name(r#"a " \ b"#));
        assert_eq!(parse("name = 'it AND that'"), name("it AND that"));
        assert_eq!(parse("name = Ünïcode"), name("Ünïcode"));
        assert_eq!(parse("((name = a))"), name("a"));
        for (text, operator) in [
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            (">=", Operator::GreaterOrEqual),
        ] {
            assert_eq!(parse(&format!("code {text} 486")), code(operator, 486));
            assert_eq!(parse(&format!("code{text}-1")), code(operator, -1));
        }
        assert_eq!(parse("NOT name = a"), Filter::Not(Box::new(name("a"))));
        assert_eq!(
            parse("name = a AND name = b OR name = c"),
            Filter::And(vec![name("a"), Filter::Or(vec![name("b"), name("c")])]),
            "OR binds closer (AIP-160)"
        );
        assert_eq!(
            parse("(name = a AND name = b) OR name = c"),
            Filter::Or(vec![Filter::And(vec![name("a"), name("b")]), name("c")])
        );
        let literal = |text: &str| match parse(text) {
            Filter::Compare { literal, .. } => literal,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            literal("create_time > \"1970-01-01T00:00:01Z\""),
            Literal::Time(Micros(1_000_000))
        );
        assert_eq!(
            literal("create_time > 1970-01-01T01:00:01+01:00"),
            Literal::Time(Micros(1_000_000))
        );
        assert_eq!(
            literal("state = ringing"),
            Literal::Text("ringing".to_owned())
        );
        assert_eq!(
            literal("rules = US-national-dnc"),
            Literal::Member("US-national-dnc".to_owned())
        );
        assert_eq!(
            literal(&format!("key = {}", "0a".repeat(32))),
            Literal::Key([10; 32])
        );
        assert_eq!(
            literal("id = 01890a5d-ac96-774b-bcce-b302099a8057"),
            Literal::Uuid("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap())
        );
    }

    #[test]
    fn what_is_refused_and_where() {
        for (text, position, told) in [
            ("nothing = 1", 1, "there is no field `nothing`"),
            ("name = a AND Name = b", 14, "there is no field `Name`"),
            ("= 1", 1, "expected a field"),
            ("name", 5, "expected an operator"),
            ("name a", 6, "expected an operator"),
            ("name =", 7, "expected a value"),
            ("name = = a", 8, "expected a value"),
            ("name = a name = b", 10, "expected AND, OR or the end"),
            ("name = a AND", 13, "expected a field"),
            ("(name = a", 10, "expected `)`"),
            ("(name = a name = b)", 11, "expected AND, OR or `)`"),
            ("name = a)", 9, "expected AND, OR or the end"),
            ("()", 2, "expected a field"),
            ("!name = a", 1, "write NOT"),
            ("name = \"a", 8, "has no end"),
            ("name < a", 6, "has no order"),
            ("state >= queued", 7, "has no order"),
            ("state = dead", 9, "expected one of queued, claimed"),
            ("code = 4.5", 8, "whole number"),
            ("create_time > yesterday", 15, "expected a time"),
            ("id = 12", 6, "expected a UUID"),
            ("key = 12", 7, "64 hexadecimal digits"),
            ("name = \"\0\"", 8, "zero character"),
            ("Ünï = 1", 1, "there is no field"),
            ("name = ü AND x = 1", 14, "there is no field `x`"),
        ] {
            let error = Filter::parse(text, FIELDS).unwrap_err();
            assert!(error.message.contains(told), "{text}: {error}");
            assert_eq!(error.position, position, "{text}: {error}");
        }
        for deep in ["(".repeat(500), "NOT ".repeat(400), "(".repeat(3000)] {
            assert!(Filter::parse(&deep, FIELDS).is_err());
        }
        let wide = vec!["code=1"; 200].join(" OR ");
        assert!(Filter::parse(&wide, FIELDS).is_ok());
    }
}
