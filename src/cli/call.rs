//! `dialgate call`: places a call and follows it to its end, as a softphone does. Ctrl-C hangs up.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use jiff::Timestamp;

use super::arguments::{Change, instant};
use super::audit;
use super::card::{Detail, card};
use super::check::Asked;
use super::client::Remote;
use super::failure::{Refused, Usage, exit};
use super::output::{Output, plain};
use super::wire::{self, value, word};
use crate::clock::Clock;
use crate::domain::phone::Phone;
use crate::grpc::client::{Client, Follower, Next, ask, json, patiently};
use crate::grpc::pb::{
    Call, CallEvent, CallEventKind, CallState, Decision, DecisionView, GetCallRequest,
    HangUpCallRequest, PlaceCallRequest, PlaceCallResponse, Verdict,
};
use crate::sip::ANCHORED_OFFER_BYTES_MAX;

/// Arguments of `call`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: ring a number with the offer of a softphone, for at most a minute in the queue\n  \
                        dialgate call +14045550141 --campaign spring --sdp offer.sdp --expires 60\n\
                        The same for an agent, whose phone rings first\n  \
                        dialgate call +14045550141 --campaign spring --agent anna\n\n\
                        Ends with 0 when the call was answered (with --no-watch: when it was queued), with 3 when it was \
                        denied, with 1 when it was not answered or failed.\n\n\
                        A call that is asked for again under its --request-id must be asked for in the same words: with the \
                        same offer, and with --expires as the instant that the first try told."
)]
pub struct CallArgs {
    /// Number to call, E.164: +, country calling code, national number
    #[arg(value_parser = Phone::parse)]
    pub number: Phone,
    #[command(flatten)]
    pub ask: Asked,
    /// The softphone's SDP offer; if left out, a plain one that sends the sound nowhere
    #[arg(long, value_name = "FILE")]
    pub sdp: Option<PathBuf>,
    /// Call this agent of the server's configuration first, and connect their phone with the number
    #[arg(long, value_name = "NAME", conflicts_with = "sdp")]
    pub agent: Option<String>,
    /// Do not dial later than this many seconds from now, or than this instant (RFC 3339)
    #[arg(long, value_name = "SECONDS|TIME", default_value = "60", value_parser = expires)]
    pub expires: Expires,
    /// End as soon as the call is queued
    #[arg(long)]
    pub no_watch: bool,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// When the wish to call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    /// So long after the command was typed.
    After(Duration),
    /// Then; a repeated request must name the same instant as the first one.
    At(Timestamp),
}

fn expires(text: &str) -> Result<Expires, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Expires::After(Duration::from_secs(seconds))),
        Ok(_) => Err("expected 1 to 86400 seconds (a day)".to_owned()),
        Err(_) => instant(text).map(Expires::At),
    }
}

/// Places the call and follows it.
pub async fn run(args: CallArgs) -> Result<ExitCode> {
    let output = args.remote.output();
    let request_id = args.change.request_id.unwrap_or_else(uuid::Uuid::new_v4);
    let sdp_offer = match (&args.sdp, &args.agent) {
        (_, Some(_)) => Vec::new(),
        (Some(path), None) => read_sdp(path)?,
        (None, None) => {
            output.remark("no --sdp given: offering PCMU and PCMA at 127.0.0.1 port 9, so nothing will be heard")?;
            // The same request has the same offer.
            plain_offer(request_id.as_u64_pair().0 >> 1)
        }
    };
    let client = args.remote.connect().await?;
    // Listening starts before the call does: Ctrl-C in between must not leave a call behind.
    let mut interrupts = Interrupts::listen()?;
    let placed = place(&client, &args, request_id, sdp_offer, &mut interrupts).await?;
    let shown = show_placed(output, &placed);
    let Some(call) = placed.call else {
        shown?;
        return Ok(exit::denied());
    };
    if args.no_watch {
        shown?;
        return Ok(ExitCode::SUCCESS);
    }
    let followed = async {
        shown?;
        if interrupts.wishes > 0 {
            hang_up(&client, &call.call_id).await?;
        }
        watch(&client, &call, &mut interrupts, output).await
    };
    if let Err(problem) = followed.await {
        // Nobody follows it any more, so nobody is to be rung for it. The first problem is the one to tell.
        let _ = hang_up(&client, &call.call_id).await;
        return Err(problem);
    }
    finish(&client, &call.call_id, output).await
}

