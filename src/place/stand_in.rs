//! One number for all that are alike: of the same calling code and, where area codes tell places, of area codes that tell
//! the same ones. Where a person may be follows from that much of a number, so [`super::locate`] says the same of the
//! stand-in, if the rest of [`Dialable`] is the same.

use super::evidence::area_code;
use super::floor::NANP;
use super::{Dialable, Tables};
use crate::domain::phone::Phone;

/// Digits of a subscriber within an area code of the North American Numbering Plan.
const SUBSCRIBER_DIGITS: u32 = 7;

/// The number that stands for all that are like this one. Nobody's line, and never to be dialed.
#[must_use]
pub fn stand_in(tables: &Tables, number: &Dialable) -> Phone {
    let subscriber = 10_u64.pow(SUBSCRIBER_DIGITS);
    let integer = match area_code(tables, number) {
        Some((_, area_code)) => (u64::from(NANP) * 1_000 + u64::from(area_code.like)) * subscriber,
        None => {
            let digits = number.phone.digits();
            let national = tables
                .split_calling_code(&digits)
                .map_or(0, |(_, national)| national.len());
            let scale = 10_u64.pow(u32::try_from(national).unwrap_or_default());
            number.phone.integer() / scale * scale
        }
    };
    Phone::of_integer(integer).unwrap_or(number.phone)
}
