//! Questions of a batch that differ in nothing but the number, judged once: a list has many strangers of one place.
//!
//! A question is made of what the whole batch shares, of the facts, and of what numbering says of the number. The digits
//! themselves matter to the law only where earlier attempts are told apart by them. So a question without any is asked of
//! the number that stands for all of its kind (`place::stand_in`), and its answer is kept with everything that it was made
//! of. What is kept is compared whole, by equality: a fact that is added tomorrow is compared without a thought.

use std::collections::HashMap;

use crate::domain::phone::Phone;
use crate::place::{self, Dialable, Tables};
use crate::policy::Outline;
use crate::policy::facts::Facts;

/// Answers kept for one stand-in. Facts that differ from number to number, as the time of an opt-out does, find none among
/// these and are judged each for itself.
const KEPT_MAX: usize = 8;

/// The answers of one batch. `ask` judges a number with its facts, and by nothing else that differs within the batch.
pub(super) struct Alike<'b, Ask> {
    tables: &'b Tables,
    ask: Ask,
    kept: HashMap<Phone, Vec<Kept>>,
}

/// An answer, and all that it was made of beside what the batch shares.
struct Kept {
    number: Dialable,
    facts: Facts,
    said: Outline,
}

impl<'b, Ask: Fn(&Dialable, Facts) -> Outline> Alike<'b, Ask> {
    pub fn new(tables: &'b Tables, ask: Ask) -> Self {
        Self {
            tables,
            ask,
            kept: HashMap::new(),
        }
    }

    /// What the law says of this number with these facts.
    pub fn outline(&mut self, number: &Dialable, facts: Facts) -> Outline {
        if !facts.attempts.is_empty() {
            return (self.ask)(number, facts);
        }
        let phone = place::stand_in(self.tables, number);
        let kept = self.kept.entry(phone).or_default();
        if let Some(same) = kept.iter().find(|kept| kept.is_of(number, &facts)) {
            return same.said.clone();
        }
        let number = Dialable {
            phone,
            ..number.clone()
        };
        let said = (self.ask)(&number, facts.clone());
        if kept.len() < KEPT_MAX {
            kept.push(Kept {
                number,
                facts,
                said: said.clone(),
            });
        }
        said
    }
}

impl Kept {
    /// Whether the answer is that of this number with these facts; the stand-ins are the same.
    fn is_of(&self, number: &Dialable, facts: &Facts) -> bool {
        // Taken apart, so that nobody adds a field without deciding.
        let Dialable {
            phone: _,
            country,
            candidates,
            line,
            warnings,
        } = number;
        let own = &self.number;
        let numbering = (&own.country, &own.candidates, &own.line, &own.warnings);
        numbering == (country, candidates, line, warnings) && self.facts == *facts
    }
}
