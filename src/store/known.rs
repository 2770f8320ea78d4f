//! What the store knows of a batch of people and numbers, put together for each question. Found by key and person, not by
//! walking over all of it: a list has a thousand questions at a time.

use std::collections::{BTreeSet, HashMap};

use super::accounts::Membership;
use super::facts::{ATTEMPTS_LOOK_BACK, ATTEMPTS_MAX, FactsWanted};
use super::number_facts::Numbers;
use super::raises::Raises;
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{CallId, PartyId, SuppressionId};
use crate::domain::party::{LineType, Profile};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionReason, SuppressionSubject, UntilLifted};
use crate::domain::time::Micros;
use crate::policy::facts::{Attempt, Consent, Facts, OptOut, OptOutKind, OptOutScope};

/// An attempt that counts.
pub(super) struct Past {
    pub call: CallId,
    pub party: PartyId,
    pub key: NumberKey,
    pub seller: String,
    pub attempt: Attempt,
}

/// Places in a list, by what they are about.
type Places<K> = HashMap<K, Vec<usize>>;

/// Everything that the batch touches.
pub(super) struct Known {
    profiles: HashMap<PartyId, Profile>,
    numbers: Numbers,
    /// The numbers that a person holds or held.
    held: HashMap<PartyId, Vec<NumberKey>>,
    /// The accounts that a person belongs to or left.
    accounts: HashMap<PartyId, Vec<Membership>>,
    suppressions: Vec<Suppression>,
    suppressed: Places<SuppressionSubject>,
    raises: Raises,
    consents: HashMap<(PartyId, NumberKey), Vec<(String, Consent)>>,
    /// Newest first.
    attempts: Vec<Past>,
    attempts_of: Places<PartyId>,
    attempts_at: Places<NumberKey>,
}

impl Known {
    pub(super) fn of(
        profiles: HashMap<PartyId, Profile>,
        (numbers, memberships): (Numbers, Vec<Membership>),
        (suppressions, raises): (Vec<Suppression>, Raises),
        consents: Vec<(PartyId, NumberKey, String, Consent)>,
        attempts: Vec<Past>,
    ) -> Self {
        let mut held: HashMap<PartyId, Vec<NumberKey>> = HashMap::new();
        for (party, key) in numbers.links.keys() {
            held.entry(*party).or_default().push(*key);
        }
        let mut accounts: HashMap<PartyId, Vec<Membership>> = HashMap::new();
        for membership in memberships {
            accounts
                .entry(membership.party_id)
                .or_default()
                .push(membership);
        }
        let mut by_number: HashMap<_, Vec<_>> = HashMap::new();
        for (party, key, seller, consent) in consents {
            let theirs = by_number.entry((party, key)).or_default();
            theirs.push((seller, consent));
        }
        Self {
            profiles,
            numbers,
            held,
            accounts,
            suppressed: places(suppressions.iter().map(|each| each.subject)),
            suppressions,
            raises,
            consents: by_number,
            attempts_of: places(attempts.iter().map(|past| past.party)),
            attempts_at: places(attempts.iter().map(|past| past.key)),
            attempts,
        }
    }

    /// Each suppression with its subject, and with each person whom it follows to their other numbers, or in their account.
    pub(super) fn seen(&self) -> impl Iterator<Item = (SuppressionId, SuppressionSubject)> {
        let own = (self.suppressions.iter()).map(|each| (each.suppression_id, each.subject));
        let followed = self.numbers.links.iter().flat_map(|((party, key), link)| {
            let told = SuppressionSubject::Number(*key);
            self.about(told)
                .filter(|(_, each)| each.follows_holder(link.held_until))
                .map(|(_, each)| (each.suppression_id, SuppressionSubject::Party(*party)))
        });
        let members = self.accounts.iter().flat_map(|(party, memberships)| {
            let theirs = memberships.iter().flat_map(|each| self.of_member(each));
            theirs.map(|(_, each)| (each.suppression_id, SuppressionSubject::Party(*party)))
        });
        own.chain(followed).chain(members)
    }

    /// The suppressions that follow this person as one of their account, with their places.
    fn of_member(&self, member: &Membership) -> impl Iterator<Item = (usize, &Suppression)> {
        let left_at = member.left_at;
        self.about(SuppressionSubject::Account(member.account))
            .filter(move |(_, each)| each.follows_member(left_at))
    }

    /// The suppressions of this subject, with their places.
    fn about(&self, subject: SuppressionSubject) -> impl Iterator<Item = (usize, &Suppression)> {
        let places = self.suppressed.get(&subject).into_iter().flatten();
        places.filter_map(|place| Some((*place, self.suppressions.get(*place)?)))
    }

    pub(super) fn facts(&self, wanted: &FactsWanted) -> Facts {
        let told = self.numbers.told.get(&wanted.number_key);
        // What blocks the number, what was told of it, and that it was called, is known of the number itself.
        let facts = Facts {
            opt_outs: self.opt_outs(wanted),
            registers: told.map(|told| told.registers.clone()).unwrap_or_default(),
            attempts: self.attempts(wanted),
            reassigned_check: told.and_then(|told| told.reassigned_check),
            ..Facts::default()
        };
        let Some(party) = wanted.party_id else {
            return facts;
        };
        let mut profile = self.profiles.get(&party).cloned().unwrap_or_default();
        // A case is one seller's: what the person did with others is no fact of it.
        let dealings = profile.dealings.remove(&wanted.seller).unwrap_or_default();
        let link = self.numbers.links.get(&(party, wanted.number_key));
        Facts {
            audience: profile.audience,
            line_type: link
                .map(|link| link.line_type)
                .filter(|line| *line != LineType::Unknown),
            location: profile.location,
            consents: self.consents(party, wanted),
            relationship: dealings.relationship,
            legitimate_interest: dealings.legitimate_interest,
            presumed_consent: dealings.presumed_consent,
            notice: dealings.notice,
            restriction: profile.restriction,
            callback: dealings.callback,
            directory: profile.directory,
            minor: profile.minor,
            personal_relationship: dealings.personal_relationship,
            ..facts
        }
    }