async fn place(
    client: &Client,
    args: &CallArgs,
    request_id: uuid::Uuid,
    sdp_offer: Vec<u8>,
    interrupts: &mut Interrupts,
) -> Result<PlaceCallResponse> {
    let output = args.remote.output();
    let expire_time = match args.expires {
        Expires::At(instant) => instant,
        Expires::After(span) => Clock::Real.read().wall.plus(span).timestamp(),
    };
    let repeat = format!("--request-id {request_id} --expires {expire_time}");
    let request = PlaceCallRequest {
        request_id: request_id.to_string(),
        to: args.number.reveal(),
        campaign: args.ask.campaign.clone(),
        call_kind: value!(CallKind, args.ask.kind),
        caller_id: args.ask.caller_id.map(Phone::reveal).unwrap_or_default(),
        party_id: args.ask.party.map(|id| id.to_string()).unwrap_or_default(),
        sdp_offer,
        expire_time: Some(wire::to_wire(expire_time)),
        agent: args.agent.clone().unwrap_or_default(),
        ..PlaceCallRequest::default()
    };
    let mut calls = client.calls();
    let mut placing = std::pin::pin!(patiently(calls.place_call(request)));
    let answer = loop {
        tokio::select! {
            answer = &mut placing => break answer,
            () = interrupts.next() => {
                if interrupts.wishes > 1 {
                    bail!("left without an answer, the call may be placed; repeat with {repeat} to see");
                }
                output.remark("hanging up once the call is placed; once more to leave without waiting")?;
            }
        }
    };
    let answer = answer
        .map_err(|status| Refused::change(status, repeat))?
        .into_inner();
    let is_allowed = answer.decision.as_ref().map(Decision::verdict) == Some(Verdict::Allow);
    ensure!(
        is_allowed == answer.call.is_some(),
        "the server's answer contradicts itself; see its log"
    );
    Ok(answer)
}

fn show_placed(output: Output, placed: &PlaceCallResponse) -> Result<()> {
    let decision = placed
        .decision
        .as_ref()
        .context("the server answered without a decision")?;
    output.answer(
        || json::object("PlaceCallResponse", placed),
        || card(decision, Detail::Brief, output.paint()),
    )?;
    match &placed.call {
        Some(call) => output.remark(&format!("call {} is queued", plain(&call.call_id))),
        None => Ok(()),
    }
}

async fn watch(
    client: &Client,
    call: &Call,
    interrupts: &mut Interrupts,
    output: Output,
) -> Result<()> {
    let mut follower = Follower::new(client.clone(), call.call_id.clone());
    loop {
        let next = tokio::select! {
            next = follower.next() => next.map_err(Refused::question)?,
            () = interrupts.next() => {
                if interrupts.wishes > 1 {
                    bail!("left while call `{}` was ending; the server ends it without us", call.call_id);
                }
                output.remark("hanging up; once more to leave without waiting")?;
                hang_up(client, &call.call_id).await?;
                continue;
            }
        };
        match next {
            Next::Event(event) => show(output, &event)?,
            Next::Over => return Ok(()),
        }
    }
}

async fn hang_up(client: &Client, call_id: &str) -> Result<()> {
    client
        .calls()
        .hang_up_call(ask(HangUpCallRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            call_id: call_id.to_owned(),
        }))
        .await
        .map_err(Refused::question)?;
    Ok(())
}

fn show(output: Output, event: &CallEvent) -> Result<()> {
    output.answer(
        || Ok(serde_json::json!({ "event": json::object("CallEvent", event)? })),
        || event_text(event),
    )
}

/// One event as a line.
#[must_use]
pub fn event_text(event: &CallEvent) -> String {
    let at = wire::from_wire(event.event_time.as_ref())
        .map_or_else(String::new, |at| at.strftime("%H:%M:%S%.3f").to_string());
    let mut parts: Vec<String> = Vec::new();
    if let Some(code) = event.sip_code {
        parts.push(
            format!("{code} {}", plain(&event.sip_reason))
                .trim_end()
                .to_owned(),
        );
    }
    if let Some(cause) = event.q850_cause {
        parts.push(format!("cause {cause}"));
    }
    let outcome = word!(Outcome, event.outcome);
    if !outcome.is_empty() {
        parts.push(outcome);
    }
    let agent = word!(AgentResult, event.agent_result);
    if !agent.is_empty() {
        parts.push(format!("agent {agent}").replace('_', " "));
    }
    if event.abandoned {
        parts.push("abandoned".to_owned());
    }
    if event.kind() == CallEventKind::Denied && !event.decision_id.is_empty() {
        parts.push(format!("decision {}", plain(&event.decision_id)));
    }
    if !event.note.is_empty() {
        parts.push(plain(&event.note).into_owned());
    }
    let kind = word!(CallEventKind, event.kind).replace('_', " ");
    format!("{at}  {kind:<18}{}", parts.join(", "))
        .trim_end()
        .to_owned()
}

/// Tells how it ended, and the exit code for it.
async fn finish(client: &Client, call_id: &str, output: Output) -> Result<ExitCode> {
    let answer = client
        .calls()
        .get_call(ask(GetCallRequest {
            call_id: call_id.to_owned(),
        }))
        .await
        .map_err(Refused::question)?
        .into_inner();
    let call = answer
        .call
        .context("the server answered without the call")?;
    if call.state() == CallState::Denied && !call.claim_decision_id.is_empty() && !output.is_json()
    {
        // The role of this key may not read decisions; the id is enough to ask somebody whose role does.
        if let Ok(decision) = audit::get(client, &call.claim_decision_id, DecisionView::Basic).await
        {
            output.remark(&card(&decision, Detail::Brief, output.paint()))?;
        }
    }
    output.answer(
        || Ok(serde_json::json!({ "call": json::object("Call", &call)? })),
        || ending(&call),
    )?;
    Ok(match call.state() {
        CallState::Ended => ExitCode::SUCCESS,
        CallState::Denied => exit::denied(),
        _ => exit::FAILED,
    })
}

