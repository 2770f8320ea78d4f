//! `dialgate consent show`: what stands of the consents for one number, for whoever is asked "who said so?": every act towards each
//! seller, what became of it, and the opt-outs in force beside it. Whether a consent suffices is not looked at here.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::cli::client::Remote;
use crate::cli::output::{Paint, plain};
use crate::cli::wire::{self, value, word};
use crate::clock::Clock;
use crate::domain::call::CallKind;
use crate::domain::phone::Phone;
use crate::domain::time;
use crate::grpc::client::json as wire_json;
use crate::grpc::pb::{ConsentAction, ConsentEvent, Suppression};

/// Arguments of `consent show`.
#[derive(Debug, Args)]
#[command(
    after_help = "For each kind of call an act is ended by the next withdrawal and renewed by the next consent; with its period it \
                        ends after that day. An opt-out ends the consents before it, which are shown as they were given; what is in force is \
                        told too, and all of it by `dialgate optout show NUMBER`. Whether what \
                        stands suffices for a call is for the rules: `dialgate check NUMBER --campaign NAME`.\n\n\
                        Example:\n  dialgate consent show +14045550141"
)]
pub struct ShowArgs {
    /// The number, E.164
    #[arg(value_parser = Phone::parse)]
    pub number: Phone,
    #[command(flatten)]
    pub remote: Remote,
}

/// What became of a consent for one kind of call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Nothing so far.
    Stands,
    /// Its own period is over.
    RanOut,
    /// A later consent took its place.
    Renewed(Option<Timestamp>, String),
    /// It was taken back.
    Withdrawn(Option<Timestamp>, String),
}

/// An act with what became of it, each with the kinds of call.
struct Told {
    act: ConsentEvent,
    fates: Vec<(Fate, Vec<CallKind>)>,
}

/// The acts of one person towards one seller, the latest first.
struct History {
    seller: String,
    party_id: String,
    acts: Vec<Told>,
}

/// Runs it.
pub async fn run(args: ShowArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let number = args.number.reveal();
    let today = Clock::Real
        .read()
        .wall
        .timestamp()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let histories = histories(super::acts(&client, &number).await?, today);
    let in_force = super::opt_outs(&client, number.clone(), String::new()).await?;
    args.remote.output().answer(
        || object(&number, &histories, &in_force),
        || text(&number, &histories, &in_force, args.remote.output().paint()),
    )
}

fn histories(acts: Vec<ConsentEvent>, today: Date) -> Vec<History> {
    let mut by_whom: BTreeMap<(String, String), Vec<ConsentEvent>> = BTreeMap::new();
    for act in acts {
        let whom = (act.seller.clone(), act.party_id.clone());
        by_whom.entry(whom).or_default().push(act);
    }
    let history = |((seller, party_id), mut acts): (_, Vec<ConsentEvent>)| {
        acts.sort_by_key(|act| (acted(act), is_withdrawal(act), recorded(act)));
        let fates: Vec<_> = (0..acts.len())
            .map(|place| fates(&acts, place, today))
            .collect();
        let told = acts.into_iter().zip(fates);
        History {
            seller,
            party_id,
            acts: told.rev().map(|(act, fates)| Told { act, fates }).collect(),
        }
    };
    by_whom.into_iter().map(history).collect()
}

/// What became of the act at this place, the acts being in their order; nothing of a withdrawal.
fn fates(acts: &[ConsentEvent], place: usize, today: Date) -> Vec<(Fate, Vec<CallKind>)> {
    let mut fates: Vec<(Fate, Vec<CallKind>)> = Vec::new();
    let Some(act) = acts.get(place).filter(|act| !is_withdrawal(act)) else {
        return fates;
    };
    for kind in CallKind::ALL.iter().filter(|kind| covers(act, **kind)) {
        let later = acts.iter().skip(place + 1);
        let next = later
            .filter(|next| covers(next, *kind))
            .find(|next| is_withdrawal(next) || acted(next) > acted(act));
        let fate = match next {
            Some(next) if is_withdrawal(next) => {
                Fate::Withdrawn(acted(next), next.consent_event_id.clone())
            }
            Some(next) => Fate::Renewed(acted(next), next.consent_event_id.clone()),
            None if time::date(&act.period).is_some_and(|last| last < today) => Fate::RanOut,
            None => Fate::Stands,
        };
        match fates.iter_mut().find(|(same, _)| *same == fate) {
            Some((_, kinds)) => kinds.push(*kind),
            None => fates.push((fate, vec![*kind])),
        }
    }
    fates
}

fn covers(act: &ConsentEvent, kind: CallKind) -> bool {
    let value: i32 = value!(CallKind, kind);
    act.channels.is_empty() || act.channels.contains(&value)
}

