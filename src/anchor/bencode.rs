//! Bencode, in which the NG protocol writes its messages: integers, byte strings, lists and dictionaries. What is read is
//! borrowed from the datagram; what claims to be longer, deeper or other than it is is no bencode.

/// Deeper than any reply that we ask for.
const DEPTH_MAX: u8 = 16;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Integer(i64),
    Text(&'a [u8]),
    List(Vec<Value<'a>>),
    /// In the order of the wire: rtpengine keeps no order of keys, whatever bencode says.
    Dictionary(Vec<(&'a [u8], Value<'a>)>),
}

/// Bytes that are not one whole value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotBencode;

impl<'a> Value<'a> {
    /// The one value that these bytes are, to the last of them.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, NotBencode> {
        let mut reader = Reader { rest: bytes };
        let value = reader.value(0)?;
        match reader.rest {
            [] => Ok(value),
            _ => Err(NotBencode),
        }
    }

    /// Appends the value as it goes over the wire.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(number) => {
                out.push(b'i');
                out.extend_from_slice(number.to_string().as_bytes());
                out.push(b'e');
            }
            Self::Text(text) => encode_text(text, out),
            Self::List(items) => {
                out.push(b'l');
                for item in items {
                    item.encode(out);
                }
                out.push(b'e');
            }
            Self::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    encode_text(key, out);
                    value.encode(out);
                }
                out.push(b'e');
            }
        }
    }

    /// What stands under this key of a dictionary; of several the first.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dictionary(entries) = self else {
            return None;
        };
        let mut entries = entries.iter();
        let entry = entries.find(|(name, _)| *name == key.as_bytes());
        entry.map(|(_, value)| value)
    }

    /// The bytes of a text.
    pub(super) fn text(&self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.as_bytes())
    }
}

fn encode_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u8) -> Result<Value<'a>, NotBencode> {
        if depth > DEPTH_MAX {
            return Err(NotBencode);
        }
        match self.rest.first() {
            Some(b'i') => {
                self.skip();
                self.number(b'e').map(Value::Integer)
            }
            Some(b'l') => {
                self.skip();
                let mut items = Vec::new();
                while !self.ends() {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::List(items))
            }
            Some(b'd') => {
                self.skip();
                let mut entries = Vec::new();
                while !self.ends() {
                    let key = self.text()?;
                    entries.push((key, self.value(depth + 1)?));
                }
                Ok(Value::Dictionary(entries))
            }
            Some(b'0'..=b'9') => self.text().map(Value::Text),
            _ => Err(NotBencode),
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Takes the end of a list or dictionary, if it stands here.
    fn ends(&mut self) -> bool {
        let ends = self.rest.first() == Some(&b'e');
        if ends {
            self.skip();
        }
        ends
    }

    fn text(&mut self) -> Result<&'a [u8], NotBencode> {
        let length = usize::try_from(self.number(b':')?).map_err(|_| NotBencode)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(NotBencode)?;
        self.rest = rest;
        Ok(text)
    }

    /// A number up to its end mark, written in the one way that bencode allows.
    fn number(&mut self, end: u8) -> Result<i64, NotBencode> {
        let length = self.rest.iter().position(|byte| *byte == end);
        let (digits, rest) = self
            .rest
            .split_at_checked(length.ok_or(NotBencode)?)
            .ok_or(NotBencode)?;
        let text = std::str::from_utf8(digits).map_err(|_| NotBencode)?;
        let number: i64 = text.parse().map_err(|_| NotBencode)?;
        if number.to_string() != text {
            return Err(NotBencode);
        }
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values without the borrowing, for making them up.
    #[derive(Debug, Clone)]
    enum Owned {
        Integer(i64),
        Text(Vec<u8>),
        List(Vec<Owned>),
        Dictionary(Vec<(Vec<u8>, Owned)>),
    }

    impl Owned {
        fn value(&self) -> Value<'_> {
            match self {
                Self::Integer(number) => Value::Integer(*number),
                Self::Text(text) => Value::Text(text),
                Self::List(items) => Value::List(items.iter().map(Self::value).collect()),
                Self::Dictionary(entries) => {
                    let entries = entries.iter();
                    let entries = entries.map(|(key, value)| (key.as_slice(), value.value()));
                    Value::Dictionary(entries.collect())
                }
            }
        }
    }

    fn owned() -> impl Strategy<Value = Owned> {
        let text = || proptest::collection::vec(any::<u8>(), 0..12);
        let leaf = prop_oneof![
            any::<i64>().prop_map(Owned::Integer),
            text().prop_map(Owned::Text)
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            let entry = (text(), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Owned::List),
                proptest::collection::vec(entry, 0..6).prop_map(Owned::Dictionary),
            ]
        })
    }

    /// Bytes that look like bencode more often than chance would have it.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"d".to_vec()),
            Just(b"l".to_vec()),
            Just(b"e".to_vec()),
            Just(b"i-1e".to_vec()),
            Just(b"3:sdp".to_vec()),
            Just(b"99999999999999999999:".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(owned in owned()) {
            let value = owned.value();
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            prop_assert_eq!(Value::decode(&bytes), Ok(value));
            // One byte more or less is another message.
            for short in 0..bytes.len() {
                prop_assert_eq!(Value::decode(&bytes[..short]), Err(NotBencode));
            }
            bytes.push(b'e');
            prop_assert_eq!(Value::decode(&bytes), Err(NotBencode));
        }

        #[test]
        fn what_is_read_is_written_the_same(bytes in nearly()) {
            if let Ok(value) = Value::decode(&bytes) {
                let mut again = Vec::new();
                value.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bad in [
            "",
            "e",
            "i",
            "ie",
            "i-e",
            "i-0e",
            "i01e",
            "i+1e",
            "i1",
            "i9223372036854775808e",
            "4:abc",
            "-1:a",
            "01:a",
            ":",
            "1a",
            "l",
            "li1e",
            "d",
            "d1:a",
            "d1:ae",
            "di1ei2ee",
            "dle1:ae",
            "i1ei2e",
            "x",
            "4:",
            "i 1e",
        ] {
            assert_eq!(Value::decode(bad.as_bytes()), Err(NotBencode), "{bad}");
        }
        let deep = |levels: usize| [vec![b'l'; levels], vec![b'e'; levels]].concat();
        assert!(Value::decode(&deep(usize::from(DEPTH_MAX) + 1)).is_ok());
        assert!(Value::decode(&deep(usize::from(DEPTH_MAX) + 2)).is_err());
        assert!(Value::decode(&vec![b'l'; 100_000]).is_err());
    }

    #[test]
    fn the_first_of_two_entries_of_one_name_counts() {
        let value = Value::decode(b"d1:a1:x1:b1:y1:a1:ze").unwrap();
        assert_eq!(value.get("a").and_then(Value::text), Some(&b"x"[..]));
        assert_eq!(value.get("c"), None);
        assert_eq!(Value::Integer(1).get("a"), None);
    }
}
