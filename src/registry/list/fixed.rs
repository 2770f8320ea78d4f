//! Lines of one width, which is what national lists of the North American plan are made of: `212,5550101` or `2125550101`,
//! each with the same end. Several digits are judged at a time, and lines that share area code and exchange find their page
//! once. Whatever is not exactly so is left to the tolerant way, which takes each of these lines for the same number.

use crate::registry::Builder;
use crate::registry::page::PAGE_NUMBERS;

/// How wide the lines are: what stands before the last four digits, and how they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// `212,5550101`
    Comma,
    /// `2125550101`
    Plain,
}

/// What was taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    pub bytes: usize,
    pub lines: u64,
    pub new: u64,
}

/// Puts the numbers of the lines at the beginning into the list, up to the first that is anything else.
pub(super) fn take(width: Width, bytes: &[u8], list: &mut Builder) -> Taken {
    // The first line shows how all of them end.
    let has_return = |at: usize| bytes.get(at) == Some(&b'\r');
    match width {
        Width::Comma if has_return(11) => lines::<13, true>(bytes, list),
        Width::Comma => lines::<12, true>(bytes, list),
        Width::Plain if has_return(10) => lines::<12, false>(bytes, list),
        Width::Plain => lines::<11, false>(bytes, list),
    }
}

fn lines<const WIDTH: usize, const COMMA: bool>(bytes: &[u8], list: &mut Builder) -> Taken {
    let mut taken = Taken::default();
    let mut rest = bytes;
    while let Some((head, page)) = rest.first_chunk().and_then(page_of::<WIDTH, COMMA>) {
        let mut lines = 0;
        let new = list.extend_page(page, |page| {
            let (came, new) = page.insert_all(|| {
                let (line, after) = rest.split_first_chunk::<WIDTH>()?;
                let place = place_of::<WIDTH, COMMA>(line, head)?;
                rest = after;
                Some(place)
            });
            lines = came;
            new
        });
        taken.lines += lines;
        taken.new += new;
        // The head is sound and what follows is not.
        if lines == 0 {
            break;
        }
    }
    taken.bytes = bytes.len() - rest.len();
    taken
}

/// The bytes before the last four digits, and the page that they say.
fn page_of<const WIDTH: usize, const COMMA: bool>(line: &[u8; WIDTH]) -> Option<(u64, u64)> {
    let [a, b, c, d, e, f, g, _] = *line.first_chunk()?;
    let (area_code, exchange) = match d {
        b',' if COMMA => ([a, b, c], [e, f, g]),
        _ if COMMA => return None,
        _ => ([a, b, c], [d, e, f]),
    };
    let page = 1_000_000 + group(area_code)? * 1_000 + group(exchange)?;
    Some((head_of::<WIDTH, COMMA>(line)?, page))
}

/// Three digits, if area code or exchange can be so: neither begins with 0 or 1.
fn group(digits: [u8; 3]) -> Option<u64> {
    let [a, b, c] = digits.map(|digit| u64::from(digit.wrapping_sub(b'0')));
    let sound = (2..10).contains(&a) && b < 10 && c < 10;
    sound.then_some(a * 100 + b * 10 + c)
}

/// What is the same in all lines of a page, as one integer.
#[inline(always)]
fn head_of<const WIDTH: usize, const COMMA: bool>(line: &[u8; WIDTH]) -> Option<u64> {
    let eight = u64::from_le_bytes(*line.first_chunk()?);
    Some(eight & if COMMA { (1 << 56) - 1 } else { (1 << 48) - 1 })
}

/// The place in the page, of a line with this head.
#[inline(always)]
fn place_of<const WIDTH: usize, const COMMA: bool>(line: &[u8; WIDTH], head: u64) -> Option<u16> {
    let has_return = WIDTH == if COMMA { 13 } else { 12 };
    let (four, is_end) = if has_return {
        let [a, b, c, d, end @ ..] = line.last_chunk::<6>()?;
        ([*a, *b, *c, *d], end == b"\r\n")
    } else {
        let [a, b, c, d, end] = line.last_chunk::<5>()?;
        ([*a, *b, *c, *d], *end == b'\n')
    };
    let is_head = head_of::<WIDTH, COMMA>(line)? == head;
    // Each byte of a digit becomes its value. Above 9, adding 0x76 sets the byte's top bit, unless it is set already.
    let values = u32::from_le_bytes(four) ^ 0x3030_3030;
    let is_digits = (values.wrapping_add(0x7676_7676) | values) & 0x8080_8080 == 0;
    if !(is_head & is_end & is_digits) {
        return None;
    }
    // The first digit lies lowest: pairs, then both pairs.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let place = (pairs & 0xff) * 100 + (pairs >> 16 & 0xff);
    u16::try_from(place)
        .ok()
        .filter(|place| u64::from(*place) < PAGE_NUMBERS)
}