fn is_withdrawal(act: &ConsentEvent) -> bool {
    act.action() == ConsentAction::Withdrawn
}

fn acted(act: &ConsentEvent) -> Option<Timestamp> {
    wire::from_wire(act.event_time.as_ref())
}

fn recorded(act: &ConsentEvent) -> Option<Timestamp> {
    wire::from_wire(act.record_time.as_ref())
}

impl History {
    /// The consents of which something stands.
    fn standing(&self) -> impl Iterator<Item = (&ConsentEvent, &[CallKind])> {
        let stands = |told: &'_ Told| {
            told.fates
                .iter()
                .position(|(fate, _)| *fate == Fate::Stands)
        };
        self.acts.iter().filter_map(move |told| {
            let (_, kinds) = told.fates.get(stands(told)?)?;
            Some((&told.act, kinds.as_slice()))
        })
    }
}

fn object(
    number: &str,
    histories: &[History],
    in_force: &[Suppression],
) -> Result<Value, wire_json::JsonProblem> {
    let mut sellers = Vec::new();
    for history in histories {
        let mut acts = Vec::new();
        for told in &history.acts {
            let mut act = wire_json::object("ConsentEvent", &told.act)?;
            let fates: Vec<Value> = told.fates.iter().map(fate_object).collect();
            if let Some(fields) = act.as_object_mut().filter(|_| !is_withdrawal(&told.act)) {
                fields.insert("state".to_owned(), fates.into());
            }
            acts.push(act);
        }
        let standing: Vec<&str> = history
            .standing()
            .map(|(act, _)| act.consent_event_id.as_str())
            .collect();
        sellers.push(json!({
            "seller": history.seller,
            "party_id": history.party_id,
            "standing": standing,
            "acts": acts,
        }));
    }
    let in_force: Vec<&str> = in_force
        .iter()
        .map(|each| each.suppression_id.as_str())
        .collect();
    Ok(json!({ "number": number, "sellers": sellers, "opt_outs_in_force": in_force }))
}

fn fate_object((fate, kinds): &(Fate, Vec<CallKind>)) -> Value {
    let (state, by) = match fate {
        Fate::Stands => ("stands", None),
        Fate::RanOut => ("ran_out", None),
        Fate::Renewed(_, by) => ("renewed", Some(by)),
        Fate::Withdrawn(_, by) => ("withdrawn", Some(by)),
    };
    let mut object = json!({ "state": state, "channels": kinds });
    if let (Some(fields), Some(by)) = (object.as_object_mut(), by) {
        fields.insert("by".to_owned(), by.as_str().into());
    }
    object
}

fn text(number: &str, histories: &[History], in_force: &[Suppression], paint: Paint) -> String {
    let number = plain(number);
    let mut lines = vec![match histories.len() {
        0 => format!("{number}: no act of consent on record"),
        _ => format!("{number}: acts of consent, the latest first"),
    }];
    if !in_force.is_empty() {
        lines.push(paint.bad(&super::in_force_line(in_force)));
    }
    for history in histories {
        lines.push(String::new());
        let whose = format!("towards {}", plain(&history.seller));
        lines.push(paint.strong(&whose));
        lines.push(paint.faint(&format!("person {}", plain(&history.party_id))));
        let mut standing = history.standing().peekable();
        if standing.peek().is_none() {
            lines.push(format!("  stands now: {}", paint.bad("nothing")));
        }
        for (act, kinds) in standing {
            let given = format!("given {}, {}", at(acted(act)), how(act, kinds));
            lines.push(format!("  stands now: {}", paint.good(&given)));
        }
        lines.extend(history.acts.iter().flat_map(act_lines));
    }
    lines.push(String::new());
    lines.push(format!(
        "whether what stands suffices is for the rules: `dialgate check {number} --campaign NAME`"
    ));
    lines.join("\n")
}

/// How it was given, for which calls, and until when.
fn how(act: &ConsentEvent, kinds: &[CallKind]) -> String {
    let form = match word!(ConsentForm, act.form) {
        unsaid if unsaid.is_empty() => "form not said".to_owned(),
        form => form,
    };
    let until = match act.period.as_str() {
        "" => "period not said".to_owned(),
        "indefinite" => "without end".to_owned(),
        "unspecified" => "without a period".to_owned(),
        day => format!("until {}", plain(day)),
    };
    format!("{form}, {}, {until}", calls(kinds))
}