/// How the call ended, as a sentence.
#[must_use]
pub fn ending(call: &Call) -> String {
    let outcome = word!(Outcome, call.outcome).replace('_', " ");
    let state = word!(CallState, call.state).replace('_', " ");
    let mut text = format!("call {} is over: {state}", plain(&call.call_id));
    if !outcome.is_empty() && outcome != state {
        text.push_str(&format!(", {outcome}"));
    }
    let agent = word!(AgentResult, call.agent_result).replace('_', " ");
    if !agent.is_empty() {
        text.push_str(&format!(", agent `{}` {agent}", plain(&call.agent)));
    }
    if call.abandon_time.is_some() {
        text.push_str(", abandoned");
    }
    if let Some(code) = call.sip_code {
        text.push_str(&format!(", SIP {code}"));
    }
    let span =
        wire::from_wire(call.answer_time.as_ref()).zip(wire::from_wire(call.end_time.as_ref()));
    if let Some((answered, ended)) = span {
        let seconds = ended.duration_since(answered).as_secs_f64();
        text.push_str(&format!(", {seconds:.1} s long"));
    }
    text
}

fn read_sdp(path: &Path) -> Result<Vec<u8>> {
    let place = || format!("--sdp `{}`", path.display());
    let length = std::fs::metadata(path).with_context(place)?.len();
    if length == 0 || length > ANCHORED_OFFER_BYTES_MAX as u64 {
        bail!(Usage(format!(
            "{}: {length} bytes, expected an SDP offer of at most {ANCHORED_OFFER_BYTES_MAX} bytes",
            place()
        )));
    }
    std::fs::read(path).with_context(place)
}

/// An offer that every far end can answer. Port 9 is the discard service (RFC 863): whatever is said to it is dropped.
#[must_use]
pub fn plain_offer(session: u64) -> Vec<u8> {
    format!(
        "v=0\r\no=- {session} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 9 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n"
    )
    .into_bytes()
}

/// Ctrl-C, and the signal by which a supervisor ends us: both are wishes to hang up.
struct Interrupts {
    keyboard: tokio::signal::unix::Signal,
    supervisor: tokio::signal::unix::Signal,
    /// How many came.
    wishes: u32,
}

impl Interrupts {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            keyboard: signal(SignalKind::interrupt())?,
            supervisor: signal(SignalKind::terminate())?,
            wishes: 0,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.keyboard.recv() => {}
            _ = self.supervisor.recv() => {}
        }
        self.wishes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::pb::{AgentResult, Outcome};

    #[test]
    fn events_and_endings_read_as_lines() {
        let at = |text: &str| Some(wire::to_wire(text.parse().unwrap()));
        let event = CallEvent {
            event_time: at("2026-11-20T14:30:01.25Z"),
            kind: CallEventKind::Ringing.into(),
            sip_code: Some(180),
            sip_reason: "Ringing\u{7}".into(),
            ..CallEvent::default()
        };
        assert_eq!(
            event_text(&event),
            "14:30:01.250  ringing           180 Ringing\u{fffd}"
        );

        let mut call = Call {
            call_id: "id".into(),
            state: CallState::Ended.into(),
            outcome: Outcome::Answered.into(),
            answer_time: at("2026-11-20T14:30:02Z"),
            end_time: at("2026-11-20T14:30:14.5Z"),
            ..Call::default()
        };
        assert_eq!(
            ending(&call),
            "call id is over: ended, answered, 12.5 s long"
        );
        call = Call {
            state: CallState::Failed.into(),
            outcome: Outcome::NoAnswer.into(),
            answer_time: None,
            sip_code: Some(487),
            ..call
        };
        assert_eq!(ending(&call), "call id is over: failed, no answer, SIP 487");
        call = Call {
            outcome: Outcome::Unspecified.into(),
            agent: "anna".into(),
            agent_result: AgentResult::NoAnswer.into(),
            sip_code: None,
            ..call
        };
        assert_eq!(
            ending(&call),
            "call id is over: failed, agent `anna` no answer"
        );
    }

    #[test]
    fn the_plain_offer_is_one_audio_stream_that_goes_nowhere() {
        let offer = plain_offer(4711);
        let text = String::from_utf8(offer).unwrap();
        assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.first(), Some(&"v=0"));
        assert!(lines.contains(&"c=IN IP4 127.0.0.1"));
        let media: Vec<_> = lines.iter().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(media, [&"m=audio 9 RTP/AVP 0 8"]);
    }
}