    /// In the order in which they were recorded.
    fn opt_outs(&self, wanted: &FactsWanted) -> Vec<OptOut> {
        // Of most numbers nothing is on record that blocks.
        if self.suppressions.is_empty() {
            return Vec::new();
        }
        let own = SuppressionSubject::Number(wanted.number_key);
        let mut found: BTreeSet<usize> = self.about(own).map(|(place, _)| place).collect();
        if let Some(party) = wanted.party_id {
            let theirs = self.about(SuppressionSubject::Party(party));
            found.extend(theirs.map(|(place, _)| place));
            // What was told of another number of theirs, and is of the person.
            for key in self.held.get(&party).into_iter().flatten() {
                let held_until = self
                    .numbers
                    .links
                    .get(&(party, *key))
                    .and_then(|link| link.held_until);
                let told = SuppressionSubject::Number(*key);
                let told = self.about(told);
                let follows = told.filter(|(_, each)| each.follows_holder(held_until));
                found.extend(follows.map(|(place, _)| place));
            }
            let accounts = self.accounts.get(&party).into_iter().flatten();
            let theirs = accounts.flat_map(|each| self.of_member(each));
            found.extend(theirs.map(|(place, _)| place));
        }
        let covers = |suppression: &&Suppression| {
            let seller = suppression
                .seller
                .as_ref()
                .is_none_or(|seller| *seller == wanted.seller);
            seller
                && suppression.covers_kind(wanted.call_kind)
                && suppression.covers_purpose(wanted.purpose)
                && suppression.expires_at.is_none_or(|at| at > wanted.at)
        };
        let binds_from = |each: &Suppression| match wanted.party_id {
            Some(party) => self.raises.binds_from(each, party),
            None => each.binds_from(),
        };
        (found.into_iter())
            .filter_map(|place| self.suppressions.get(place))
            .filter(covers)
            .map(|each| {
                let until_lifted = self.until_lifted(each, wanted.party_id);
                opt_out(each, binds_from(each), until_lifted)
            })
            .collect()
    }

    /// Who left an organisation takes its wish along as if it were their own, for they may have spoken it: so they may take it
    /// back for themselves, as its members may not.
    fn until_lifted(&self, told: &Suppression, party: Option<PartyId>) -> Option<UntilLifted> {
        let is_member = |account| {
            let theirs = party.and_then(|party| self.accounts.get(&party));
            let mut theirs = theirs.into_iter().flatten();
            theirs.any(|each| each.account == account && each.left_at.is_none())
        };
        told.until_lifted().filter(|why| match (why, told.subject) {
            (UntilLifted::Account, SuppressionSubject::Account(account)) => is_member(account),
            _ => true,
        })
    }

    fn consents(&self, party: PartyId, wanted: &FactsWanted) -> Vec<Consent> {
        let theirs = self.consents.get(&(party, wanted.number_key));
        let theirs = theirs.into_iter().flatten();
        theirs
            .filter(|(seller, _)| *seller == wanted.seller)
            .map(|(_, consent)| consent.clone())
            .collect()
    }

    fn attempts(&self, wanted: &FactsWanted) -> Vec<Attempt> {
        let since = wanted.at.minus(ATTEMPTS_LOOK_BACK);
        let theirs = wanted
            .party_id
            .and_then(|party| self.attempts_of.get(&party));
        let about = theirs
            .into_iter()
            .chain(self.attempts_at.get(&wanted.number_key))
            .flatten();
        let about: BTreeSet<usize> = about.copied().collect();
        let counts = |past: &&Past| {
            let refused = matches!(
                past.attempt.outcome,
                AttemptResult::Refused | AttemptResult::HungUp
            );
            let earlier = Some(past.call) != wanted.call_id;
            earlier && past.seller == wanted.seller && (refused || past.attempt.at >= since)
        };
        let told = |past: &Past| Attempt {
            to: if past.key == wanted.number_key {
                Some(wanted.number)
            } else {
                self.numbers
                    .links
                    .get(&(past.party, past.key))
                    .and_then(|link| link.number)
            },
            ..past.attempt.clone()
        };
        (about.into_iter())
            .filter_map(|place| self.attempts.get(place))
            .filter(counts)
            .take(ATTEMPTS_MAX)
            .map(told)
            .collect()
    }
}

fn places<K: Eq + std::hash::Hash>(keys: impl Iterator<Item = K>) -> Places<K> {
    let mut places: Places<K> = HashMap::new();
    for (place, key) in keys.enumerate() {
        places.entry(key).or_default().push(place);
    }
    places
}

fn opt_out(suppression: &Suppression, at: Micros, until_lifted: Option<UntilLifted>) -> OptOut {
    OptOut {
        at,
        kind: match suppression.reason {
            SuppressionReason::Objection => OptOutKind::Objection,
            _ => OptOutKind::DoNotCall,
        },
        scope: Some(match suppression.seller {
            Some(_) => OptOutScope::Seller,
            None => OptOutScope::All,
        }),
        seller: suppression.seller.clone(),
        source: Some(suppression.source.as_str().to_owned()),
        until_lifted,
    }
}