fn act_lines(told: &Told) -> Vec<String> {
    let act = &told.act;
    let covered: Vec<CallKind> = CallKind::ALL
        .iter()
        .copied()
        .filter(|kind| covers(act, *kind))
        .collect();
    let head = match is_withdrawal(act) {
        true => format!("withdrawn, {}", calls(&covered)),
        false => format!("given, {}", how(act, &covered)),
    };
    let mut lines = vec![format!("  {}  {head}", at(acted(act)))];
    for (fate, kinds) in &told.fates {
        let became = match fate {
            Fate::Stands => "stands".to_owned(),
            Fate::RanOut => "ran out with its period".to_owned(),
            Fate::Renewed(by, _) => format!("renewed by the consent of {}", at(*by)),
            Fate::Withdrawn(by, _) => format!("withdrawn {}", at(*by)),
        };
        lines.push(match *kinds == covered {
            true => format!("      {became}"),
            false => format!("      {became} ({})", calls(kinds)),
        });
    }
    let mut said = |label: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("      {label} {}", plain(value)));
        }
    };
    let yes = [
        (act.explicit, "explicit"),
        (act.documented, "documented"),
        (act.out_of_hours, "out of hours"),
    ];
    let flags: Vec<String> = yes
        .iter()
        .filter_map(|(flag, name)| match flag {
            Some(true) => Some((*name).to_owned()),
            Some(false) => Some(format!("not {name}")),
            None => None,
        })
        .collect();
    said("it was", &flags.join(", "));
    said("initiated by", &word!(InitiatedBy, act.initiated_by));
    said("source", &act.source);
    said("evidence", &act.evidence_ref);
    said("wording", &act.wording_ref);
    let by = format!("{} by {}", at(recorded(act)), act.actor);
    said("recorded", &by);
    said("id", &act.consent_event_id);
    lines
}

fn calls(kinds: &[CallKind]) -> String {
    if kinds.len() == CallKind::ALL.len() {
        return "every kind of call".to_owned();
    }
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    words.join(", ")
}

fn at(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |at| format!("{at:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(id: &str, action: ConsentAction, at: &str, channels: &[CallKind]) -> ConsentEvent {
        ConsentEvent {
            consent_event_id: id.to_owned(),
            seller: "acme".to_owned(),
            action: action.into(),
            event_time: Some(wire::to_wire(at.parse().unwrap())),
            channels: channels.iter().map(|kind| value!(CallKind, kind)).collect(),
            ..ConsentEvent::default()
        }
    }

    /// Of each act, the latest first, what became of it.
    fn become_of(acts: Vec<ConsentEvent>) -> Vec<Vec<String>> {
        let histories = histories(acts, "2026-11-20".parse().unwrap());
        let told = |told: &Told| {
            let fate = |(fate, kinds): &(Fate, Vec<CallKind>)| match fate {
                Fate::Stands => format!("stands {}", kinds.len()),
                Fate::RanOut => format!("ran out {}", kinds.len()),
                Fate::Renewed(_, by) => format!("renewed by {by} {}", kinds.len()),
                Fate::Withdrawn(_, by) => format!("withdrawn by {by} {}", kinds.len()),
            };
            told.fates.iter().map(fate).collect()
        };
        histories[0].acts.iter().map(told).collect()
    }

    #[test]
    fn an_act_ends_with_the_next_one_that_covers_its_calls() {
        use ConsentAction::{Given, Withdrawn};
        let day = |day: u32| format!("2026-11-{day:02}T09:00:00Z");
        let first = act("a", Given, &day(1), &[]);
        let renewed = act("b", Given, &day(2), &[CallKind::LiveManual]);
        let stopped = act("c", Withdrawn, &day(3), &[CallKind::Prerecorded]);
        assert_eq!(
            become_of(vec![stopped.clone(), first.clone(), renewed.clone()]),
            [
                vec![],
                vec!["stands 1".to_owned()],
                vec![
                    "renewed by b 1".to_owned(),
                    "stands 1".to_owned(),
                    "withdrawn by c 1".to_owned()
                ]
            ]
        );
        let mut over = renewed.clone();
        over.period = "2026-11-19".to_owned();
        assert_eq!(become_of(vec![over.clone()]), [["ran out 1"]]);
        over.period = "2026-11-20".to_owned();
        assert_eq!(become_of(vec![over]), [["stands 1"]], "its last day counts");
        // At the same instant the withdrawal wins, in whatever order they are told.
        let same = act("d", Withdrawn, &day(2), &[]);
        for acts in [
            vec![same.clone(), renewed.clone()],
            vec![renewed, same.clone()],
        ] {
            assert_eq!(become_of(acts)[1], ["withdrawn by d 1"]);
        }
        assert_eq!(become_of(vec![first, same])[1], ["withdrawn by d 3"]);
    }
}
